"""Stores and a picture that the tests of tracking share."""

import io
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from PIL import Image
from tracking_stores import apart, copy_store, empty_database

from pipeline.paths import Paths
from pipeline.tracking.sync import sync


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    """A store without runs, to be copied."""
    return empty_database(tmp_path_factory)


@pytest.fixture
def paths(tmp_path, monkeypatch) -> Paths:
    """A folder without a store."""
    return apart(tmp_path, monkeypatch)


@pytest.fixture
def stored(paths, empty_store) -> Paths:
    """`paths` with an empty store."""
    return copy_store(empty_store, paths)


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
