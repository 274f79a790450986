"""A web server on localhost for the tests of sources: pages and pictures by path."""

import asyncio
import io
import threading
import time
from collections import Counter

from aiohttp import web
from PIL import Image

from gan.params.data import ScrapeParams
from pipeline.crawl.http.policy import CrawlPolicy
from pipeline.crawl.sink import Sink
from pipeline.crawl.storage.journal import Journal

HASTY = {
    "contact": "",
    "delay": 0.0,
    "connections": 4,
    "timeout": 5.0,
    "retries": 0,
    "backoff": 0.0,
    "longest_wait": 1.0,
    "give_up_after": 1000,
    "redirects": 5,
    "max_pages": 1000,
    "max_bytes": 2**20,
    "max_pixels": 10**6,
    "archive_members": 1000,
    "archive_bytes": 2**30,
    "archive_ratio": 100.0,
}


def picture(shade=10, kind="PNG"):
    """The bytes of a small picture; another for each shade below 2**24."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 6), (shade % 256, shade // 256 % 256, shade >> 16)).save(stream, kind)
    return stream.getvalue()


class PageServer:
    """Serves `pages[path]`: text as HTML, bytes as a picture, an int as an HTTP status.

    A path is asked for with its query. `waits[path]` are seconds before the answer; `times` holds
    when each path was asked for last, `encoding` what texts are sent in.
    """

    def __init__(self):
        self.pages = {}
        self.waits = {}
        self.asked = Counter()
        self.times = {}
        self.encoding = "utf-8"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        self._call(self._open())
        return self

    def __exit__(self, *_):
        self._call(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def place(self):
        return f"127.0.0.1:{self.port}"

    def url(self, path=""):
        return f"http://{self.place}/{path}"

    def policy(self, **changes):
        return CrawlPolicy(ScrapeParams(**HASTY | changes), frozenset({self.place}))

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _open(self):
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]

    async def _answer(self, request):
        path = request.path_qs.removeprefix("/")
        self.asked[path] += 1
        self.times[path] = time.monotonic()
        await asyncio.sleep(self.waits.get(path, 0))
        found = self.pages.get(path, 404)
        if isinstance(found, int):
            return web.Response(status=found)
        if isinstance(found, bytes):
            return web.Response(body=found, content_type="image/png")
        body = found.encode(self.encoding)
        return web.Response(body=body, content_type="text/html", charset=self.encoding)


def entries_of(source, folder):
    """Every entry of a crawl of `source` with its journal in `folder`."""
    with Journal(folder, source.identity) as journal:
        source.fetch(Sink(journal))
        return [record.entry for record in journal.records()]
