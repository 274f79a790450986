"""Why a request brought no picture: an exception of the crawler becomes a status and a reason.

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

from pipeline.crawl.image_check import over_bytes
from pipeline.dataset.manifest import Status

GONE = {404, 410}
REFUSED = {401, 403, 451}
TROUBLED = frozenset({408, 429, *range(500, 600)})
"""Statuses of a host that can't answer now; the same request may succeed later."""
NO_ADDRESS = "not a valid http or https address"
NOT_PUBLIC = "its host's address is not public"
NOT_TRUSTED = "TLS certificate not trusted"


class Refused(IgnoreRequest):
    """A request that is not made, or not made again; it knows what its row will say."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status: Status = status
        self.reason = reason


class Interrupted(IgnoreRequest):
    """The crawl is being stopped: the request was not made, and its image gets no row."""


def explain(error: BaseException, max_bytes: int) -> tuple[Status, str]:
    """Status and reason for a request that brought no picture; lets go of its traceback."""
    outcome = read(error, max_bytes)
    _forget(error)
    return outcome


def is_passing(status: Status, reason: str) -> bool:
    """True where the same request may succeed later, as far as anybody can know."""
    if (code := re.search(r"HTTP (\d+)", reason)) is not None:
        return int(code[1]) in TROUBLED
    return status == "failed" and NOT_TRUSTED not in reason


def read(error: BaseException, max_bytes: int) -> tuple[Status, str]:
    """Status and reason; the error stays as it is."""
    match error:
        case Refused():
            return error.status, error.reason
        case HttpError():
            return _explain_status(error.response.status)
        case DownloadCancelledError():
            return "too_large", over_bytes(max_bytes)
        case UnsupportedURLSchemeError() | ValueError():
            return "blocked", NO_ADDRESS
        case IgnoreRequest():
            return _explain_ignored(str(error), max_bytes)
        case gzip.BadGzipFile() | zlib.error() | brotli.error() | EOFError():
            return "bad", "damaged: its compression"
    return "failed", _explain_connection(error)


def _forget(error: BaseException | None) -> None:
    """Frames hold on to the bytes that were read, and in cycles: a bomb would stay for long."""
    while error is not None:
        error.__traceback__ = None
        inner = error.__cause__ or error.__context__
        error.__cause__ = error.__context__ = None
        error = inner


def _explain_status(code: int) -> tuple[Status, str]:
    if code in GONE:
        return "gone", f"HTTP {code}"
    if 300 <= code < 400:
        # Redirects are followed; one that is left leads to no http address, or one too far.
        return "blocked", f"HTTP {code}, not followed"
    return "blocked" if code in REFUSED else "failed", f"HTTP {code}"


def _explain_ignored(text: str, max_bytes: int) -> tuple[Status, str]:
    """Scrapy's own middlewares tell these apart by their text alone."""
    if "max redirections" in text:
        return "blocked", "too many redirects"
    if "DOWNLOAD_MAXSIZE" in text:
        return "too_large", over_bytes(max_bytes)
    return "failed", "ignored by the crawler"


def _explain_connection(error: BaseException) -> str:
    match error:
        case DownloadTimeoutError():
            return "timed out"
        case CannotResolveHostError():
            return "host not found"
        case ResponseDataLossError():
            return "body ended early"
        case DownloadConnectionRefusedError() | DownloadFailedError():
            return _explain_cause(error.__cause__)
    return "the crawler could not read it"


def _explain_cause(cause: BaseException | None) -> str:
    match cause:
        case aiohttp.ClientSSLError():
            return "TLS failed"
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            return "the proxy failed"
        case aiohttp.ServerDisconnectedError():
            return "connection closed without an answer"
        case aiohttp.ClientResponseError():
            return "no valid HTTP answer"
        case OSError(errno=errno.ECONNREFUSED):
            return "connection refused"
        case OSError(errno=errno.ECONNRESET | errno.EPIPE):
            return "connection reset"
        case OSError(errno=errno.ENETUNREACH | errno.EHOSTUNREACH):
            return "host unreachable"
    return "connection failed"
