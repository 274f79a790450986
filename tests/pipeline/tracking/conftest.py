"""A picture and `gan sync`, which the tests of tracking share."""

import io
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from PIL import Image

from pipeline.tracking.sync import sync


@pytest.fixture
def picture(tmp_path) -> Path:
    file = tmp_path / "grid.png"
    Image.new("RGB", (64, 64), "teal").save(file)
    return file


@pytest.fixture
def synced(paths) -> Callable[[], list[str]]:
    """synced(): run `gan sync`; the lines that it prints."""

    def run() -> list[str]:
        with redirect_stdout(io.StringIO()) as out:
            sync.run(paths)
        return out.getvalue().splitlines()

    return run
