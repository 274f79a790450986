"""Local booru: Danbooru's JSON API over pictures that are drawn on request.

It has deliberate faults, so that a crawl of it meets the faults of real sites.
"""

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from aiohttp import web

Paint = Callable[[int, int], bytes]
"""paint(seed, size) -> JPEG bytes; sent to other processes, so a module-level function."""
Describe = Callable[[int], list[str]]
"""describe(seed) -> tags of the picture painted from it."""

Fault = Literal["missing", "truncated", "busy", "forbidden"]

FORBIDDEN_POST = 34
BUSY_POST = 21
LARGEST_PAGE = 200
ROBOTS = "User-agent: *\nDisallow: /private/\n"


def fault_of(post: int) -> Fault | None:
    """The fault of a post's picture, or None: about one in seventy never arrives.

    `missing` answers 404, `truncated` sends half the bytes, `busy` answers 429 once and then the
    picture, `forbidden` has a path that robots.txt disallows.
    """
    if post == FORBIDDEN_POST:
        return "forbidden"
    if post == BUSY_POST:
        return "busy"
    if post % 100 == 13:
        return "missing"
    return "truncated" if post % 400 == 77 else None


def picture_of(post: int) -> int:
    """The number of the picture a post shows: its own, or that of the post before it (reposts)."""
    return post - 1 if post % 200 == 50 else post


@dataclass(frozen=True)
class Gallery:
    """Content of the gallery: posts 1 to `count`, post n painted from seed + n."""

    count: int
    size: int
    seed: int
    paint: Paint
    describe: Describe

    def path_of(self, post: int) -> str:
        folder = "private" if fault_of(post) == "forbidden" else "data"
        return f"/{folder}/{post}.jpg"

    def describe_post(self, post: int, root: str) -> dict[str, object]:
        """The fields of Danbooru's API that a crawl reads."""
        seed = self.seed + picture_of(post)
        return {
            "id": post,
            "source": f"painter:{seed}",
            "rating": "g",
            "tag_string": " ".join(sorted(self.describe(seed))),
            "file_url": f"{root}{self.path_of(post)}",
        }


@contextmanager
def serve(gallery: Gallery, processes: int | None = None) -> Iterator[str]:
    """Serve `gallery` on a free port of 127.0.0.1 while the block runs; yields the root URL.

    The server runs in a thread of this process and paints in `processes` others (one a core by
    default), which end with it, even if it is killed.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    with _painters(processes or os.cpu_count() or 1) as pool:
        # Half a second for open responses: a crawl that was interrupted must not wait for them.
        application = _Server(gallery, pool).application()
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(_open(runner), loop).result()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


async def _open(runner: web.AppRunner) -> None:
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()


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
    """The answers to a crawl: robots.txt, pages of posts, pictures, some of them faulty."""

    def __init__(self, gallery: Gallery, pool: ProcessPoolExecutor) -> None:
        self._gallery = gallery
        self._pool = pool
        self._was_busy = False

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/robots.txt", self._robots)
        application.router.add_get("/posts.json", self._list)
        application.router.add_get(r"/{folder:data|private}/{post:\d+}.jpg", self._picture)
        return application

    async def _robots(self, request: web.Request) -> web.Response:
        return web.Response(text=ROBOTS)

    async def _list(self, request: web.Request) -> web.Response:
        """The newest posts, or with `page=b<id>` those before one; `limit` up to 200."""
        limit = min(int(request.query.get("limit", "20")), LARGEST_PAGE)
        before = int(request.query.get("page", f"b{self._gallery.count + 1}")[1:])
        newest = min(before - 1, self._gallery.count)
        root = f"{request.scheme}://{request.host}"
        posts = range(newest, max(0, newest - limit), -1)
        return web.json_response([self._gallery.describe_post(post, root) for post in posts])

    async def _picture(self, request: web.Request) -> web.Response:
        gallery, post = self._gallery, int(request.match_info["post"])
        fault = fault_of(post)
        if fault == "missing" or request.path != gallery.path_of(post):
            raise web.HTTPNotFound
        if fault == "busy" and not self._was_busy:
            self._was_busy = True
            raise web.HTTPTooManyRequests(headers={"Retry-After": "1"})
        seed = gallery.seed + picture_of(post)
        loop = asyncio.get_running_loop()
        data = await loop.run_in_executor(self._pool, gallery.paint, seed, gallery.size)
        body = data[: len(data) // 2] if fault == "truncated" else data
        return web.Response(body=body, content_type="image/jpeg")
