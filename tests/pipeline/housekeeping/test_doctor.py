"""`gan doctor` in intact, empty and broken checkouts; without --repair it changes nothing."""

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
from tracking_stores import apart, copy_store, empty_database
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.dataset.layout import FileChecksum, checksum_file, digest_files
from pipeline.housekeeping import doctor
from pipeline.housekeeping import doctor_inputs as inputs
from pipeline.housekeeping import doctor_leftovers as leftovers
from pipeline.housekeeping import doctor_tools as tools
from pipeline.housekeeping.doctor_point import Point, note, wrong
from pipeline.housekeeping.doctor_tracker import check_tracker
from pipeline.paths import Paths

KEY = "a" * 64


@pytest.fixture(autouse=True)
def default_store(tmp_path, monkeypatch):
    apart(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Paths of a store with one finished training, and its id."""
    with pytest.MonkeyPatch.context() as patch:
        paths = apart(tmp_path_factory.mktemp("store"), patch)
        copy_store(empty_database(tmp_path_factory), paths)
        file = paths.root / "note.txt"
        file.write_text("kept")
        run_id = write_run(paths, KEY, name="killed one", files={file: "notes"})
        shutil.rmtree(paths.root / "runs")
    return paths, run_id


@pytest.fixture
def copied(store, tmp_path):
    """A copy of that store, next to the original."""
    shutil.copytree(store[0].root, tmp_path / "copy")
    return Paths(tmp_path / "copy")


def execute(paths: Paths, statement: str) -> None:
    with closing(sqlite3.connect(paths.root / "mlflow.db")) as connection, connection:
        connection.execute(statement)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# all of it


@pytest.mark.slow
def test_an_empty_folder_is_checked_and_stays_empty(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        doctor.run(Paths(tmp_path), repair=True)
    assert stopped.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} == {"ok", "note", "wrong"}
    for level, name in (("wrong", "dvc.yaml"), ("wrong", "params.yaml"), ("note", "mlflow.db")):
        assert any(line.startswith(level) and name in line for line in lines)
    assert not list(tmp_path.iterdir())


def test_a_check_that_raises_is_a_line_and_hides_no_other(tmp_path, monkeypatch):
    def fail(paths):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(inputs, "params", fail)
    points = list(doctor.run_checks(Paths(tmp_path)))
    assert wrong("params.yaml: can't be checked (ZeroDivisionError: by zero)") in points
    assert points[-1].text == "no unfinished trainings"


def test_notes_alone_are_no_failure(tmp_path, monkeypatch, capsys):
    points = [note("a", "b"), Point("ok", "c")]
    monkeypatch.setattr(doctor, "run_checks", lambda paths, repair: points)
    doctor.run(Paths(tmp_path), repair=False)
    assert capsys.readouterr().out == "note   a; b\nok     c\n"


# the store


@pytest.mark.slow
def test_an_intact_store(store):
    (state,) = check_tracker(store[0], repair=False)
    assert state == Point("ok", f"{store[0].root}/mlflow.db: 1 training")


@pytest.mark.slow
def test_a_copied_store_is_repaired_only_on_request(store, copied):
    before = content(copied.root)
    artifacts = list(check_tracker(copied, repair=False))[1]
    assert artifacts.level == "wrong"
    assert str(store[0].root / "mlartifacts") in artifacts.text
    assert "gan doctor --repair" in artifacts.text
    assert content(copied.root) == before
    original = (store[0].root / "mlflow.db").read_bytes()
    assert [point.level for point in check_tracker(copied, repair=True)] == ["ok", "ok"]
    assert [point.level for point in check_tracker(copied, repair=True)] == ["ok"]
    assert (store[0].root / "mlflow.db").read_bytes() == original


@pytest.mark.slow
def test_a_running_run_without_a_process_is_noted_and_one_with_a_process_is_not(store, copied):
    execute(copied, "UPDATE runs SET status = 'RUNNING'")
    idle = list(check_tracker(copied, repair=False))[-1]
    assert idle.level == "note"
    assert f"{store[1][:8]} (killed one)" in idle.text
    spool = copied.root / "logs" / "runs" / "train"
    spool.mkdir(parents=True)
    (spool / "run.json").write_text(
        json.dumps({"run": {"name": "n"}, "sent": 0, "run_id": store[1]})
    )
    with (spool / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert list(check_tracker(copied, repair=False))[-1].level == "ok"


@pytest.mark.slow
def test_a_store_of_another_mlflow_is_wrong(copied):
    execute(copied, "UPDATE alembic_version SET version_num = '451aebb31d03'")
    (state,) = check_tracker(copied, repair=False)
    assert state.level == "wrong"
    assert "mlflow db upgrade" in state.text


def test_a_file_that_is_no_store_is_wrong_and_stays(tmp_path):
    file = tmp_path / "mlflow.db"
    file.write_bytes(b"no database" * 1000)
    (point,) = check_tracker(Paths(tmp_path), repair=True)
    assert (point.level, point.text.count("\n")) == ("wrong", 0)
    assert file.read_bytes() == b"no database" * 1000


@pytest.mark.slow
def test_a_dead_server_is_wrong_and_its_password_hidden(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    (point,) = check_tracker(Paths(tmp_path), repair=True)
    assert point.level == "wrong"
    assert "secret" not in point.line


# leftovers


def write_records(folder: Path, sent: int = 0) -> Path:
    """Write three records of a stage."""
    folder.mkdir(parents=True)
    records = [json.dumps({"kind": "tags", "time": 1, "values": {}}) + "\n" for _ in range(3)]
    (folder / "records.jsonl").write_text("".join(records))
    state = {"row": {"name": "hinge 64px"}, "sent": sent * len(records[0])}
    (folder / "run.json").write_text(json.dumps(state))
    (folder / "lock").touch()
    return folder


def test_unsent_records_are_counted_except_those_of_running_processes(tmp_path):
    paths = Paths(tmp_path)
    assert leftovers.unsent(paths).level == "ok"
    spool = write_records(tmp_path / "logs" / "spool" / "evaluate-1", sent=1)
    before = content(tmp_path)
    point = leftovers.unsent(paths)
    assert (point.level, point.text) == ("note", "2 unsent records, of hinge 64px")
    assert "gan sync" in point.remedy
    with (spool / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert leftovers.unsent(paths).level == "ok"
    assert content(tmp_path) == before


def test_unfinished_and_running_trainings_are_listed_and_finished_ones_are_not(tmp_path):
    paths = Paths(tmp_path)
    for name in ("aa", "bb", "cc"):
        folder = paths.progress / name
        folder.mkdir(parents=True)
        for file in ("identity.json", "lock", "state-000000000064.pt"):
            (folder / file).touch()
    (paths.progress / "bb" / "finished").touch()
    with (paths.progress / "cc" / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        running, stopped = leftovers.trainings(paths)
    assert running == Point("ok", "running trainings: cc")
    assert (stopped.level, stopped.text) == ("note", "unfinished trainings: aa, 0 MiB")


# tools and files


def test_python_torch_and_dvc_of_this_environment_are_fine(tmp_path):
    assert tools.python().level == tools.torch().level == "ok"
    (tmp_path / "dvc.yaml").touch()
    assert tools.dvc(Paths(tmp_path)).level == "wrong"
    (tmp_path / ".dvc").mkdir()
    assert tools.dvc(Paths(tmp_path)).level == "ok"


def test_without_git_runs_cannot_record_their_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert tools.git(Paths(tmp_path)).level == "note"
    monkeypatch.setenv("PATH", "")
    assert tools.git(Paths(tmp_path)).level == "wrong"


@pytest.mark.parametrize(
    ("free", "level"), [(1 << 29, "wrong"), (2 << 30, "note"), (9 << 30, "ok")]
)
def test_low_disk_space_is_reported(tmp_path, monkeypatch, free, level):
    monkeypatch.setattr(
        tools.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, free)
    )
    assert tools.disk(Paths(tmp_path)).level == level


def test_a_folder_that_is_not_writable_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setattr(tools.os, "access", lambda path, mode: False)  # root may write anywhere
    assert tools.disk(Paths(tmp_path)).level == "wrong"


def write_data(paths: Paths) -> int:
    """A dataset without images; returns its bytes."""
    paths.data.mkdir()
    (paths.data / "manifest.jsonl").write_text("")
    marks: dict[str, FileChecksum] = {
        "manifest.jsonl": checksum_file(paths.data / "manifest.jsonl")
    }
    snapshot = {
        "format": 1,
        "source": {"source": "embedded"},
        "counts": {"ok": 0},
        "files": {name: vars(mark) for name, mark in marks.items()},
        "digest": digest_files(marks),
    }
    file = paths.data / "snapshot.json"
    file.write_text(json.dumps(snapshot))
    return file.stat().st_size


def test_data_is_absent_pinned_changed_or_damaged(tmp_path):
    paths = Paths(tmp_path)
    assert inputs.data(paths).level == "note"
    size = write_data(paths)
    assert "data.dvc pins nothing" in inputs.data(paths).text
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
    assert inputs.outs(paths).text == "absent outs: models"
    (tmp_path / "models").mkdir()
    assert inputs.outs(paths).level == "ok"
    (tmp_path / "dvc.lock").write_text("stages: {train: [}")
    assert inputs.outs(paths).level == "note"
    (tmp_path / "dvc.lock").write_text("stages: {train: 5}")
    assert inputs.outs(paths).level == "wrong"


def test_weights_are_absent_wrong_or_ok(tmp_path, write_params):
    paths = Paths(tmp_path)
    assert "gan weights fetch" in inputs.weights(paths).text
    paths.weights.mkdir()
    (paths.weights / "pt_inception-2015-12-05-6726825d.pth").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    write_params(tmp_path / "params.yaml")
    assert inputs.weights(paths).level == "wrong"
    write_params(tmp_path / "params.yaml", {"features.inception_sha256": digest})
    assert inputs.weights(paths).level == "ok"
    assert inputs.params(paths).level == "ok"


@pytest.mark.slow
def test_the_former_name_of_the_option_still_repairs(copied, monkeypatch):
    monkeypatch.chdir(copied.root)
    assert CliRunner().invoke(app, ["doctor", "--mend"]).exit_code == 1  # there is no dvc.yaml
    assert [point.level for point in check_tracker(copied, repair=False)] == ["ok"]
    assert "--mend" not in CliRunner().invoke(app, ["doctor", "--help"]).output
