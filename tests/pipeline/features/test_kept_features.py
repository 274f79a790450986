"""What `gan clean` tells of kept features and does with them."""

import pytest
from array_source import ArraySource
from projecting import Projection

from gan.errors import GanError
from pipeline.features.store import FeatureStore
from pipeline.features.stored import entries
from pipeline.housekeeping import clean
from pipeline.paths import Paths


@pytest.fixture
def paths(tmp_path, noise_images):
    paths = Paths(tmp_path)
    store = FeatureStore(paths.features)
    store.get(ArraySource(noise_images, what="train split"), [Projection()], 7)
    store.get(ArraySource(noise_images, what="a folder"), [Projection("wide", 512)], 50)
    return paths


def lines(capsys, paths, *, remove):
    capsys.readouterr()
    clean.run(paths, remove=remove)
    return sorted(capsys.readouterr().out.splitlines())


def test_features_are_listed_with_what_they_are_of_and_their_size(paths, capsys):
    told = lines(capsys, paths, remove=False)
    assert any(line.endswith("features: wide of a folder, 2 MiB  idle") for line in told)
    assert any(line.endswith("features: projection of train split, 0 MiB  idle") for line in told)
    assert "features of 2 sets of images, 2 MiB" in told
    assert "gan clean --remove deletes the idle ones" in told
    assert len(entries(paths.features)) == 2


def test_idle_features_are_removed_and_those_in_use_stay(paths, capsys):
    busy, _ = entries(paths.features)
    with busy.alone():
        told = lines(capsys, paths, remove=True)
    assert sum(line.endswith("removed") for line in told) == 1
    assert sum(line.endswith("in use") for line in told) == 1
    assert entries(paths.features) == [busy]
    clean.run(paths, remove=True)
    assert list(paths.features.iterdir()) == []


def test_what_a_kill_left_is_listed_and_removed(paths, capsys):
    for entry in entries(paths.features):
        entry.remove()
    stem = "0123456789abcdef" * 2
    (paths.features / f".{stem}.npy.4711.partial").write_bytes(bytes(3 << 20))
    (paths.features / f"{stem}.lock").touch()
    told = lines(capsys, paths, remove=False)
    assert any("unfinished or damaged, 3 MiB  idle" in line for line in told)
    clean.run(paths, remove=True)
    assert list(paths.features.iterdir()) == []


def test_features_that_cannot_be_removed_are_one_line(paths, monkeypatch):
    def refuse(path, *, missing_ok=False):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    with pytest.raises(GanError, match="cannot be removed: Permission denied"):
        clean.run(paths, remove=True)
