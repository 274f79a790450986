"""Keeps a crawl on the public web: no file, no private address, whatever a page points at.

A crawler follows addresses that strangers wrote. Without this one link to 127.0.0.1 or to a
cloud's metadata service would be fetched with this machine's rights.
"""

import asyncio
import ipaddress
from typing import Self
from urllib.parse import SplitResult, urlsplit

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response

ALLOWED = "ALLOWED_PRIVATE"
"""Setting: list of host:port that are let through although they are not public."""


class Blocked(IgnoreRequest):
    """The address must not be asked; the message says why and names no address."""


class AddressGuard:
    """Downloader middleware: sees every request, redirects and retries and robots.txt included."""

    def __init__(self, allowed: frozenset[str]) -> None:
        self._allowed = allowed
        self._public: set[str] = set()

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(frozenset(crawler.settings.getlist(ALLOWED)))

    async def process_request(self, request: Request) -> None:
        """Refuse what isn't http(s) to a host all of whose addresses are public."""
        parts = urlsplit(request.url)
        if parts.scheme not in ("http", "https"):
            raise Blocked(f"scheme {parts.scheme} is not http or https")
        if parts.username or parts.password or not parts.hostname:
            raise Blocked("an address with a user name, or without a host")
        if not self._is_allowed(parts) and parts.hostname not in self._public:
            await _require_public(parts.hostname)
            self._public.add(parts.hostname)

    def process_response(self, request: Request, response: Response) -> Response:
        """Drop an answer that came from elsewhere than the name resolved to before."""
        if self._is_allowed(urlsplit(request.url)) or request.meta.get("proxy"):
            return response
        if response.ip_address is None or not is_public(str(response.ip_address)):
            raise Blocked("answered from an address that is not public")
        return response

    def _is_allowed(self, parts: SplitResult) -> bool:
        return parts.netloc in self._allowed


def is_public(address: str) -> bool:
    """True for an IP address of the public internet; wrapped IPv4 counts as what it wraps."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or _nat64(ip)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


def _nat64(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    inside = ip in ipaddress.IPv6Network("64:ff9b::/96")
    return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if inside else None


async def _require_public(host: str) -> None:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None)
    except (OSError, UnicodeError):
        return  # The download itself then fails with the right reason, and is tried again.
    if not all(is_public(str(each[4][0])) for each in found):
        raise Blocked("its host's address is not public")
