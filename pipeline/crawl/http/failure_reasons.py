"""Status and reason of a request that brought no picture, from the crawler's exception.

Reasons go into the dataset: they are the same in every run and name no address, port or class.
"""

import errno
import gzip
import re
import zlib

import aiohttp
import brotli
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    IgnoreRequest,
    ResponseDataLossError,
    UnsupportedURLSchemeError,
)
from scrapy.spidermiddlewares.httperror import HttpError

from pipeline.crawl.image_check import describe_excess
from pipeline.dataset.manifest import Status

OUTCOMES: dict[int, Status] = {
    **dict.fromkeys((404, 410), "gone"),
    **dict.fromkeys((401, 403, 451), "blocked"),
}
"""Outcomes of HTTP statuses that aren't just failures."""
TEMPORARY_STATUSES = frozenset({408, 429, *range(500, 600)})
"""HTTP statuses of a host that can't answer now; the same request may succeed later."""
NO_ADDRESS = "not a valid http or https address"
NOT_PUBLIC = "its host's address is not public"
FORBIDDEN = "robots.txt"
ELSEWHERE = "fetch with gallery-dl and give its folder: --source archive:FOLDER"
FORBIDS = f"the site's robots.txt forbids this to crawlers; with the site's leave, {ELSEWHERE}"
CHALLENGE = "a challenge for browsers"
NOAI = "noai: its site keeps it from AI"
NOT_TRUSTED = "TLS certificate not trusted"

REASONS: dict[type[BaseException], str] = {
    DownloadTimeoutError: "timed out",
    CannotResolveHostError: "host not found",
    ResponseDataLossError: "body ended early",
    aiohttp.ClientSSLError: "TLS failed",
    aiohttp.ClientProxyConnectionError: "the proxy failed",
    aiohttp.ClientHttpProxyError: "the proxy failed",
    aiohttp.ServerDisconnectedError: "connection closed without an answer",
    aiohttp.ClientResponseError: "no valid HTTP answer",
}
"""Reasons by the class of an exception or of its cause, special classes first."""
REASONS_BY_ERRNO = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset",
    errno.EPIPE: "connection reset",
    errno.ENETUNREACH: "host unreachable",
    errno.EHOSTUNREACH: "host unreachable",
}


class RequestRefused(IgnoreRequest):
    """A request that is not sent, or not sent again; has the status and reason of its entry."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status: Status = status
        self.reason = reason


class RequestInterrupted(IgnoreRequest):
    """The crawl is being stopped: the request was not sent, and its image gets no entry."""


def explain(error: BaseException, max_bytes: int) -> tuple[Status, str]:
    """Status and reason of a failed request; its traceback is released."""
    outcome = classify(error, max_bytes)
    _release(error)
    return outcome


def is_passing(status: Status, reason: str) -> bool:
    """True where the same request may succeed later."""
    if (code := re.search(r"HTTP (\d+)", reason)) is not None:
        return int(code[1]) in TEMPORARY_STATUSES
    return status == "failed" and NOT_TRUSTED not in reason


def classify(error: BaseException, max_bytes: int) -> tuple[Status, str]:
    """Status and reason of a failed request; the error stays as it is."""
    match error:
        case RequestRefused():
            return error.status, error.reason
        case HttpError() if 300 <= error.response.status < 400:
            # Redirects are followed; this one leads to no http address, or is one too many.
            return "blocked", f"HTTP {error.response.status}, not followed"
        case HttpError():
            code = error.response.status
            challenged = error.response.headers.get("cf-mitigated") == b"challenge"
            reason = f"HTTP {code}, {CHALLENGE}" if challenged else f"HTTP {code}"
            return OUTCOMES.get(code, "failed"), reason
        case DownloadCancelledError():
            return "too_large", describe_excess(max_bytes)
        case UnsupportedURLSchemeError() | ValueError():
            return "blocked", NO_ADDRESS
        case IgnoreRequest() if "max redirections" in str(error):
            return "blocked", "too many redirects"
        case IgnoreRequest() if "DOWNLOAD_MAXSIZE" in str(error):  # once it is unpacked
            return "too_large", describe_excess(max_bytes)
        case IgnoreRequest():
            return "failed", "ignored by the crawler"
        case gzip.BadGzipFile() | zlib.error() | brotli.error() | EOFError():
            return "bad", "damaged: its compression"
    return "failed", _explain_connection(error)


def _release(error: BaseException | None) -> None:
    """Drop tracebacks: their frames keep the bytes that were read, in cycles, perhaps a bomb's."""
    while error is not None:
        error.__traceback__ = None
        inner = error.__cause__ or error.__context__
        error.__cause__ = error.__context__ = None
        error = inner


def _explain_connection(error: BaseException) -> str:
    for each in (error, error.__cause__):
        for kind, reason in REASONS.items():
            if isinstance(each, kind):
                return reason
    if isinstance(error, DownloadConnectionRefusedError | DownloadFailedError):
        number = getattr(error.__cause__, "errno", None)
        return REASONS_BY_ERRNO.get(number or 0, "connection failed")
    return "the crawler could not read it"
