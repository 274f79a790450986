import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from array_source import ArraySource
from projecting import Projection, direct
from tracking_stores import until

from gan.errors import GanError
from gan.features.statistics import load_statistics, statistics_of
from pipeline.features.store import Entry, FeatureStore, entry_key, list_entries

HERE = Path(__file__).resolve().parents[2] / "support"
ROOT = HERE.parents[1]


@pytest.fixture
def source(noise_images):
    return ArraySource(noise_images)


@pytest.fixture
def store(tmp_path):
    return FeatureStore(tmp_path / "features", tmp_path / "reference")


@pytest.fixture
def entry(tmp_path, source):
    """Entry of the source's features by the usual extractor."""
    return Entry(tmp_path / "features", entry_key(source, Projection())[:32])


def get_one(store, source, extractor=None, batch_size=7):
    (features,) = store.get(source, [extractor or Projection()], batch_size)
    return features


def is_right(features, source):
    np.testing.assert_allclose(features.features, direct(Projection(), source.images), rtol=1e-6)
    expected = statistics_of(np.asarray(features.features))
    np.testing.assert_array_equal(features.statistics.covariance, expected.covariance)
    assert features.statistics.count == len(source)
    return True


def test_a_folder_that_cannot_be_written_is_replaced_for_the_process(tmp_path, source, capsys):
    (tmp_path / "file").write_bytes(b"")
    store = FeatureStore(tmp_path / "file" / "features", tmp_path / "reference")
    extractor = Projection()
    assert is_right(get_one(store, source, extractor), source)
    assert is_right(get_one(store, source, extractor), source)
    assert extractor.seen == 50
    assert str(tmp_path) in capsys.readouterr().err
    assert (tmp_path / "file").read_bytes() == b""


def partial_files(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_equal_images_are_extracted_once_whatever_their_name(store, source, noise_images):
    first, second = Projection(), Projection()
    features = get_one(store, source, first)
    assert is_right(features, source)
    with pytest.raises(ValueError, match="read-only"):
        features.features[0, 0] = 1
    again = ArraySource(noise_images.copy(), tag="vs_other", description="a copy elsewhere")
    assert is_right(get_one(store, again, second, batch_size=3), source)
    assert (first.seen, second.seen, again.passes) == (50, 0, 0)


def test_missing_extractors_share_one_pass_and_others_are_not_run(store, source):
    wide, narrow, other = Projection("a", 9), Projection("b", 3), Projection("c", 4)
    get_one(store, source, narrow)
    narrow.seen = source.passes = 0
    seen = store.get(source, [wide, narrow, other, wide], 8)
    assert source.passes == 1
    assert (wide.seen, narrow.seen, other.seen) == (50, 0, 50)
    assert [each.features.shape[1] for each in seen] == [9, 3, 4, 9]
    for extractor, each in zip((wide, narrow, other), seen, strict=False):
        np.testing.assert_allclose(each.features, direct(extractor, source.images), rtol=1e-6)


def test_other_images_or_another_extractor_have_features_of_their_own(store, source, noise_images):
    get_one(store, source)
    changed = noise_images.copy()
    changed[3] = 0
    assert not np.array_equal(
        get_one(store, ArraySource(changed)).features, get_one(store, source).features
    )
    assert get_one(store, ArraySource(noise_images[:30])).statistics.count == 30
    assert get_one(store, source, Projection("b")).features.shape == (50, 6)
    assert len(list_entries(store._folder)) == 4


def test_labels_name_extractor_and_images(store, source, entry, tmp_path):
    get_one(store, source)
    statistics, labels = load_statistics(entry.statistics)
    assert statistics.count == 50
    assert labels["extractor"] == "projection"
    assert labels["protocol"] == "6 projections of quarters"
    assert labels["what"] == "pictures of a test"
    assert entry.describe() == "projection of pictures of a test"
    assert str(tmp_path).encode() not in entry.statistics.read_bytes()


@pytest.mark.parametrize("which", ["features", "statistics"])
@pytest.mark.parametrize("harm", ["flip", "cut", "empty"])
def test_a_damaged_entry_is_computed_again_with_a_warning(
    store, source, entry, which, harm, capsys
):
    get_one(store, source)
    path = getattr(entry, which)
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(
        {
            "flip": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
            "cut": whole[:middle],
            "empty": b"",
        }[harm]
    )
    again = Projection()
    capsys.readouterr()
    assert is_right(get_one(store, source, again), source)
    assert again.seen == 50
    assert path.name in capsys.readouterr().err
    assert path.read_bytes() == whole
    get_one(store, source, again)
    assert again.seen == 50


@pytest.mark.parametrize("which", ["features", "statistics"])
def test_an_entry_that_lacks_a_file_is_computed_again(store, source, entry, which):
    get_one(store, source)
    getattr(entry, which).unlink()
    again = Projection()
    assert is_right(get_one(store, source, again), source)
    assert again.seen == 50


def test_an_export_is_read_first_and_needs_no_local_entry(store, source, tmp_path):
    extractors = [Projection("a", 9), Projection("b", 3)]
    files = store.export(source, extractors, 7)
    assert [file.name for file in files] == [
        *("a-train.npy", "a-train.npz"),
        *("b-train.npy", "b-train.npz"),
    ]
    for each in list_entries(store._folder):
        assert each.remove()
    again = [Projection("a", 9), Projection("b", 3)]
    seen = store.get(source, again, 7)
    assert [each.seen for each in again] == [0, 0]
    np.testing.assert_allclose(seen[1].features, direct(again[1], source.images), rtol=1e-6)
    assert Path(seen[1].features.filename).parent == tmp_path / "reference"


def test_an_export_has_equal_bytes_however_it_was_computed(tmp_path, noise_images):
    made = []
    unwritable = tmp_path / "file"
    unwritable.write_bytes(b"")
    for number, folder in enumerate((tmp_path / "one", tmp_path / "two", unwritable)):
        store = FeatureStore(folder, tmp_path / f"reference{number}")
        if number == 1:  # known already, of images with another name
            get_one(store, ArraySource(noise_images, description="something else"))
        files = store.export(ArraySource(noise_images), [Projection()], 7)
        made.append([file.read_bytes() for file in files])
    assert made[0] == made[1] == made[2]
    assert str(tmp_path).encode() not in b"".join(made[0])


@pytest.mark.parametrize("which", [0, 1])
def test_a_damaged_export_is_refused_with_its_remedy(store, source, which):
    file = store.export(source, [Projection()], 7)[which]
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(GanError, match=r"projection-train\.np.*gan reference"):
        get_one(store, source)


def test_an_export_of_other_images_or_another_extractor_is_ignored(store, source, noise_images):
    store.export(source, [Projection()], 7)
    other = ArraySource(noise_images[::-1].copy())
    np.testing.assert_allclose(
        get_one(store, other).features, direct(Projection(), other.images), rtol=1e-6
    )
    extractor = Projection()
    extractor.digest = "e" * 64
    get_one(store, source, extractor)
    assert extractor.seen == 50


def test_a_failure_on_the_way_leaves_nothing_half_written(store, source, tmp_path):
    class Broken(Projection):
        def __call__(self, images):
            return super().__call__(images) * (float("nan") if self.seen > 20 else 1)

    with pytest.raises(GanError, match="not finite"):
        store.get(source, [Projection("good"), Broken()], 7)
    folder = tmp_path / "features"
    assert {path.suffix for path in folder.iterdir()} == {".lock"}
    assert is_right(get_one(store, source), source)


def test_a_disk_without_room_is_one_line_and_leaves_nothing(store, tmp_path, noise_images):
    source = ArraySource(np.repeat(noise_images, 20, axis=0))
    extractor = Projection("wide", 64)  # 256 kB of features
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(GanError, match=r"\.npy.*File too large"):
            store.get(source, [extractor], 50)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert extractor.seen == 0  # refused before the work, not after it
    assert {path.suffix for path in (tmp_path / "features").iterdir()} == {".lock"}


@pytest.fixture
def images_file(tmp_path, noise_images):
    np.save(tmp_path / "images.npy", noise_images)
    return tmp_path / "images.npy"


@pytest.fixture
def start(entry, images_file):
    """start(0.4): a process that waits for `go`, then takes so long for each of 10 batches."""
    processes = []

    def start_process(seconds):
        paths = os.pathsep.join(map(str, (ROOT, HERE)))
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [sys.executable, HERE / "storing.py", entry.folder, images_file, str(seconds)],
            env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )
        processes.append(process)
        return process

    yield start_process
    for process in processes:
        process.kill()
        process.communicate()


def go(*processes):
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()


def finish(process):
    """Return the number of images that it extracted, the sum of the features, and its stderr."""
    extracted, total = process.stdout.read().split()
    return int(extracted), total, process.stderr.read()


@pytest.mark.slow
def test_a_kill_in_the_middle_leaves_no_entry_that_looks_whole(store, source, entry, start):
    process = start(100)
    go(process)
    until(lambda: entry.folder.is_dir() and partial_files(entry.folder))
    assert entry.is_locked()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert partial_files(entry.folder)
    assert not entry.features.exists()
    assert not entry.is_locked()
    again = Projection()
    assert is_right(get_one(store, source, again), source)
    assert again.seen == 50
    assert partial_files(entry.folder) == []


@pytest.mark.slow
def test_a_second_process_waits_with_a_message_and_reads(entry, start):
    first, second = start(0.4), start(0)
    go(first)
    until(lambda: entry.folder.is_dir() and partial_files(entry.folder))
    go(second)
    extracted, total, errors = finish(first)
    extracted_again, total_again, errors_again = finish(second)
    assert (extracted, extracted_again) == (50, 0)
    assert total == total_again
    assert "another process" not in errors
    assert "another process" in errors_again


def test_a_locked_entry_is_not_removed_and_an_idle_one_is(store, source, entry):
    seen = get_one(store, source)
    with entry.lock():
        assert entry.is_locked()
        assert not entry.remove()
    assert not entry.is_locked()
    assert entry.remove()
    assert list(entry.folder.iterdir()) == []
    assert is_right(seen, source)  # an open file stays readable
    again = Projection()
    get_one(store, source, again)
    assert again.seen == 50
