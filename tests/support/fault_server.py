"""Servers that do everything wrong, on this machine alone, and a crawl of a list of addresses."""

import asyncio
import io
import socket
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import yaml
from aiohttp import web
from aiohttp.abc import AbstractResolver
from PIL import Image

from gan.params.data import ScrapeParams
from pipeline.crawl.http import engine
from pipeline.crawl.http.address_guard import normalise
from pipeline.crawl.http.listing import Listing
from pipeline.crawl.http.policy import CrawlPolicy
from pipeline.crawl.image_check import ListedImage, PictureLimits
from pipeline.crawl.sink import Sink
from pipeline.crawl.storage.journal import Journal

FORBIDDEN_HOST = "127.0.0.3"
REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))["scrape"]
QUICK = {"delay": 0.0, "connections": 8, "timeout": 5.0, "retries": 2, "backoff": 0.02}


def picture(shade=10, kind="PNG", size=(20, 10)):
    stream = io.BytesIO()
    Image.new("RGB", size, (shade, 50, 90)).save(stream, kind)
    return stream.getvalue()


def scrape_params(**changes):
    return ScrapeParams(**{**SHIPPED, **QUICK, **changes})


PICTURE = picture()


def list_urls(urls):
    """A listing of nothing but these addresses."""
    return Listing(ListedImage(n, f"page:{n}", url) for n, url in enumerate(urls))


class Names(AbstractResolver):
    """Stands for the DNS: a name gives its next list of addresses, the last one for ever."""

    def __init__(self, answers):
        self.answers = {name: list(lists) for name, lists in answers.items()}
        self.asked = Counter()

    async def resolve(self, host, port=0, family=socket.AF_INET):
        host = host.removesuffix(".")
        self.asked[host] += 1
        if host not in self.answers:
            raise OSError("no such name")
        lists = self.answers[host]
        addresses = lists.pop(0) if len(lists) > 1 else lists[0]
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
            for address in addresses
        ]

    async def close(self):
        pass


class Server:
    """HTTP on 127.0.0.1, a forbidden twin on another address, and raw sockets, in a thread.

    Subclasses add `do_NAME(request)` for /NAME…; any other path is a picture. `asked` counts by
    path, `headers` keeps the last request's by path, `times` says when each came.
    """

    def __init__(self):
        self.asked = Counter()
        self.was_asked = threading.Event()
        self.headers = {}
        self.times = []
        self.robots = "User-agent: *\nDisallow: /private/\n"
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
            self.loop.close()

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    async def open(self):
        app = web.Application()
        app.router.add_get("/{path:.*}", self.answer)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self.runner.setup()
        self.port = await self.listen("127.0.0.1")
        self.forbidden_port = await self.listen(FORBIDDEN_HOST)
        self.six_port = await self.listen("::1")
        self.place = f"127.0.0.1:{self.port}"
        self.root = f"http://{self.place}"
        self.forbidden = f"http://{FORBIDDEN_HOST}:{self.forbidden_port}"
        self.raw_servers = []

    async def listen(self, host, port=0, **options):
        found = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
        await web.SockSite(self.runner, found, **options).start()
        return found.getsockname()[1]

    async def raw(self, talk):
        """The port of a server that hands each connection to talk(reader, writer)."""

        async def serve(reader, writer):
            try:
                await talk(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass  # the crawler went away, or the test is over
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self.raw_servers.append(server)
        return server.sockets[0].getsockname()[1]

    async def close(self):
        for server in self.raw_servers:
            server.close()
        await self.runner.cleanup()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def answer(self, request):
        path = request.path.removeprefix("/")
        if request.transport.get_extra_info("sockname")[0] in (FORBIDDEN_HOST, "::1"):
            path = "forbidden"
        self.asked[path] += 1
        self.was_asked.set()
        self.headers[path] = dict(request.headers)
        self.times.append((time.monotonic(), path))
        stem = path.partition(".")[0].partition("/")[0].replace("-", "_")
        handler = getattr(self, f"do_{stem}", None)
        return await handler(request) if handler else web.Response(body=PICTURE)

    async def do_robots(self, request):
        return web.Response(text=self.robots)

    def times_of(self, path):
        """The moments at which a path was requested."""
        return [moment for moment, each in self.times if each == path]


def crawl(urls, folder, allowed=(), resolver=None, limits=None, log=None, **changes):
    """The entries of these addresses, or of any other listing, in order."""
    listing = urls if isinstance(urls, Listing) else list_urls(urls)
    params = scrape_params(**changes)
    extra = {"resolver": lambda: resolver} if resolver else {}
    policy = CrawlPolicy(params, frozenset(map(normalise, allowed)), **extra)
    limits = limits or PictureLimits(params.max_bytes, params.max_pixels)
    with Journal(folder, {"source": "test"}) as journal:
        sink = Sink(journal, limits, log=log) if log else Sink(journal, limits)
        engine.crawl(listing, sink, policy)
        return [record.entry for record in journal.records()]
