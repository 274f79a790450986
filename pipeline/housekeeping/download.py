"""Download of a file by HTTP, resumed after an interruption.

Received bytes are kept in a partial file, and in a file beside it the server's name of that
version (RFC 9110, sections 13.1.5 and 14), so that parts of two versions are not joined.
"""

import hashlib
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import ProtocolError

from gan.errors import GanError
from pipeline.console import Advance, progress, say

CHUNK = 1 << 16  # bytes; lost at most when a connection ends
TIMEOUTS_S = (10.0, 30.0)  # to connect; between two reads
PAUSES_S = (1.0, 3.0, 9.0)  # before the second and later attempts
TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
MB = 1_000_000
TAG = ".tag"
PARTIAL, UNSATISFIABLE = 206, 416
RESUME = "run the same command again, it resumes"


class TransientError(Exception):
    """An error that may be gone at the next attempt; the beginning of a line."""


@dataclass(frozen=True)
class Partial:
    """A partial file, which may not exist yet."""

    path: Path

    @property
    def size(self) -> int:
        """Bytes received."""
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def _tag(self) -> Path:
        return self.path.with_name(f"{self.path.name}{TAG}")

    def version(self, url: str) -> str | None:
        """Name that the server at `url` gave this version of the file, if it did."""
        try:
            address, version = self._tag.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError):
            return None
        return version if address == _digest(url) else None

    def begin(self, url: str, version: str | None) -> None:
        """Empty the file, to receive this version."""
        self.remove()
        if version:
            self._tag.write_text(f"{_digest(url)}\n{version}\n", encoding="utf-8")

    def remove(self) -> None:
        """Remove all received bytes."""
        for path in (self._tag, self.path):
            path.unlink(missing_ok=True)

    def place(self, target: Path) -> None:
        """Rename the complete file."""
        self.path.replace(target)
        self._tag.unlink(missing_ok=True)


def download(url: str, partial: Partial) -> bool:
    """Download all of `url` to `partial`; True if earlier bytes were used.

    After transient errors it tries again a few times. GanError in one line, to which an "or" can
    be appended; received bytes are kept.
    """
    resumed = partial.size > 0
    with requests.Session() as session:
        attempt = _Attempt(session, url, partial)
        for pause in (*PAUSES_S, None):
            try:
                return attempt.run() and resumed
            except TransientError as problem:
                if pause is None:
                    raise GanError(f"{hide_secrets(url)}: {problem}; {RESUME}") from None
                say(f"{hide_secrets(url)}: {problem}; trying again in {pause:g} s")
                time.sleep(pause)
            except OSError as error:  # of the file: those of the network are converted before
                raise GanError(
                    f"{partial.path.parent}: cannot be written ({error.strerror}) after "
                    f"{partial.size:,} bytes; repair that, then {RESUME}"
                ) from None
    raise AssertionError("the last attempt returns or raises")


@dataclass
class _Attempt:
    """Requests for the missing bytes, one after another."""

    session: requests.Session
    url: str
    partial: Partial
    answered: bool = False
    resumed: bool = True  # all bytes of the beginning were used

    def run(self) -> bool:
        """Download the missing bytes; True if all earlier ones were used."""
        have = self.partial.size
        with self._answer(have) as response:
            self.answered = True
            if response.status_code == UNSATISFIABLE and have:
                return self._check_complete(response, have)
            _check_status(response, self.url)
            start = _start(response)
            if start not in (0, have):
                self.partial.remove()
                raise TransientError(f"the server sends bytes from {start:,}, not from {have:,}")
            if start == 0:
                self.resumed = False
                self.partial.begin(self.url, _version(response))
            self._receive(response, start)
        return self.resumed

    def _answer(self, have: int) -> requests.Response:
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if version := self.partial.version(self.url):
                headers["If-Range"] = version
        try:
            return self.session.get(self.url, headers=headers, stream=True, timeout=TIMEOUTS_S)
        except requests.RequestException as error:
            if self.answered or _is_transient(error):
                raise TransientError(_reason(error)) from None
            raise GanError(
                f"{hide_secrets(self.url)}: cannot be fetched ({_reason(error)}); look at the "
                "network, the proxy (HTTPS_PROXY) and the address (--url)"
            ) from None

    def _check_complete(self, response: requests.Response, have: int) -> bool:
        """Handle that the server has no further bytes: the file is complete, or another one."""
        if response.headers.get("Content-Range", "") != f"bytes */{have}":
            self.partial.remove()
            raise TransientError("the server has another file than that of the first part")
        return self.resumed

    def _receive(self, response: requests.Response, done: int) -> None:
        length = response.headers.get("Content-Length", "")
        total = done + int(length) if length.isdecimal() else None
        try:
            with self.partial.path.open("ab") as file, _bar(total) as advance:
                for chunk in response.iter_content(CHUNK):
                    file.write(chunk)
                    file.flush()
                    done += len(chunk)
                    advance(done // MB, "")
                advance(-(-done // MB), "")
        except requests.RequestException as error:
            how = "no bytes for too long" if _is_timeout(error) else "the connection ended"
            raise TransientError(f"{how} after {_format_bytes(done, total)}") from None
        if total is not None and done < total:
            raise TransientError(f"the connection ended after {_format_bytes(done, total)}")


@contextmanager
def _bar(total: int | None) -> Iterator[Advance]:
    if total is None:
        say("the server does not announce the size of the file")
        yield lambda _done, _note: None
    else:
        with progress("fetch weights, MB", -(-total // MB)) as advance:
            yield advance


def _check_status(response: requests.Response, url: str) -> None:
    answer = f"{response.status_code} {response.reason or ''}".strip()
    if response.status_code in TRANSIENT:
        raise TransientError(f"the server answers {answer}")
    if response.status_code not in (200, PARTIAL):
        raise GanError(
            f"{hide_secrets(url)}: cannot be fetched (the server answers {answer}); give another "
            "address with --url"
        )


def _start(response: requests.Response) -> int:
    """Position in the file at which the answer begins."""
    if response.status_code != PARTIAL:
        return 0
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else -1


def _version(response: requests.Response) -> str | None:
    """A strong ETag or a date, as If-Range takes it."""
    tag = response.headers.get("ETag", "")
    if tag and not tag.startswith("W/"):
        return tag
    return response.headers.get("Last-Modified")


def _is_transient(error: requests.RequestException) -> bool:
    """Whether the server was reached, so that the address is right and the error may pass."""
    broken = bool(error.args) and isinstance(error.args[0], ProtocolError)
    return broken or isinstance(error, requests.ReadTimeout)


def _is_timeout(error: BaseException) -> bool:
    return "timed out" in str(error)


def _reason(error: BaseException) -> str:
    """The first cause in a few words, without addresses, which may hold a password."""
    if isinstance(error, requests.Timeout):
        return "no answer for too long"
    if not isinstance(error, requests.ConnectionError):
        return re.sub(r"([a-z])([A-Z])", r"\1 \2", type(error).__name__).lower()
    while inner := error.__cause__ or error.__context__:
        error = inner
    return " ".join((getattr(error, "strerror", None) or str(error)).split())


def _format_bytes(done: int, total: int | None) -> str:
    return f"{done:,} of {total:,} bytes" if total is not None else f"{done:,} bytes"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def hide_secrets(url: str) -> str:
    """An address without user, password and query, which may be secret."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the address"
    start = f"{parts.scheme}://" if parts.scheme else ""
    return f"{start}{parts.netloc.rpartition('@')[2]}{parts.path}"
