"""Local booru: Danbooru's JSON API over pictures that are drawn on request."""

import asyncio
import html
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

from aiohttp import web

from pipeline.gallery.faults import fault_of, picture_of

Paint = Callable[[int, int], bytes]
"""paint(seed, size) -> JPEG bytes; sent to other processes, so a module-level function."""
Describe = Callable[[int], list[str]]
"""describe(seed) -> tags of the picture painted from it."""
Measure = Callable[[int, int], tuple[int, int]]
"""measure(seed, size) -> width and height in pixels of what paint(seed, size) paints."""

LARGEST_PAGE = 200
CREATED = "2026-01-01T00:00:00.000+00:00"
ROBOTS = "User-agent: *\nDisallow: /private/\n"


def square(seed: int, size: int) -> tuple[int, int]:
    """Size of avatars in pixels, a Measure."""
    return size, size


@dataclass(frozen=True)
class Gallery:
    """Content of the gallery: posts 1 to `count`, post n painted from seed + n."""

    count: int
    size: int
    seed: int
    paint: Paint
    describe: Describe
    measure: Measure = square

    def path_of(self, post: int) -> str:
        folder = "private" if fault_of(post) == "forbidden" else "data"
        return f"/{folder}/{post}.jpg"

    def tags_of(self, post: int) -> list[str]:
        return sorted(self.describe(self.seed + picture_of(post)))


@contextmanager
def serve(gallery: Gallery, processes: int | None = None) -> Iterator[str]:
    """Serve `gallery` on a free port of 127.0.0.1 while the block runs; yields the root URL.

    The server runs in a thread of this process and paints in `processes` others (one a core by
    default), which end with it, even if it is killed.
    """
    with _painters(processes or os.cpu_count() or 1) as pool:
        server = _Server(gallery, pool)
        server.start()
        try:
            yield f"http://127.0.0.1:{server.port}"
        finally:
            server.stop()


@contextmanager
def _painters(processes: int) -> Iterator[ProcessPoolExecutor]:
    # Spawned, not forked: this process has threads, and Scrapy's modules need not go along.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, context, initializer=_follow_parent)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _follow_parent() -> None:
    """In a painting process: leave Ctrl-C to the parent, and exit when that is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class _Server:
    """The HTTP server, on its own event loop in a thread."""

    def __init__(self, gallery: Gallery, pool: ProcessPoolExecutor) -> None:
        self.port = 0
        self._gallery = gallery
        self._pool = pool
        self._was_busy = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self) -> None:
        application = web.Application()
        application.router.add_get("/robots.txt", self._robots)
        application.router.add_get("/posts.json", self._list)
        application.router.add_get(r"/posts/{post:\d+}", self._page)
        application.router.add_get(r"/{folder:data|private}/{post:\d+}.jpg", self._picture)
        # Half a second for open responses: a crawl that was interrupted must not wait for them.
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _robots(self, request: web.Request) -> web.Response:
        return web.Response(text=ROBOTS)

    async def _page(self, request: web.Request) -> web.Response:
        post = self._post(request)
        tags = html.escape(" ".join(self._gallery.tags_of(post)))
        body = f'<!doctype html><title>{tags}</title><img src="{self._gallery.path_of(post)}">'
        return web.Response(text=body, content_type="text/html")

    async def _list(self, request: web.Request) -> web.Response:
        try:
            posts = select_posts(self._gallery, request.query)
        except ValueError:
            raise web.HTTPBadRequest(text="limit or page is no number") from None
        root = f"{request.scheme}://{request.host}"
        answer = [_describe(self._gallery, post, root) for post in posts]
        return web.Response(text=json.dumps(answer), content_type="application/json")

    async def _picture(self, request: web.Request) -> web.Response:
        post = self._post(request)
        fault = fault_of(post)
        if fault == "missing" or request.path != self._gallery.path_of(post):
            raise web.HTTPNotFound
        if fault == "busy" and not self._was_busy:
            self._was_busy = True
            raise web.HTTPTooManyRequests(headers={"Retry-After": "1"})
        seed = self._gallery.seed + picture_of(post)
        loop = asyncio.get_running_loop()
        data = await loop.run_in_executor(
            self._pool, self._gallery.paint, seed, self._gallery.size
        )
        body = data[: len(data) // 2] if fault == "truncated" else data
        return web.Response(body=body, content_type="image/jpeg")

    def _post(self, request: web.Request) -> int:
        post = int(request.match_info["post"])
        if not 1 <= post <= self._gallery.count:
            raise web.HTTPNotFound
        return post


def select_posts(gallery: Gallery, query: Mapping[str, str]) -> list[int]:
    """Post numbers of one page of a listing, newest first, by Danbooru's parameters.

    `limit` up to 200 (20 by default), `page` a number or b<id> for the posts before one, `tags`
    words that all must apply, rating:general among them. Raises ValueError on anything else.
    """
    limit = min(int(query.get("limit", "20")), LARGEST_PAGE)
    page, words = query.get("page", "1"), query.get("tags", "").split()
    before = int(page[1:]) if page.startswith("b") else gallery.count + 1
    skipped = 0 if page.startswith("b") else (int(page) - 1) * limit
    if limit < 1 or skipped < 0:
        raise ValueError(page)
    posts = range(min(before - 1, gallery.count), 0, -1)
    matching = (post for post in posts if _matches(gallery, post, words))
    return list(islice(matching, skipped, skipped + limit))


def _matches(gallery: Gallery, post: int, words: list[str]) -> bool:
    wanted = set(words) - {"rating:g", "rating:general"}
    return not wanted or wanted <= set(gallery.tags_of(post))


def _describe(gallery: Gallery, post: int, root: str) -> dict[str, object]:
    tags = gallery.tags_of(post)
    seed = gallery.seed + picture_of(post)
    width, height = gallery.measure(seed, gallery.size)
    return {
        "id": post,
        "created_at": CREATED,
        "source": f"painter:{seed}",
        "rating": "g",
        "tag_string": " ".join(tags),
        "tag_count": len(tags),
        "file_ext": "jpg",
        "image_width": width,
        "image_height": height,
        "file_url": f"{root}{gallery.path_of(post)}",
    }
