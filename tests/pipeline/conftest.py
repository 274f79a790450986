"""Stores that the tests of tracking, of runs and of housekeeping share."""

from pathlib import Path

import pytest
from tracking_stores import apart, copy_store, empty_database

from pipeline.paths import Paths


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
