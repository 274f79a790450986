"""Files to upload: whether they can be sent, and the timeout that they need."""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.tracking.mlflow.environment import SETTINGS, TIMEOUT
from pipeline.tracking.run_folder.push import RejectedError

SLOWEST = 1 << 20  # bytes a second from the server to its bucket

_lock = threading.Lock()


@contextmanager
def upload_timeout(*files: Path) -> Iterator[None]:
    """Lengthen MLflow's timeout for an upload, which a server answers once its bucket has it all.

    MLflow reads the variable at each request of the process, so uploads of several runs take
    turns. Records that need no more time than usual don't wait for a turn.
    """
    seconds = sum(file.stat().st_size for file in files) // SLOWEST
    if not seconds:
        yield
        return
    with _lock:
        usual = os.environ.get(TIMEOUT, SETTINGS[TIMEOUT])
        os.environ[TIMEOUT] = str(int(usual) + seconds)
        try:
            yield
        finally:
            os.environ[TIMEOUT] = usual


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
