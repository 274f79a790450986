"""`gan clean`: trainings, unsent records; removal of those not in use."""

import fcntl
import json
import shutil

import pytest

from pipeline.housekeeping import clean
from pipeline.paths import Paths
from pipeline.tracking.run_folder.folder import RunFolder
from pipeline.training.progress_folder import digest_of, open_progress_folder

IDENTITY = {"train": {"objective": "bce", "seed": 3}}


@pytest.fixture
def paths(tmp_path, monkeypatch):
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return Paths(tmp_path)


def make_training(paths, unsent=0):
    folder = paths.progress / digest_of(IDENTITY)[:16]
    with open_progress_folder(paths.progress, IDENTITY) as work:
        write_records(work.tracking("k" * 64), unsent)
    return folder


def write_records(folder, count):
    spool = RunFolder(folder, {"name": "bce 64px", "tags": {"run_key": "k"}})
    for step in range(count):
        spool.add("metrics", values={"loss": 1.0}, step=step)
    spool.commit()
    spool.release()


def lines_of(capsys):
    return capsys.readouterr().out.splitlines()


def test_a_training_with_unsent_records_is_kept(paths, capsys):
    folder = make_training(paths, unsent=3)
    clean.run(paths, remove=False)
    assert lines_of(capsys)[0].endswith("0 MiB, 3 records unsent  idle")
    clean.run(paths, remove=True)
    (line,) = lines_of(capsys)
    assert "kept" in line
    assert "--unsent" in line
    assert folder.is_dir()
    clean.run(paths, remove=True, unsent=True)
    assert lines_of(capsys)[0].endswith("removed")
    assert not any(paths.progress.iterdir())


def test_a_training_with_all_records_sent_is_removed(paths):
    folder = make_training(paths, unsent=3)
    state = next(folder.glob("tracking/*/run.json"))
    size = state.with_name("records.jsonl").stat().st_size
    state.write_text(json.dumps({**json.loads(state.read_text()), "sent": size}))
    clean.run(paths, remove=True)
    assert not folder.exists()


def test_a_training_whose_records_are_being_sent_is_in_use(paths, capsys):
    folder = make_training(paths, unsent=3)
    sending = RunFolder.open_existing(next(folder.glob("tracking/*")))
    clean.run(paths, remove=True, unsent=True)
    assert lines_of(capsys)[0].endswith("in use")
    sending.release()
    assert folder.is_dir()


def test_unsent_records_of_stages_are_kept_too(paths, capsys):
    folder = paths.root / "logs" / "spool" / "evaluate-1"
    write_records(folder, 2)
    clean.run(paths, remove=True)
    assert lines_of(capsys)[0].startswith("evaluate-1  bce 64px, 2 records unsent  kept")
    clean.run(paths, remove=True, unsent=True)
    assert not folder.exists()


def test_no_training_starts_in_a_folder_that_is_being_removed(paths, monkeypatch):
    """The lock is held to the end, and a training that starts meanwhile has its own folder."""
    make_training(paths)
    started = []
    really = shutil.rmtree

    def slowly(folder, **options):
        with (folder / "lock").open("a+") as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with open_progress_folder(paths.progress, IDENTITY) as work:
            (work.path / "state-1.pt").write_bytes(b"1")
            started.append(work.path)
            really(folder, **options)

    monkeypatch.setattr(shutil, "rmtree", slowly)
    clean.run(paths, remove=True)
    (folder,) = started
    assert (folder / "state-1.pt").is_file()
    assert (folder / "identity.json").is_file()
    assert [each.name for each in paths.progress.iterdir()] == [folder.name]


def test_leftovers_of_a_killed_clean_are_removed(paths):
    partial = paths.progress / ".abcd.removed"
    partial.mkdir(parents=True)
    (partial / "identity.json").write_text(json.dumps(IDENTITY))
    clean.run(paths, remove=True)
    assert not partial.exists()


@pytest.fixture
def two_trainings(paths):
    """Progress folders aaaa, unfinished, and bbbb, finished."""
    for name in ("aaaa", "bbbb"):
        folder = paths.progress / name
        folder.mkdir(parents=True)
        identity = {"train": {"objective": "bce", "seed": 3}}
        (folder / "identity.json").write_text(json.dumps(identity))
        (folder / "state-000000003200.pt").write_bytes(bytes(1 << 20))
    (paths.progress / "bbbb" / "finished").write_text("3200\n")
    return paths


def test_clean_lists_trainings_and_removes_nothing(two_trainings, capsys):
    clean.run(two_trainings, remove=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "aaaa  bce s3  3,200 images, unfinished, 1 MiB  idle"
    assert lines[1] == "bbbb  bce s3  3,200 images, finished, 1 MiB  idle"
    assert len(list(two_trainings.progress.iterdir())) == 2


def test_clean_removes_idle_trainings_and_leaves_the_one_in_use(two_trainings, capsys):
    with (two_trainings.progress / "aaaa" / "lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        clean.run(two_trainings, remove=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("in use")
    assert lines[1] == "bbbb  bce s3  3,200 images, finished, 1 MiB  removed"
    assert [folder.name for folder in two_trainings.progress.iterdir()] == ["aaaa"]


def test_clean_of_an_empty_checkout_is_one_line(tmp_path, capsys):
    clean.run(Paths(tmp_path), remove=True)
    assert len(lines_of(capsys)) == 1
