"""Files on their way to the store: whether they can be sent, and how long that may take."""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.tracking.mlflow.store import TIMEOUT
from pipeline.tracking.spool.sender import RejectedError

SLOWEST = 1 << 20  # bytes a second from the server to its bucket


class _Patience:
    """The timeout of all requests of this process: as long as the biggest upload needs."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._needed: list[int] = []
        self._usual = ""

    def begin(self, seconds: int) -> None:
        with self._guard:
            if not self._needed:
                self._usual = os.environ[TIMEOUT]
            self._needed.append(seconds)
            self._set()

    def end(self, seconds: int) -> None:
        with self._guard:
            self._needed.remove(seconds)
            self._set()

    def _set(self) -> None:
        more = max(self._needed, default=0)
        os.environ[TIMEOUT] = str(int(self._usual) + more) if more else self._usual


_patience = _Patience()


@contextmanager
def patience_for(*files: Path) -> Iterator[None]:
    """Wait as long as files take: a server answers an upload when its own bucket has all of it.

    MLflow reads the variable at each request; several rows may be sent at once.
    """
    seconds = sum(file.stat().st_size for file in files) // SLOWEST
    _patience.begin(seconds)
    try:
        yield
    finally:
        _patience.end(seconds)


def existing(file: Path) -> Path:
    """The file; RejectedError if it is not there, for it won't come back."""
    if not file.is_file():
        raise RejectedError(f"{file} is gone")
    return file


def as_it_is(file: Path) -> Any:
    """A picture that MLflow saves by its bytes: encoded anew it wouldn't say where it is from.

    RejectedError if it is none.
    """
    from PIL import Image

    try:
        picture: Any = Image.open(file)
        picture.load()
    except (SyntaxError, ValueError, OSError) as error:
        if getattr(error, "errno", None) is not None:  # of the disk, not of the picture
            raise
        raise RejectedError(f"{file}: {error}") from error
    picture.save = partial(shutil.copyfile, file)
    return picture
