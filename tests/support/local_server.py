"""HTTP servers on this machine, in a thread of their own, and a hasty crawl of one."""

import asyncio
import io
import socket
import threading
import time
from collections import Counter
from pathlib import Path

import yaml
from aiohttp import web
from PIL import Image

from gan.params.data import ScrapeParams
from pipeline.crawl.http.address_guard import normalise
from pipeline.crawl.http.policy import CrawlPolicy
from pipeline.crawl.sink import Sink
from pipeline.crawl.storage.journal import Journal
from pipeline.crawl.storage.writer import publish

REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))["scrape"]
HASTY = {"delay": 0.0, "connections": 8, "timeout": 5.0, "retries": 0, "backoff": 0.02}
FIELDS = {"paces_apis", "allow_noai"}
"""Fields of CrawlPolicy that tests change beside the settings."""


def make_policy(allowed, resolver=None, **changes):
    """The behaviour of a hasty crawl that may ask these private HOST:PORT.

    `changes` are settings, and fields of CrawlPolicy.
    """
    fields = {"paces_apis": False} | {name: changes.pop(name) for name in FIELDS & changes.keys()}
    extra = {"resolver": lambda: resolver} if resolver else {}
    params = ScrapeParams(**SHIPPED | HASTY | changes)
    return CrawlPolicy(params, frozenset(map(normalise, allowed)), **extra, **fields)


def picture(shade=10, kind="PNG", size=(8, 6)):
    """The bytes of a small picture; another for each shade below 2**24."""
    stream = io.BytesIO()
    Image.new("RGB", size, (shade % 256, shade // 256 % 256, shade >> 16)).save(stream, kind)
    return stream.getvalue()


def entries_of(source, folder, earlier=None):
    """Every entry of a crawl of `source` with its journal in `folder`."""
    with Journal(folder, source.identity, earlier) as journal:
        source.fetch(Sink(journal))
        return [record.entry for record in journal.records()]


def fetch_dataset(source, folder, earlier=None, **options):
    """The dataset of a crawl of `source`, in folder/data."""
    with Journal(folder / "journal", source.identity, earlier) as journal:
        source.fetch(Sink(journal, **options))
        return publish(journal, source.describe, folder / "data", folder / "old")


class LocalServer:
    """Answers GET requests on a free port of 127.0.0.1 by `answer(request)`.

    `asked` counts by path with query, `times` lists when each path was asked for, `requests` holds
    the requests.
    """

    def __init__(self):
        self.requests = []
        self.asked = Counter()
        self.times = []
        self.was_asked = threading.Event()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        self.call(self.open())
        return self

    def __exit__(self, *_):
        self.call(self.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    async def open(self):
        application = web.Application()
        application.router.add_get("/{path:.*}", self._answer)
        self.runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self.runner.setup()
        self.port = await self.listen("127.0.0.1")
        self.place = f"127.0.0.1:{self.port}"
        self.root = f"http://{self.place}"

    async def listen(self, host, port=0, **options):
        """Listen at another address, too; returns the port."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        found = socket.create_server((host, port), family=family)
        await web.SockSite(self.runner, found, **options).start()
        return found.getsockname()[1]

    async def close(self):
        await self.runner.cleanup()

    async def _answer(self, request):
        path = self.path_of(request)
        self.asked[path] += 1
        self.times.append((time.monotonic(), path))
        self.requests.append(request)
        self.was_asked.set()
        return await self.answer(request)

    def path_of(self, request):
        return request.path_qs.removeprefix("/")

    def times_of(self, path):
        """The moments at which a path was requested."""
        return [moment for moment, each in self.times if each == path]


class PageServer(LocalServer):
    """Serves `pages[path]`: text as HTML, bytes as a picture, an int as an HTTP status.

    A path is asked for with its query. `waits[path]` are seconds before the answer, `encoding` is
    what texts are sent in.
    """

    def __init__(self):
        super().__init__()
        self.pages = {}
        self.waits = {}
        self.encoding = "utf-8"

    def url(self, path=""):
        return f"{self.root}/{path}"

    def policy(self, **changes):
        return make_policy([self.place], **{"connections": 4, "longest_wait": 1.0} | changes)

    async def answer(self, request):
        path = self.path_of(request)
        await asyncio.sleep(self.waits.get(path, 0))
        found = self.pages.get(path, 404)
        if isinstance(found, int):
            return web.Response(status=found)
        if isinstance(found, bytes):
            return web.Response(body=found, content_type="image/png")
        body = found.encode(self.encoding)
        return web.Response(body=body, content_type="text/html", charset=self.encoding)
