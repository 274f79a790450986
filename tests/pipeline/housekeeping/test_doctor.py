"""`gan doctor`: what it finds in whole, empty and broken checkouts; it changes nothing."""

import fcntl
import hashlib
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from evaluated_runs import write_run

from pipeline.dataset.layout import FileChecksum, checksum_file, digest_files
from pipeline.housekeeping import doctor
from pipeline.housekeeping import doctor_inputs as inputs
from pipeline.housekeeping import doctor_leftovers as leftovers
from pipeline.housekeeping import doctor_tools as tools
from pipeline.housekeeping.doctor_point import Point, few, note, wrong
from pipeline.housekeeping.doctor_tracker import tracker
from pipeline.paths import Paths
from pipeline.tracking.mlflow.sqlite_health import Health, newest_schema, schema_problem

KEY = "a" * 64


@pytest.fixture(autouse=True)
def default_store(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A store with one finished training."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "DVC_ROOT"):
            patch.delenv(name, raising=False)
        paths = Paths(tmp_path_factory.mktemp("written"))
        file = paths.root / "note.txt"
        file.write_text("kept")
        run_id = write_run(paths, KEY, name="killed one", files={file: "notes"})
        shutil.rmtree(paths.root / "spool")
    return paths, run_id


@pytest.fixture
def stored(written, tmp_path):
    """A copy of it, whose original is still there."""
    shutil.copytree(written[0].root, tmp_path / "copy")
    return Paths(tmp_path / "copy")


def execute(paths: Paths, statement: str) -> None:
    with closing(sqlite3.connect(paths.root / "mlflow.db")) as connection, connection:
        connection.execute(statement)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def levels(points) -> dict[str, str]:
    return {point.what.split()[0].rstrip(":;"): point.level for point in points}


# all of it


@pytest.mark.slow
def test_an_empty_folder_is_looked_over_without_a_trace(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        doctor.run(Paths(tmp_path), mend=True)
    assert stopped.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} == {"ok", "note", "wrong"}
    assert any(
        line.startswith("wrong  DVC") and "no dvc.yaml and no .dvc" in line for line in lines
    )
    assert any("params.yaml: no such file" in line for line in lines)
    assert any("no runs recorded yet" in line for line in lines)
    assert not list(tmp_path.iterdir())


def test_a_check_that_breaks_is_a_line_and_hides_no_other(tmp_path, monkeypatch, capsys):
    def broken(paths):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(inputs, "params", broken)
    found = list(doctor.points(Paths(tmp_path)))
    assert wrong("params.yaml: can't be looked at (ZeroDivisionError: by zero)") in found
    assert found[-1].what == "no unfinished trainings"


def test_notes_alone_are_no_failure(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "points", lambda paths, mend: [note("a", "b"), Point("ok", "c")])
    doctor.run(Paths(tmp_path), mend=False)
    assert capsys.readouterr().out == "note   a; b\nok     c\n"


def test_few_names_are_listed_with_how_many_more():
    assert few(list("abcdef")) == "a, b, c, d and 2 more"


# the store


@pytest.mark.slow
def test_a_store_that_is_in_order(written):
    paths, _ = written
    state, places = tracker(paths, mend=False)
    assert (state.level, places.level) == ("ok", "ok")
    assert state.what.endswith("mlflow.db: 1 trainings, 1 rows")
    assert places.what == f"files of the rows: {paths.root}/mlartifacts"


@pytest.mark.slow
def test_a_copy_is_explained_and_mended_only_when_asked(written, stored):
    before = content(stored.root)
    places = list(tracker(stored, mend=False))[1]
    assert places.level == "wrong"
    assert str(written[0].root / "mlartifacts") in places.what
    assert "gan doctor --mend" in places.advice
    assert content(stored.root) == before
    original = (written[0].root / "mlflow.db").read_bytes()
    assert [point.level for point in tracker(stored, mend=True)] == ["ok", "ok", "ok"]
    assert [point.level for point in tracker(stored, mend=True)] == ["ok", "ok"]
    assert (written[0].root / "mlflow.db").read_bytes() == original


@pytest.mark.slow
def test_files_that_are_gone_are_told(stored):
    shutil.rmtree(stored.root / "mlartifacts")
    execute(
        stored,
        "UPDATE runs SET artifact_uri = 'file:///gone/mlartifacts/' || run_uuid || '/artifacts'",
    )
    places = list(tracker(stored, mend=False))[1]
    assert places.level == "wrong"
    assert "neither in /gone/mlartifacts nor in" in places.what


@pytest.mark.slow
def test_a_row_that_runs_for_nobody_is_told_and_one_of_a_living_process_is_not(written, stored):
    execute(stored, "UPDATE runs SET status = 'RUNNING'")
    idle = list(tracker(stored, mend=False))[2]
    assert idle.level == "note"
    assert f"{written[1][:8]} (killed one)" in idle.what
    spool = stored.root / "logs" / "spool" / "train"
    spool.mkdir(parents=True)
    (spool / "run.json").write_text(
        json.dumps({"row": {"name": "n"}, "sent": 0, "run_id": written[1]})
    )
    with (spool / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert list(tracker(stored, mend=False))[2].what == "1 rows of running processes"


@pytest.mark.slow
def test_a_store_that_another_process_writes_to_is_no_failure(written):
    with closing(sqlite3.connect(written[0].root / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        state = next(tracker(written[0], mend=False))
    assert state.level == "note"
    assert "another process writes to it" in state.what


@pytest.mark.slow
@pytest.mark.parametrize(("revision", "words"), [("451aebb31d03", "older"), ("ffff", "newer")])
def test_a_store_of_another_mlflow_is_told(stored, revision, words):
    execute(stored, f"UPDATE alembic_version SET version_num = '{revision}'")
    state = next(tracker(stored, mend=False))
    assert state.level == "wrong"
    assert words in state.what
    assert ("mlflow db upgrade" in state.advice) == (words == "older")


@pytest.mark.slow
def test_the_newest_schema_is_the_one_that_mlflow_makes(written):
    head, known = newest_schema()
    assert Health.of(written[0].root / "mlflow.db").schema == head
    assert head in known
    assert schema_problem(head, (head, known)) == ""


def test_files_that_are_no_store_are_wrong_and_stay(tmp_path):
    file = tmp_path / "mlflow.db"
    file.write_bytes(b"no database" * 1000)
    (point,) = tracker(Paths(tmp_path), mend=True)
    assert (point.level, point.what.count("\n")) == ("wrong", 0)
    assert [each.name for each in tmp_path.iterdir()] == ["mlflow.db"]


@pytest.mark.slow
def test_a_dead_server_is_wrong_and_its_password_untold(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    (point,) = tracker(Paths(tmp_path), mend=True)
    assert point.level == "wrong"
    assert "the server does not answer" in point.what
    assert "secret" not in point.line


# what processes left


def left(folder: Path, sent: int = 0) -> Path:
    """A spool with three records."""
    folder.mkdir(parents=True)
    records = [json.dumps({"kind": "tags", "time": 1, "values": {}}) + "\n" for _ in range(3)]
    (folder / "records.jsonl").write_text("".join(records))
    state = {"row": {"name": "hinge 64px"}, "sent": sent * len(records[0])}
    (folder / "run.json").write_text(json.dumps(state))
    (folder / "lock").touch()
    return folder


def test_records_that_wait_are_counted_but_for_those_of_running_processes(tmp_path):
    paths = Paths(tmp_path)
    assert leftovers.unsent(paths).level == "ok"
    spool = left(tmp_path / "logs" / "spool" / "evaluate-1", sent=1)
    before = content(tmp_path)
    point = leftovers.unsent(paths)
    assert (point.level, point.advice) == ("note", "`gan sync`")
    assert point.what == "2 records not sent, of hinge 64px"
    with (spool / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert leftovers.unsent(paths).level == "ok"
    assert content(tmp_path) == before


def test_unfinished_trainings_are_told_and_running_and_finished_ones_are_not(tmp_path):
    paths = Paths(tmp_path)
    for name in ("aa", "bb", "cc"):
        folder = paths.progress / name
        folder.mkdir(parents=True)
        for file in ("identity.json", "lock", "state-000000000064.pt"):
            (folder / file).touch()
    (paths.progress / "bb" / "finished").touch()
    with (paths.progress / "cc" / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        running, stopped = leftovers.unfinished(paths)
    assert running == Point("ok", "trainings that run: cc")
    assert stopped.what == "unfinished trainings: aa, 0 MiB"


# tools and files


def test_python_torch_and_dvc_of_this_environment_are_fine(tmp_path):
    assert tools.python().level == tools.torch().level == "ok"
    (tmp_path / "dvc.yaml").touch()
    assert tools.dvc(Paths(tmp_path)).level == "wrong"
    (tmp_path / ".dvc").mkdir()
    assert tools.dvc(Paths(tmp_path)).level == "ok"


def test_without_git_runs_cannot_name_their_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert tools.git(Paths(tmp_path)).what == "no Git repository here"
    monkeypatch.setenv("PATH", "")
    assert tools.git(Paths(tmp_path)).level == "wrong"


@pytest.mark.parametrize(
    ("free", "level"), [(1 << 29, "wrong"), (2 << 30, "note"), (9 << 30, "ok")]
)
def test_little_room_is_told(tmp_path, monkeypatch, free, level):
    monkeypatch.setattr(
        tools.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, free)
    )
    assert tools.disk(Paths(tmp_path)).level == level


def test_a_folder_that_cannot_be_written_to_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setattr(tools.os, "access", lambda path, mode: False)  # root may write anywhere
    assert "can't be written to" in tools.disk(Paths(tmp_path)).what


def write_data(paths: Paths) -> int:
    """A dataset without images; returns its bytes."""
    paths.data.mkdir()
    (paths.data / "manifest.jsonl").write_text("")
    marks: dict[str, FileChecksum] = {
        "manifest.jsonl": checksum_file(paths.data / "manifest.jsonl")
    }
    described = {
        "format": 1,
        "source": {"source": "embedded"},
        "counts": {"ok": 0},
        "files": {name: vars(mark) for name, mark in marks.items()},
        "digest": digest_files(marks),
    }
    file = paths.data / "snapshot.json"
    file.write_text(json.dumps(described))
    return file.stat().st_size


def test_data_is_absent_pinned_changed_or_damaged(tmp_path):
    paths = Paths(tmp_path)
    assert inputs.data(paths).what == "data/ is not here"
    size = write_data(paths)
    assert "data.dvc pins nothing" in inputs.data(paths).what
    paths.pin.write_text(yaml.safe_dump({"outs": [{"path": "data", "size": size}]}))
    assert inputs.data(paths).level == "ok"
    paths.pin.write_text(yaml.safe_dump({"outs": [{"path": "data", "size": size + 1}]}))
    assert inputs.data(paths).level == "note"
    (paths.data / "manifest.jsonl").unlink()
    assert inputs.data(paths).level == "wrong"


def test_outs_that_are_missing_are_named(tmp_path):
    paths = Paths(tmp_path)
    assert inputs.outs(paths).level == "note"
    outs = [{"path": "models"}, {"path": "cache"}]
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"stages": {"train": {"outs": outs}}}))
    (tmp_path / "cache").mkdir()
    assert inputs.outs(paths).what == "outs that are not here: models"
    (tmp_path / "models").mkdir()
    assert inputs.outs(paths).level == "ok"
    (tmp_path / "dvc.lock").write_text("stages: {train: [}")
    assert inputs.outs(paths).level == "note"
    (tmp_path / "dvc.lock").write_text("stages: {train: 5}")
    assert inputs.outs(paths).level == "wrong"


def test_weights_are_absent_wrong_or_right(tmp_path, write_params):
    paths = Paths(tmp_path)
    assert "gan weights fetch" in inputs.weights(paths).what
    paths.weights.mkdir()
    (paths.weights / "pt_inception-2015-12-05-6726825d.pth").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    write_params(tmp_path / "params.yaml")
    assert inputs.weights(paths).level == "wrong"
    write_params(tmp_path / "params.yaml", {"features.inception_sha256": digest})
    assert inputs.weights(paths).level == "ok"
    assert inputs.params(paths).level == "ok"
