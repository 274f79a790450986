"""Guard against server-side request forgery: no file, no private address is ever fetched.

A crawler follows addresses that strangers wrote. Without a guard, one link to 127.0.0.1 or to a
cloud's metadata service would be fetched with this machine's rights. Three checks: here the
address as it is written, redirects included; in `download_handler` every name's addresses when a
connection is made, and every socket; here again the address that answered.
"""

import ipaddress
import socket
from typing import Self
from urllib.parse import ParseResult, SplitResult, urlsplit

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.http import Response
from scrapy.utils.httpobj import urlparse_cached

from pipeline.crawl.http.failure_reasons import NO_ADDRESS, NOT_PUBLIC, RequestRefused

ALLOWED = "ALLOWED_PRIVATE"
"""Setting: list of host:port that are allowed although they are not public."""

SINGLE_HOST = "single_host"
"""Request meta: true where the address has a key, so that no redirect may lead to another host."""

PORTS = {"http": 80, "https": 443}
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Special ranges that the ipaddress module of some Python versions calls public.
NEVER_PUBLIC = tuple(
    ipaddress.ip_network(network) for network in ("2001::/23", "3fff::/20", "192.88.99.0/24")
)
HARMLESS_HEADERS = {
    b"User-Agent",
    b"Accept",
    b"Accept-Language",
    b"Accept-Encoding",
    b"Proxy-Authorization",  # for the proxy alone; no host gets it
}


class AddressGuard:
    """Downloader middleware: checks every request, also redirects, retries and robots.txt."""

    def __init__(self, allowed: frozenset[str]) -> None:
        self._allowed = allowed

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(frozenset(crawler.settings.getlist(ALLOWED)))

    def process_request(self, request: Request) -> None:
        """Refuse a request that isn't http(s), has a password, or goes to a private address."""
        parts = urlparse_cached(request)
        place = host_port_of(parts)
        if parts.username or parts.password:
            raise RequestRefused("blocked", "an address with a user name or password")
        if place not in self._allowed:
            _require_public(parts.hostname or "")
        _drop_credentials(request, parts)

    def process_response(self, request: Request, response: Response) -> Response:
        """Refuse an answer from a private address; a proxy answers for others."""
        if request.meta.get("proxy") or host_port_of(urlparse_cached(request)) in self._allowed:
            return response
        if response.ip_address is None or not is_public(str(response.ip_address)):
            raise RequestRefused("blocked", NOT_PUBLIC)
        return response


def host_port_of(parts: SplitResult | ParseResult) -> str:
    """The host:port of an address, in one spelling; RequestRefused where it has none."""
    try:
        port = parts.port or PORTS[parts.scheme]
    except (KeyError, ValueError):
        raise RequestRefused("blocked", NO_ADDRESS) from None
    if not parts.hostname:
        raise RequestRefused("blocked", NO_ADDRESS)
    return host_port(parts.hostname, port)


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
        inner = ip.ipv4_mapped or ip.sixtofour or _nat64(ip)
        if inner is not None:
            return is_public(str(inner))
        if ip not in GLOBAL_UNICAST:
            return False
    special = any(ip.version == net.version and ip in net for net in NEVER_PUBLIC)
    return ip.is_global and not ip.is_multicast and not special


def _nat64(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in NAT64 else None


def _require_public(host: str) -> None:
    """Refuse a host written as a number, in any spelling; names are checked when resolved."""
    host = host.removesuffix(".")
    if "%" in host:
        raise RequestRefused("blocked", NOT_PUBLIC)
    try:
        if not is_public(host):
            raise RequestRefused("blocked", NOT_PUBLIC)
        return
    except ValueError:
        pass
    try:
        unusual = socket.inet_ntoa(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return
    raise RequestRefused("blocked", NO_ADDRESS if is_public(unusual) else NOT_PUBLIC)


def _drop_credentials(request: Request, parts: ParseResult) -> None:
    """Remove the headers for the first host alone from a redirect to another one."""
    first = next(iter(request.meta.get("redirect_urls", ())), request.url)
    if host_port_of(urlsplit(first)) == host_port_of(parts):
        return
    if request.meta.get(SINGLE_HOST):
        raise RequestRefused(
            "blocked", "a redirect to another host, of an address that holds a key"
        )
    for name in set(request.headers) - HARMLESS_HEADERS:
        del request.headers[name]
