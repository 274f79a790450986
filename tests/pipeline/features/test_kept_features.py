"""Kept features in `gan clean`: listed, removed unless in use."""

import pytest
from array_source import ArraySource
from projecting import Projection

from pipeline.features.store import FeatureStore, list_entries
from pipeline.housekeeping import clean
from pipeline.paths import Paths


@pytest.fixture
def paths(tmp_path, noise_images):
    paths = Paths(tmp_path)
    store = FeatureStore(paths.features, paths.reference)
    store.get(ArraySource(noise_images, description="train split"), [Projection()], 7)
    store.get(ArraySource(noise_images, description="a folder"), [Projection("wide", 512)], 50)
    return paths


def lines(capsys, paths, *, remove):
    capsys.readouterr()
    clean.run(paths, remove=remove)
    return sorted(capsys.readouterr().out.splitlines())


def test_features_are_listed_with_extractor_images_and_size(paths, capsys):
    listed = lines(capsys, paths, remove=False)
    assert any(line.endswith("features: wide of a folder, 2 MiB  idle") for line in listed)
    assert any(
        line.endswith("features: projection of train split, 0 MiB  idle") for line in listed
    )
    assert len(list_entries(paths.features)) == 2


def test_idle_features_are_removed_and_those_in_use_stay(paths, capsys):
    busy, _ = list_entries(paths.features)
    with busy.lock():
        listed = lines(capsys, paths, remove=True)
    assert sum(line.endswith("removed") for line in listed) == 1
    assert sum(line.endswith("in use") for line in listed) == 1
    assert list_entries(paths.features) == [busy]
    clean.run(paths, remove=True)
    assert list(paths.features.iterdir()) == []


def test_partial_files_of_a_kill_are_listed_and_removed(paths, capsys):
    for entry in list_entries(paths.features):
        entry.remove()
    stem = "0123456789abcdef" * 2
    (paths.features / f".{stem}.npy.4711.partial").write_bytes(bytes(3 << 20))
    (paths.features / f"{stem}.lock").touch()
    listed = lines(capsys, paths, remove=False)
    assert any("unfinished or damaged, 3 MiB  idle" in line for line in listed)
    clean.run(paths, remove=True)
    assert list(paths.features.iterdir()) == []
