"""One file by HTTP, which goes on where an interrupted download of it ended.

What has come lies in a partial file, and beside it what the server called that version of the file
(RFC 9110, sections 13.1.5 and 14), so that parts of two versions are not joined.
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

CHUNK = 1 << 16  # bytes; what is lost at most where a connection ends
TIMEOUTS_S = (10.0, 30.0)  # to connect; between two reads
PAUSES_S = (1.0, 3.0, 9.0)  # before the tries after the first
PASSING = (408, 425, 429, 500, 502, 503, 504)
MB = 1_000_000
TAG = ".tag"
PARTIAL, UNSATISFIABLE = 206, 416


class PassingError(Exception):
    """What may be gone at the next try; one line, without an end."""


@dataclass(frozen=True)
class Partial:
    """The file of what has come so far; there may be nothing yet."""

    path: Path

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def _tag(self) -> Path:
        return self.path.with_name(f"{self.path.name}{TAG}")

    def version(self, url: str) -> str | None:
        """What the server at `url` called the file that this is the beginning of, if it did."""
        try:
            address, version = self._tag.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError):
            return None
        return version if address == _digest(url) else None

    def begin(self, url: str, version: str | None) -> None:
        """Empty the file; `version` is what will come."""
        self.remove()
        if version:
            self._tag.write_text(f"{_digest(url)}\n{version}\n", encoding="utf-8")

    def remove(self) -> None:
        """Forget all that has come."""
        for path in (self._tag, self.path):
            path.unlink(missing_ok=True)

    def place(self, target: Path) -> None:
        """Give the whole file its name."""
        self.path.replace(target)
        self._tag.unlink(missing_ok=True)


def download(url: str, partial: Partial) -> bool:
    """Bring all of `url` to `partial`; whether something that lay there before was kept.

    Errors that may pass are tried again a few times. Raises GanError: one line of what is wrong
    and what to do, to which an "or" can be added; what has come is kept.
    """
    kept = partial.size > 0
    with requests.Session() as session:
        attempt = _Attempt(session, url, partial)
        for pause in (*PAUSES_S, None):
            try:
                return attempt.run() and kept
            except PassingError as problem:
                if pause is None:
                    again = "run the same command again, it goes on"
                    raise GanError(f"{shown(url)}: {problem}; {again}") from None
                say(f"{shown(url)}: {problem}; trying again in {pause:g} s")
                time.sleep(pause)
            except OSError as error:  # of the file: the network's are others by now
                raise GanError(
                    f"{partial.path.parent}: cannot be written ({error.strerror}) after "
                    f"{partial.size:,} bytes; mend that and run the same command again, it goes on"
                ) from None
    raise AssertionError("the last try returns or raises")


@dataclass
class _Attempt:
    """One request after another for what is still missing."""

    session: requests.Session
    url: str
    partial: Partial
    answered: bool = False
    went_on: bool = True  # with what lay there at first

    def run(self) -> bool:
        """Bring what is missing; whether all that lay there was used."""
        have = self.partial.size
        with self._answer(have) as response:
            self.answered = True
            if response.status_code == UNSATISFIABLE and have:
                return self._all_there(response, have)
            _check_status(response, self.url)
            start = _start(response)
            if start not in (0, have):
                self.partial.remove()
                raise PassingError(f"it sends bytes from {start:,} on, not from {have:,}")
            if start == 0:
                self.went_on = False
                self.partial.begin(self.url, _version(response))
            self._receive(response, start)
        return self.went_on

    def _answer(self, have: int) -> requests.Response:
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if version := self.partial.version(self.url):
                headers["If-Range"] = version
        try:
            return self.session.get(self.url, headers=headers, stream=True, timeout=TIMEOUTS_S)
        except requests.RequestException as error:
            if self.answered or _may_pass(error):
                raise PassingError(_reason(error)) from None
            raise GanError(
                f"{shown(self.url)}: cannot be fetched ({_reason(error)}); look at the network, "
                "the proxy (HTTPS_PROXY) and the address (--url)"
            ) from None

    def _all_there(self, response: requests.Response, have: int) -> bool:
        """The server has nothing after what is here: that is all, or another file."""
        if response.headers.get("Content-Range", "") != f"bytes */{have}":
            self.partial.remove()
            raise PassingError("it has not the file that the first part is of")
        return self.went_on

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
            how = "nothing came for too long" if _hung(error) else "the connection ended"
            raise PassingError(f"{how} after {_of(done, total)}") from None
        if total is not None and done < total:
            raise PassingError(f"the connection ended after {_of(done, total)}")


@contextmanager
def _bar(total: int | None) -> Iterator[Advance]:
    if total is None:
        say("the server does not say how many bytes will come")
        yield lambda _done, _note: None
    else:
        with progress("fetch weights, MB", -(-total // MB)) as advance:
            yield advance


def _check_status(response: requests.Response, url: str) -> None:
    answer = f"{response.status_code} {response.reason or ''}".strip()
    if response.status_code in PASSING:
        raise PassingError(f"the server answers {answer}")
    if response.status_code not in (200, PARTIAL):
        raise GanError(
            f"{shown(url)}: cannot be fetched (the server answers {answer}); give another address "
            "with --url"
        )


def _start(response: requests.Response) -> int:
    """Where in the file the answer begins."""
    if response.status_code != PARTIAL:
        return 0
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else -1


def _version(response: requests.Response) -> str | None:
    """A strong ETag or a date: what If-Range takes."""
    tag = response.headers.get("ETag", "")
    if tag and not tag.startswith("W/"):
        return tag
    return response.headers.get("Last-Modified")


def _may_pass(error: requests.RequestException) -> bool:
    """The server was reached, and did not answer as it should: not a matter of the address."""
    broken = bool(error.args) and isinstance(error.args[0], ProtocolError)
    return broken or isinstance(error, requests.ReadTimeout)


def _hung(error: BaseException) -> bool:
    return "timed out" in str(error)


def _reason(error: BaseException) -> str:
    """The first cause in few words, without addresses, which may hold a password."""
    if isinstance(error, requests.Timeout):
        return "no answer for too long"
    if not isinstance(error, requests.ConnectionError):
        return re.sub(r"([a-z])([A-Z])", r"\1 \2", type(error).__name__).lower()
    while inner := error.__cause__ or error.__context__:
        error = inner
    return " ".join((getattr(error, "strerror", None) or str(error)).split())


def _of(done: int, total: int | None) -> str:
    return f"{done:,} of {total:,} bytes" if total is not None else f"{done:,} bytes"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def shown(url: str) -> str:
    """An address without what may be secret in it: user, password, query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the address"
    start = f"{parts.scheme}://" if parts.scheme else ""
    return f"{start}{parts.netloc.rpartition('@')[2]}{parts.path}"
