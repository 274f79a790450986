"""A web server on localhost for the tests of sources: pages and pictures by path."""

import asyncio

from aiohttp import web
from local_server import LocalServer, make_policy, picture

from pipeline.crawl.sink import Sink
from pipeline.crawl.storage.journal import Journal

__all__ = ["PageServer", "entries_of", "picture"]


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


def entries_of(source, folder):
    """Every entry of a crawl of `source` with its journal in `folder`."""
    with Journal(folder, source.identity) as journal:
        source.fetch(Sink(journal))
        return [record.entry for record in journal.records()]
