"""`gan clean`: trainings, unsent records; removal of those not in use."""

import json
import shutil

import pytest
from filelock import FileLock, Timeout

from pipeline.housekeeping import clean
from pipeline.tracking.run import Run
from pipeline.tracking.run_folder.folder import RunFolder, make_run_folder
from pipeline.training.identity import digest_of
from pipeline.training.progress_folder import open_progress_folder

IDENTITY = {"train": {"objective": "bce", "seed": 3}}


def make_training(paths, unsent=0):
    """A training without states, and its run with records; returns both folders."""
    run_folder = paths.root / "logs" / "runs" / "k1"
    with open_progress_folder(paths.progress, IDENTITY):
        run = Run(make_run_folder(run_folder, {"name": "bce 64px", "tags": {"run_key": "k"}}))
        for step in range(unsent):
            run.metrics({"loss": 1.0}, step)
        run.commit()
    return paths.progress / digest_of(IDENTITY)[:16], run_folder


def lines_of(capsys):
    return capsys.readouterr().out.splitlines()


def test_unsent_records_are_kept_and_sent_ones_removed(paths, capsys):
    training, folder = make_training(paths, unsent=3)
    clean.run(paths, remove=False)
    assert lines_of(capsys)[1] == "k1  bce 64px, 3 records unsent  idle"
    clean.run(paths, remove=True)
    _, line = lines_of(capsys)
    assert "kept" in line
    assert "--unsent" in line
    assert not training.exists()
    sending = RunFolder(folder)
    assert sending.take()
    clean.run(paths, remove=True, unsent=True)
    assert lines_of(capsys)[0].endswith("in use")
    sending.release()
    clean.run(paths, remove=True, unsent=True)
    assert lines_of(capsys)[0].endswith("removed")
    make_training(paths)  # all its records are sent
    clean.run(paths, remove=True)
    assert not folder.exists()


def test_no_training_starts_in_a_folder_that_is_being_removed(paths, monkeypatch):
    """The lock is held to the end, and a training that starts meanwhile has its own folder."""
    with open_progress_folder(paths.progress, IDENTITY):
        pass
    started = []
    really = shutil.rmtree

    def slowly(folder, **options):
        with pytest.raises(Timeout):
            FileLock(folder / "lock", timeout=0, is_singleton=False).acquire()
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


def test_trainings_are_listed_and_those_not_in_use_removed(paths, capsys):
    for name in ("aaaa", "bbbb"):
        folder = paths.progress / name
        folder.mkdir(parents=True)
        (folder / "identity.json").write_text(json.dumps(IDENTITY))
        (folder / "state-000000003200.pt").write_bytes(bytes(1 << 20))
    (folder / "finished").write_text("3200\n")
    partial = paths.progress / ".abcd.removed"  # of a `gan clean` that was killed
    partial.mkdir()
    (partial / "identity.json").touch()
    clean.run(paths, remove=False)
    lines = lines_of(capsys)
    assert lines[0] == "aaaa  bce s3  3,200 images, unfinished, 1 MiB  idle"
    assert lines[1] == "bbbb  bce s3  3,200 images, finished, 1 MiB  idle"
    with FileLock(paths.progress / "aaaa" / "lock"):
        clean.run(paths, remove=True)
    lines = lines_of(capsys)
    assert lines[0].endswith("in use")
    assert lines[1] == "bbbb  bce s3  3,200 images, finished, 1 MiB  removed"
    assert [folder.name for folder in paths.progress.iterdir()] == ["aaaa"]
