"""Servers that do everything wrong, on this machine alone, and a crawl of a list of addresses."""

import asyncio
import socket
from collections import Counter

from aiohttp import web
from aiohttp.abc import AbstractResolver
from local_server import LocalServer, make_policy, picture

from pipeline.crawl.http import engine
from pipeline.crawl.http.listing import Listing
from pipeline.crawl.image_check import ListedImage, PictureLimits
from pipeline.crawl.sink import Sink
from pipeline.crawl.storage.journal import Journal

FORBIDDEN_HOST = "127.0.0.3"
PICTURE = picture(size=(20, 10))


class Names(AbstractResolver):
    """Stands for the DNS: a name gives its next list of addresses, the last one for ever."""

    def __init__(self, answers):
        self.answers = {name: list(lists) for name, lists in answers.items()}
        self.asked = Counter()

    @classmethod
    def here(cls, *names):
        """Names that all lead to this machine."""
        return cls({name: [["127.0.0.1"]] for name in names})

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


class Server(LocalServer):
    """HTTP on 127.0.0.1, a forbidden twin on another address, and raw sockets.

    Subclasses add `do_NAME(request)` for /NAME…; any other path is a picture. `headers` keeps the
    last request's by path.
    """

    def __init__(self):
        super().__init__()
        self.headers = {}
        self.raw_servers = []
        self.robots = "User-agent: *\nDisallow: /private/\n"

    async def open(self):
        await super().open()
        self.forbidden_port = await self.listen(FORBIDDEN_HOST)
        self.six_port = await self.listen("::1")
        self.forbidden = f"http://{FORBIDDEN_HOST}:{self.forbidden_port}"

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
        await super().close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def path_of(self, request):
        if request.transport.get_extra_info("sockname")[0] in (FORBIDDEN_HOST, "::1"):
            return "forbidden"
        return request.path.removeprefix("/")

    async def answer(self, request):
        path = self.path_of(request)
        self.headers[path] = dict(request.headers)
        stem = path.partition(".")[0].partition("/")[0].replace("-", "_")
        handler = getattr(self, f"do_{stem}", None)
        return await handler(request) if handler else web.Response(body=PICTURE)

    async def do_robots(self, request):
        return web.Response(text=self.robots)


def crawl(urls, folder, allowed=(), resolver=None, log=None, **changes):
    """The entries of these addresses, or of any other listing, in order."""
    listing = urls
    if not isinstance(urls, Listing):
        listing = Listing(ListedImage(n, f"page:{n}", url) for n, url in enumerate(urls))
    policy = make_policy(allowed, resolver, **{"retries": 2} | changes)
    limits = PictureLimits(policy.params.max_bytes, policy.params.max_pixels)
    with Journal(folder, {"source": "test"}) as journal:
        sink = Sink(journal, limits, log=log) if log else Sink(journal, limits)
        engine.crawl(listing, sink, policy)
        return [record.entry for record in journal.records()]
