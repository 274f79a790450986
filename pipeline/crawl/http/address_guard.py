"""Guard against server-side request forgery: no file, no private address is ever fetched.

A crawler follows addresses that strangers wrote. Without a guard, one link to 127.0.0.1 or to a
cloud's metadata service would be fetched with this machine's rights. `AddressGuard` checks each
address as it is written, redirects included. A name may resolve to a public address when it is
checked and to a private one a moment later (DNS rebinding), so names are resolved once, by the
connection itself, through `CheckedResolver`, which also makes every socket.
"""

import ipaddress
import socket
from typing import Self
from urllib.parse import ParseResult, SplitResult, urlsplit

from aiohttp import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult
from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.utils.httpobj import urlparse_cached

from pipeline.crawl.http.failure_reasons import NO_ADDRESS, NOT_PUBLIC, RequestRefused
from pipeline.crawl.http.policy import policy_of

SINGLE_HOST = "single_host"
"""Request meta: true where the address has a key, so that no redirect may lead to another host."""

PORTS = {"http": 80, "https": 443}
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Special ranges that the ipaddress module of some Python versions calls public.
NEVER_PUBLIC = tuple(
    ipaddress.ip_network(network) for network in ("2001::/23", "3fff::/20", "192.88.99.0/24")
)


class NotPublicError(OSError):
    """No socket is made for this address."""


class AddressGuard:
    """Downloader middleware: checks every request, also redirects, retries and robots.txt."""

    def __init__(self, allowed: frozenset[str]) -> None:
        self._allowed = allowed

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(policy_of(crawler).allowed)

    def process_request(self, request: Request) -> None:
        """Refuse a request that isn't http(s), has a password, or goes to a private address."""
        parts = urlparse_cached(request)
        place = host_port_of(parts)
        if parts.username or parts.password:
            raise RequestRefused("blocked", "an address with a user name or password")
        if place not in self._allowed:
            _require_public(parts.hostname or "")
        first = next(iter(request.meta.get("redirect_urls", ())), request.url)
        if request.meta.get(SINGLE_HOST) and host_port_of(urlsplit(first)) != place:
            why = "a redirect to another host, of an address that holds a key"
            raise RequestRefused("blocked", why)


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

    def make_socket(self, info: AddrInfoType) -> socket.socket:
        """A socket for an address that is public or allowed; NotPublicError for any other."""
        family, kind, protocol, _, (address, port, *_) = info
        place = host_port(str(address), int(port))
        if not is_public(str(address)) and place not in self._allowed_addresses:
            raise NotPublicError(NOT_PUBLIC)
        return socket.socket(family, kind, protocol)

    async def close(self) -> None:
        await self._names.close()


def host_port_of(parts: SplitResult | ParseResult) -> str:
    """The host:port of an address, in one spelling; RequestRefused where it has none."""
    if not parts.hostname:
        raise RequestRefused("blocked", NO_ADDRESS)
    return host_port(parts.hostname, parts.port or PORTS[parts.scheme])


def host_port(host: str, port: int) -> str:
    """host:port in one spelling: lower case, no trailing dot, IPv6 short and in brackets."""
    host = host.lower().removesuffix(".")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"{host}:{port}"
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def normalise(allowed: str) -> str:
    """A HOST:PORT as a person writes it, in the spelling of `host_port`."""
    parts = urlsplit(f"//{allowed}", scheme="http")
    return host_port(parts.hostname or "", parts.port or PORTS["http"])


def is_public(address: str) -> bool:
    """True for an IP address of the public internet; IPv4 inside IPv6 counts as that IPv4."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if ip not in GLOBAL_UNICAST:
            return False
    special = any(ip.version == net.version and ip in net for net in NEVER_PUBLIC)
    return ip.is_global and not ip.is_multicast and not special


def _require_public(host: str) -> None:
    """Refuse a host written as a number, in any spelling; names are checked when resolved."""
    host = host.removesuffix(".")
    if "%" in host:
        raise RequestRefused("blocked", NOT_PUBLIC)
    try:
        if is_public(host):
            return
    except ValueError:
        try:
            unusual = socket.inet_ntoa(socket.inet_aton(host))
        except (OSError, UnicodeError):
            return  # a name
        if is_public(unusual):
            raise RequestRefused("blocked", NO_ADDRESS) from None
    raise RequestRefused("blocked", NOT_PUBLIC)
