"""Download of one request: the address that it connects to is the very one that was checked.

Behind a proxy the proxy resolves names: then a name is refused if this machine resolves it to a
private address, and the proxy decides about the others.
"""

import socket
import time
from contextlib import suppress
from urllib.request import getproxies

import aiohttp
from scrapy import Request
from scrapy.core.downloader.handlers._aiohttp import AiohttpDownloadHandler, _ClientResponse
from scrapy.crawler import Crawler
from scrapy.exceptions import DownloadConnectionRefusedError
from scrapy.http import Response
from scrapy.utils.httpobj import urlparse_cached

from pipeline.crawl.http.address_guard import (
    CheckedResolver,
    NotPublicError,
    host_port_of,
    normalise,
)
from pipeline.crawl.http.failure_reasons import NOT_PUBLIC, NOT_TRUSTED, RequestRefused
from pipeline.crawl.http.policy import policy_of

NAMES_LAST_S = 10


class GuardedHandler(AiohttpDownloadHandler):
    """Scrapy's asyncio handler, connecting only to checked addresses."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._session.detach()
        policy = policy_of(crawler)
        names = policy.resolver()
        self._resolver = CheckedResolver(names, policy.allowed)
        to_proxies = CheckedResolver(names, policy.allowed or _proxies())
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=to_proxies,
                socket_factory=to_proxies.make_socket,
                ttl_dns_cache=NAMES_LAST_S,
                limit=self._pool_size_per_host,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            response_class=_ClientResponse,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        )

    async def download_request(self, request: Request) -> Response:
        """The whole answer; `download_latency` in the request's meta is up to its last byte."""
        began = time.monotonic()
        if request.meta.get("proxy"):
            parts = urlparse_cached(request)
            port = int(host_port_of(parts).rpartition(":")[2])
            with suppress(OSError):  # only the proxy may know this name
                await self._resolver.resolve(parts.hostname or "", port, socket.AF_UNSPEC)
        try:
            response = await super().download_request(request)
        except DownloadConnectionRefusedError as error:
            # Another try would fail in the same way.
            if isinstance(error.__cause__, aiohttp.ClientConnectorCertificateError):
                raise RequestRefused("failed", NOT_TRUSTED) from error.__cause__
            if isinstance(getattr(error.__cause__, "os_error", None), NotPublicError):
                raise RequestRefused("blocked", NOT_PUBLIC) from error.__cause__
            raise
        request.meta["download_latency"] = time.monotonic() - began
        return response


def _proxies() -> frozenset[str]:
    """host:port of the proxies in the environment, which the user chose."""
    urls = (url for scheme, url in getproxies().items() if scheme in ("http", "https", "all"))
    return frozenset(normalise(url.partition("://")[2] or url) for url in urls)
