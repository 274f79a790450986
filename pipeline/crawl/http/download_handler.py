"""Download of one request: the address that it connects to is the very one that was checked.

A name may resolve to a public address when it is checked and to a private one a moment later
(DNS rebinding). So names are resolved once, by the connection itself, through a resolver that
refuses a name with any private address; and no socket is made for a private address, however it
was spelled. Behind a proxy the proxy resolves names: then a name is refused if this machine
resolves it to a private address, and the proxy decides about the others.
"""

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from urllib.request import getproxies

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from scrapy import Request
from scrapy.core.downloader.handlers._aiohttp import AiohttpDownloadHandler, _ClientResponse
from scrapy.crawler import Crawler
from scrapy.exceptions import DownloadConnectionRefusedError
from scrapy.http import Response
from scrapy.utils.httpobj import urlparse_cached

from pipeline.crawl.http.address_guard import (
    ALLOWED,
    host_port,
    host_port_of,
    is_public,
    normalise,
)
from pipeline.crawl.http.failure_reasons import NOT_PUBLIC, NOT_TRUSTED, RequestRefused

RESOLVER = "NAME_RESOLVER"
"""Setting: a class or function that makes an aiohttp resolver."""

NAMES_LAST_S = 10


class NotPublicError(OSError):
    """No socket is made for this address."""


class CheckedResolver(AbstractResolver):
    """Checks another resolver's answers; RequestRefused for a private one that isn't allowed."""

    def __init__(self, names: AbstractResolver, allowed: frozenset[str]) -> None:
        self._names = names
        self._allowed = allowed
        self._allowed_addresses: set[str] = set(allowed)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        try:
            found = await self._names.resolve(host, port, family)
        except UnicodeError:
            raise OSError("no host name") from None
        if host_port(host, port) in self._allowed:
            self._allowed_addresses.update(host_port(each["host"], port) for each in found)
        elif not all(is_public(each["host"]) for each in found):
            raise RequestRefused("blocked", NOT_PUBLIC)
        return found

    def make_socket(self, info: "aiohttp.AddrInfoType") -> socket.socket:
        """A socket for an address that is public or allowed; NotPublicError for any other."""
        family, kind, protocol, _, (address, port, *_) = info
        if (
            not is_public(str(address))
            and host_port(str(address), int(port)) not in self._allowed_addresses
        ):
            raise NotPublicError(NOT_PUBLIC)
        return socket.socket(family, kind, protocol)

    async def close(self) -> None:
        await self._names.close()


class GuardedHandler(AiohttpDownloadHandler):
    """Scrapy's asyncio handler, connecting only to checked addresses."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._session.detach()
        make: Callable[[], AbstractResolver] = crawler.settings[RESOLVER]
        allowed = frozenset(crawler.settings.getlist(ALLOWED))
        self._resolver = CheckedResolver(make(), allowed)
        proxies = _proxies() if crawler.settings.getbool("HTTPPROXY_ENABLED") else frozenset()
        to_proxies = CheckedResolver(self._resolver._names, allowed | proxies)
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
            await self._check_name(request)
        try:
            response = await super().download_request(request)
        except DownloadConnectionRefusedError as error:
            raise _refusal(error.__cause__) or error from error.__cause__
        request.meta["download_latency"] = time.monotonic() - began
        return response

    async def _check_name(self, request: Request) -> None:
        parts = urlparse_cached(request)
        port = int(host_port_of(parts).rpartition(":")[2])
        with suppress(OSError):  # only the proxy may know this name
            await self._resolver.resolve(parts.hostname or "", port, socket.AF_UNSPEC)


def _refusal(cause: BaseException | None) -> RequestRefused | None:
    """The refusal for a failure that another try would repeat; None for any other failure."""
    if isinstance(cause, aiohttp.ClientConnectorCertificateError):
        return RequestRefused("failed", NOT_TRUSTED)
    if isinstance(getattr(cause, "os_error", None), NotPublicError):
        return RequestRefused("blocked", NOT_PUBLIC)
    return None


def _proxies() -> frozenset[str]:
    """host:port of the proxies in the environment, which the user chose."""
    urls = (url for scheme, url in getproxies().items() if scheme in ("http", "https", "all"))
    return frozenset(normalise(url.partition("://")[2] or url) for url in urls)
