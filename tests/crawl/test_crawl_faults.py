"""A booru that does everything wrong, crawled over HTTP: each address ends as one right row."""

import asyncio
import gzip
import io
import threading
import time
from collections import Counter
from contextlib import contextmanager

import pytest
from aiohttp import web
from PIL import Image

from gan.errors import GanError
from pipeline.crawl.booru import Booru
from pipeline.crawl.engine import Manners
from pipeline.crawl.guard import is_public
from pipeline.crawl.pacing import parse_wait
from pipeline.crawl.sink import Sink
from pipeline.snapshot.journal import Journal

FORBIDDEN_HOST = "127.0.0.3"


def picture(shade=10, kind="PNG"):
    stream = io.BytesIO()
    Image.new("RGB", (20, 10), (shade, 50, 90)).save(stream, kind)
    return stream.getvalue()


class Site:
    """A booru on 127.0.0.1 and a second server, on an address nobody may be led to."""

    def __init__(self):
        self.asked = Counter()
        self.posts = []
        self.times = []
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    @contextmanager
    def running(self):
        self.thread.start()
        self.call(self.open())
        try:
            yield self
        finally:
            self.call(self.close())
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join()

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    async def open(self):
        app = web.Application()
        app.router.add_get("/{path:.*}", self.answer)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self.runner.setup()
        for host in ("127.0.0.1", FORBIDDEN_HOST):
            await web.TCPSite(self.runner, host, 0).start()
        self.port, self.forbidden_port = (address[1] for address in self.runner.addresses)
        self.root = f"http://127.0.0.1:{self.port}"
        self.forbidden = f"http://{FORBIDDEN_HOST}:{self.forbidden_port}"

    async def close(self):
        await self.runner.cleanup()

    async def answer(self, request):
        path = request.path.removeprefix("/")
        if request.transport.get_extra_info("sockname")[0] == FORBIDDEN_HOST:
            path = "forbidden"
        self.asked[path] += 1
        stem = path.partition(".")[0].replace("-", "_")
        handler = getattr(self, f"do_{stem}", None)
        return await handler(request) if handler else web.Response(body=picture())

    async def do_robots(self, request):
        return web.Response(text="User-agent: *\nDisallow: /private/\n")

    async def do_posts(self, request):
        limit, page = int(request.query["limit"]), request.query.get("page", "b1000000")
        posts = [post for post in self.posts if post["id"] < int(page[1:])]
        return web.json_response(posts[:limit])

    async def do_missing(self, request):
        raise web.HTTPNotFound

    async def do_removed(self, request):
        raise web.HTTPGone

    async def do_secret(self, request):
        raise web.HTTPForbidden

    async def do_broken(self, request):
        raise web.HTTPInternalServerError

    async def do_once_broken(self, request):
        if self.asked["once-broken.png"] == 1:
            raise web.HTTPBadGateway
        return web.Response(body=picture(20))

    async def do_busy(self, request):
        self.times.append(time.monotonic())
        if self.asked["busy.png"] == 1:
            raise web.HTTPTooManyRequests(headers={"Retry-After": "2"})
        return web.Response(body=picture(30))

    async def do_login(self, request):
        return web.Response(text="<html>log in</html>", content_type="image/jpeg")

    async def do_truncated(self, request):
        return web.Response(body=picture(kind="JPEG")[:300])

    async def do_short(self, request):
        response = web.StreamResponse(headers={"Content-Length": "5000"})
        await response.prepare(request)
        await response.write(picture())
        request.transport.close()
        return response

    async def do_endless(self, request):
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(50):
            await response.write(bytes(2**20))
        return response

    async def do_gzip_bomb(self, request):
        body = gzip.compress(bytes(60 * 2**20))
        return web.Response(body=body, headers={"Content-Encoding": "gzip"})

    async def do_slow(self, request):
        await asyncio.sleep(30)

    async def do_loop_redirect(self, request):
        raise web.HTTPFound("/loop-redirect.png")

    async def do_moved(self, request):
        raise web.HTTPFound("/elsewhere.png")

    async def do_to_forbidden(self, request):
        raise web.HTTPFound(f"{self.forbidden}/secret.png")

    async def do_to_file(self, request):
        raise web.HTTPFound("file:///etc/passwd")


@pytest.fixture
def site():
    with Site().running() as site:
        yield site


def list_posts(site, urls, **fields):
    site.posts = [
        {"id": 1000 - index, "rating": "g", "tag_string": "a b", "file_url": url, **fields}
        for index, url in enumerate(urls)
    ]


def crawl(site, folder, limit=1000, **manners):
    settings = {"delay_s": 0, "allowed": (f"127.0.0.1:{site.port}",), **manners}
    source = Booru(site.root, "a", limit, "unknown", Manners(**settings))
    with Journal(folder, source.identity) as journal:
        source.fetch(Sink(journal, lambda done, note: None))
        return [entry.row for entry in journal.entries]


FATES = {
    "fine.png": ("ok", ""),
    "missing.png": ("gone", "HTTP 404"),
    "removed.png": ("gone", "HTTP 410"),
    "secret.png": ("blocked", "HTTP 403"),
    "broken.png": ("failed", "HTTP 500"),
    "once-broken.png": ("ok", ""),
    "busy.png": ("ok", ""),
    "login.png": ("bad", "no JPEG, PNG, WebP or GIF"),
    "truncated.png": ("bad", "damaged: "),
    "short.png": ("failed", "ResponseDataLossError"),
    "endless.png": ("too_large", "over 20971520 bytes"),
    "gzip-bomb.png": ("too_large", "over 20971520 bytes"),
    "loop-redirect.png": ("blocked", "too many redirects"),
    "moved.png": ("ok", ""),
    "to-forbidden.png": ("blocked", "its host's address is not public"),
    "to-file.png": ("blocked", "HTTP 302"),
    "private/1.png": ("blocked", "robots.txt"),
    "x" * 3000 + ".png": ("ok", ""),
}


def test_every_fault_ends_as_its_own_row_in_the_order_of_the_listing(site, tmp_path):
    list_posts(site, [f"{site.root}/{name}" for name in FATES])
    rows = crawl(site, tmp_path)
    assert [row.url for row in rows] == [f"{site.root}/{name}" for name in FATES]
    for row, (status, reason) in zip(rows, FATES.values(), strict=True):
        assert (row.status, row.reason[: len(reason)]) == (status, reason), row.url
        assert reason or not row.reason
    assert site.asked["forbidden"] == 0
    assert site.asked["private/1.png"] == 0
    assert rows[0].page == f"{site.root}/posts/1000"
    assert (rows[0].tags, rows[0].rating) == (("a", "b"), "general")
    assert site.times[1] - site.times[0] >= 1.9


def test_private_addresses_in_any_spelling_are_never_asked(site, tmp_path):
    port = site.forbidden_port
    urls = [
        f"{site.forbidden}/a.png",
        f"http://2130706435:{port}/decimal.png",
        f"http://0x7f000003:{port}/hex.png",
        f"http://[::ffff:127.0.0.3]:{port}/mapped.png",
        f"http://[::1]:{port}/six.png",
        f"http://localhost:{site.port}/name.png",
        f"http://127.0.0.1:{port}/other-port.png",
        f"http://user@127.0.0.1:{site.port}/user.png",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/a.png",
        "file:///etc/passwd",
        "ftp://127.0.0.1/a.png",
        "data:image/png;base64,aaaa",
    ]
    list_posts(site, urls)
    rows = crawl(site, tmp_path)
    assert [row.status for row in rows] == ["blocked"] * len(urls), rows
    assert set(site.asked) == {"posts.json", "robots.txt"}


def test_a_private_site_itself_is_refused_unless_it_is_the_exact_one_allowed(site, tmp_path):
    list_posts(site, [f"{site.root}/fine.png"])
    for allowed in ((), ("127.0.0.1",), (f"127.0.0.1:{site.forbidden_port}",)):
        with pytest.raises(GanError, match="not public"):
            crawl(site, tmp_path, allowed=allowed)
    assert not site.asked


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("0.0.0.0", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
    ],
)
def test_public_addresses_are_told_from_others(address, public):
    assert is_public(address) == public


def test_a_slow_answer_is_given_up(site, tmp_path):
    list_posts(site, [f"{site.root}/slow.png", f"{site.root}/fine.png"])
    rows = crawl(site, tmp_path, timeout_s=0.3)
    assert [(row.status, row.reason) for row in rows] == [("failed", "timed out"), ("ok", "")]


def test_pages_are_walked_to_the_limit_and_unwanted_ratings_left_out(site, tmp_path, capsys):
    list_posts(site, [f"{site.root}/{index}.png" for index in range(450)])
    for post in site.posts[::10]:
        post["rating"] = "e"
    del site.posts[1]["file_url"]
    rows = crawl(site, tmp_path, limit=300)
    assert len(rows) == 300
    assert {row.rating for row in rows} == {"general"}
    assert rows[0].url.endswith("/2.png")
    assert site.asked["posts.json"] == 2
    assert "1 posts left out: no file" in capsys.readouterr().err


def test_a_second_run_asks_only_for_what_failed(site, tmp_path):
    list_posts(site, [f"{site.root}/{name}" for name in ("fine.png", "missing.png", "broken.png")])
    first = crawl(site, tmp_path)
    site.asked.clear()
    assert crawl(site, tmp_path) == first
    assert set(site.asked) == {"robots.txt", "posts.json", "broken.png"}


def test_a_second_run_begins_at_the_same_post_although_newer_ones_came(site, tmp_path):
    list_posts(site, [f"{site.root}/{index}.png" for index in range(5)])
    first = crawl(site, tmp_path, limit=3)
    site.posts.insert(0, {**site.posts[0], "id": 2000, "file_url": f"{site.root}/new.png"})
    assert crawl(site, tmp_path, limit=3) == first


def test_the_same_picture_under_two_addresses_is_two_rows(site, tmp_path):
    list_posts(site, [f"{site.root}/one.png", f"{site.root}/two.png", f"{site.root}/one.png"])
    rows = crawl(site, tmp_path)
    assert [row.url for row in rows] == [f"{site.root}/one.png", f"{site.root}/two.png"]
    assert rows[0].sha256 == rows[1].sha256 != ""


@pytest.mark.parametrize("answer", ["nonsense", '{"success": false}', '[{"rating": "g"}]'])
def test_a_listing_that_is_none_is_one_clear_line(site, tmp_path, answer):
    async def reply(request):
        return web.Response(text=answer)

    site.do_posts = reply
    with pytest.raises(GanError, match="not the listing that was expected"):
        crawl(site, tmp_path)


def test_a_listing_that_fails_breaks_the_crawl_off_and_keeps_what_came(site, tmp_path):
    list_posts(site, [f"{site.root}/{index}.png" for index in range(250)])
    whole = site.do_posts

    async def fail_later(request):
        if "page" in request.query:
            raise web.HTTPInternalServerError
        return await whole(request)

    site.do_posts = fail_later
    with pytest.raises(GanError, match="HTTP 500"):
        crawl(site, tmp_path)
    site.do_posts = whole
    site.asked.clear()
    assert len(crawl(site, tmp_path)) == 250
    assert site.asked["0.png"] == 0


def test_the_delay_between_requests_is_kept(site, tmp_path):
    list_posts(site, [f"{site.root}/{index}.png" for index in range(8)])
    began = time.monotonic()
    crawl(site, tmp_path, delay_s=0.15)
    assert time.monotonic() - began >= 8 * 0.15


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("99999999", 600),
        ("Thu, 01 Jan 1970 00:01:00 GMT", 50),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("soon", 1),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(value, seconds):
    assert parse_wait(value, now=10.0) == seconds


def test_a_proxy_in_the_environment_does_not_cut_off_the_allowed_site(site, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", site.forbidden)
    list_posts(site, [f"{site.root}/fine.png"])
    assert [row.status for row in crawl(site, tmp_path)] == ["ok"]
    assert site.asked["forbidden"] == 0


def test_a_full_disk_stops_the_crawl_with_its_reason(site, tmp_path, monkeypatch):
    list_posts(site, [f"{site.root}/{index}.png" for index in range(100)])

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Journal, "add", full)
    with pytest.raises(GanError, match="No space left"):
        crawl(site, tmp_path)
    assert sum(site.asked.values()) < 50
