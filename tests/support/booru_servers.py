"""Boorus on localhost that answer like the real ones, written from the APIs' documentation.

Each takes its posts as the site's own JSON, newest first, and notes every request it gets.
"""

import base64
import json
import re
import time

from aiohttp import web
from local_server import LocalServer, picture

USER, KEY = "somebody", "s3cret/k+y=42"


class PictureServer(LocalServer):
    """No booru: a picture at any address of one, and `overrides` by path.

    With `wants_referer` pictures go to requests alone that come from a page of the site; others
    are led to the post's page, as gelbooru.com does.
    """

    wants_referer = False

    def __init__(self):
        super().__init__()
        self.posts = []
        self.overrides = {}

    async def answer(self, request):
        handler = self.overrides.get(request.path, self.reply)
        return handler(request)

    def obey(self, robots):
        """Answer /robots.txt with this text."""
        self.overrides["/robots.txt"] = lambda request: web.Response(text=robots)

    def limit_listings(self):
        """Refuse a listing less than 0.9 seconds after another one, for a second."""
        list_posts, asked = self.list, []

        def limited(request):
            asked.append(time.monotonic())
            if len(asked) > 1 and asked[-1] - asked[-2] < 0.9:
                raise web.HTTPTooManyRequests(headers={"Retry-After": "1"})
            return list_posts(request)

        self.list = limited

    def reply(self, request):
        if request.path.endswith(".png"):
            referer = request.headers.get("Referer", "")
            if self.wants_referer and not referer.startswith(f"{self.root}/"):
                raise web.HTTPFound(f"{self.root}/view?id=1")
            return web.Response(body=picture(int(re.sub(r"\D", "", request.path) or 0)))
        if request.path == "/view":
            return web.Response(text="<!DOCTYPE html><p>a post", content_type="text/html")
        raise web.HTTPNotFound

    def requests_of(self, path):
        return [request for request in self.requests if request.path == path]

    @property
    def files(self):
        return [request.path for request in self.requests if request.path.endswith(".png")]


def matches(post_tags, words):
    return all(
        word[1:] not in post_tags if word[0] == "-" else word in post_tags for word in words
    )


def as_json(value, status=200):
    return web.Response(text=json.dumps(value), status=status, content_type="application/json")


class DanbooruServer(PictureServer):
    """Wiki pages help:api (log-in, errors), api:posts (fields), help:common_url_parameters
    (limit, page), help:cheatsheet (metatags) and help:users (two tags without an account;
    status: and rating: are free)."""

    path = "/posts.json"
    robots = "User-agent: *\nDisallow: /\nDisallow: /*.json\nAllow: /posts\nAllow: /data\n"

    def post(self, number, **fields):
        return {
            "id": number,
            "source": f"https://www.pixiv.net/artworks/{number}",
            "rating": "g",
            "tag_string": "1girl solo",
            "is_deleted": False,
            "file_url": f"{self.root}/original/{number}.png",
            **fields,
        }

    def make_restricted(self, number):
        """A post for paying accounts: strangers get no file, and here no id."""
        post = {**self.post(number), "_id": number}
        del post["id"], post["file_url"]
        return post

    def reply(self, request):
        return self.list(request) if request.path == self.path else super().reply(request)

    def list(self, request):
        right = base64.b64encode(f"{USER}:{KEY}".encode()).decode()
        if request.headers.get("Authorization") not in (None, f"Basic {right}"):
            return as_json({"success": False, "message": "Invalid API key"}, 401)
        tags = request.query.get("tags", "").split()
        if sum(not tag.startswith(("rating:", "status:")) for tag in tags) > 2:
            message = "You cannot search for more than 2 tags at a time."
            return as_json({"success": False, "message": message}, 422)
        limit = min(int(request.query.get("limit", 20)), 200)
        posts = [post for post in self.posts if self.finds(post, tags)]
        if page := request.query.get("page"):
            before = int(page.removeprefix("b"))
            posts = [post for post in posts if post.get("_id", post.get("id")) < before]
        return as_json([{k: v for k, v in post.items() if k != "_id"} for post in posts[:limit]])

    def finds(self, post, tags):
        ratings = [tag.partition(":")[2] for tag in tags if tag.startswith("rating:")]
        letters = [part[0] for rating in ratings for part in rating.split(",")]
        words = [tag for tag in tags if not tag.startswith("rating:")]
        rated = not letters or post["rating"] in letters
        return rated and matches((post["tag_string"] or "").split(), words)


class GelbooruServer(PictureServer):
    """gelbooru.com's wiki howto:api and howto:cheatsheet: limit to 100, pid, tags with id:<N.

    `envelope`: as gelbooru.com itself, with "@attributes" and an account required; without it as
    safebooru.org and the other 0.2 sites, whose help for dapi names the same parameters: a bare
    list, and nothing at all where no post is left.
    """

    path = "/index.php"
    robots = "User-agent: *\nDisallow: /index.php?page=dapi\nDisallow: /*&s=list\n"
    envelope = False
    deepest = 20_000

    def post(self, number, **fields):
        return {
            "id": number,
            "directory": number // 100,
            "image": f"{number}.png",
            "rating": "general",
            "source": "",
            "status": "active",
            "tags": "1girl solo",
            "file_url": f"{self.root}/images/{number // 100}/{number}.png",
            **fields,
        }

    def reply(self, request):
        query = request.query
        listing = (query.get("page"), query.get("s"), query.get("q")) == ("dapi", "post", "index")
        if request.path != self.path or not listing or query.get("json") != "1":
            return super().reply(request)
        if self.envelope and (query.get("user_id"), query.get("api_key")) != (USER, KEY):
            return as_json("Missing authentication. Go to the account page for an API key")
        return self.list(query)

    def list(self, query):
        limit, pid = min(int(query.get("limit", 100)), 100), int(query.get("pid", 0))
        if limit * pid > self.deepest:
            return web.Response(text='<response success="false" reason="too deep!"/>')
        tags = query.get("tags", "").split()
        below = [int(tag[4:]) for tag in tags if tag.startswith("id:<")]
        words = [tag for tag in tags if ":" not in tag]
        found = [
            post
            for post in self.posts
            if all(int(post["id"]) < number for number in below)
            and matches((post["tags"] or "").split(), words)
        ]
        page = found[limit * pid : limit * (pid + 1)]
        if not self.envelope:
            return as_json(page) if page else web.Response(body=b"")
        attributes = {"limit": limit, "offset": limit * pid, "count": len(found)}
        return as_json({"@attributes": attributes, **({"post": page} if page else {})})


class MoebooruServer(PictureServer):
    """/help/api of yande.re and konachan.com (limit to 100, page, log-in) and /help/cheatsheet
    (rating:, order:, id:). Without order:id_desc posts stand in the order of the index, where
    one that was held back comes up when it is let go."""

    path = "/post.json"
    robots = "User-agent: *\nDisallow: /post.json\nDisallow: /post?\n"
    index = ()

    def post(self, number, **fields):
        return {
            "id": number,
            "tags": "1girl solo",
            "source": "",
            "file_url": f"{self.root}/image/{number}.png",
            "is_shown_in_index": True,
            "rating": "s",
            "status": "active",
            "is_held": False,
            **fields,
        }

    def make_deleted(self, number):
        post = self.post(number, status="deleted")
        del post["file_url"]
        return post

    def reply(self, request):
        return self.list(request.query) if request.path == self.path else super().reply(request)

    def list(self, query):
        if query.get("login", USER) != USER or query.get("password_hash", KEY) != KEY:
            return as_json({"success": False, "reason": "access denied"}, 403)
        tags = query.get("tags", "").split()
        posts = [post for post in self.posts if self.finds(post, tags)]
        if "order:id_desc" not in tags:
            posts.sort(key=lambda post: post["id"] not in self.index)
        limit, page = min(int(query.get("limit", 40)), 100), int(query.get("page", 1))
        return as_json(posts[limit * (page - 1) : limit * page])

    def finds(self, post, tags):
        for tag in tags:
            name, _, value = tag.partition(":")
            wrong = {
                "rating": post["rating"] != value[:1],
                "-rating": post["rating"] == value[:1],
                "id": value[:1] == "<" and post["id"] >= int(value[1:] or 0),
            }
            if wrong.get(name):
                return False
        return matches((post["tags"] or "").split(), [tag for tag in tags if ":" not in tag])
