"""Files to upload: whether they can be sent, and the timeout that they need."""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.tracking.mlflow.environment import TIMEOUT
from pipeline.tracking.run_folder.sender import RejectedError

SLOWEST = 1 << 20  # bytes a second from the server to its bucket


class _RequestTimeout:
    """Timeout of all requests of this process: as long as the biggest upload needs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._needed: list[int] = []
        self._default = ""

    def begin(self, seconds: int) -> None:
        with self._lock:
            if not self._needed:
                self._default = os.environ[TIMEOUT]
            self._needed.append(seconds)
            self._set()

    def end(self, seconds: int) -> None:
        with self._lock:
            self._needed.remove(seconds)
            self._set()

    def _set(self) -> None:
        more = max(self._needed, default=0)
        os.environ[TIMEOUT] = str(int(self._default) + more) if more else self._default


_request_timeout = _RequestTimeout()


@contextmanager
def upload_timeout(*files: Path) -> Iterator[None]:
    """Lengthen MLflow's timeout for an upload, which a server answers once its bucket has it all.

    MLflow reads the variable at each request; several runs may be sent at once.
    """
    seconds = sum(file.stat().st_size for file in files) // SLOWEST
    _request_timeout.begin(seconds)
    try:
        yield
    finally:
        _request_timeout.end(seconds)


def require_file(file: Path) -> Path:
    """Return the file; RejectedError if it does not exist, for it won't come back."""
    if not file.is_file():
        raise RejectedError(f"{file} is gone")
    return file


def open_verbatim(file: Path) -> Any:
    """Open a picture that MLflow saves byte for byte: encoding it anew would lose its PNG text.

    RejectedError if it is no picture.
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
