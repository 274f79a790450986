"""`gan doctor` in intact, empty and broken checkouts; without --repair it changes nothing."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from dvc_checkouts import ROOT
from evaluated_runs import write_run
from filelock import FileLock
from preprocess_inputs import make_dataset, pictures
from tracking_stores import apart, copy_store, execute
from typer.testing import CliRunner

from gan.errors import GanError
from pipeline.cli.main import app
from pipeline.housekeeping import doctor
from pipeline.housekeeping.doctor import Point, check_tracker, note, wrong
from pipeline.paths import Paths

KEY = "a" * 64


pytestmark = pytest.mark.usefixtures("paths")


@pytest.fixture(scope="module")
def store(tmp_path_factory, empty_store):
    """Paths of a store with one finished training, and its id."""
    with pytest.MonkeyPatch.context() as patch:
        paths = apart(tmp_path_factory.mktemp("store"), patch)
        copy_store(empty_store, paths)
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


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def only(points: Iterator[Point]) -> Point:
    (point,) = points
    return point


# all of it


@pytest.mark.slow
def test_a_torch_that_cannot_be_imported_is_one_point_among_others(tmp_path):
    (tmp_path / "torch.py").write_text("raise OSError('libgomp.so.1: cannot open')\n")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "pipeline.cli", "doctor"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "libgomp.so.1" in done.stdout + done.stderr
    assert "no dvc.yaml" in done.stdout + done.stderr


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


def test_a_check_that_raises_is_a_line_and_notes_alone_are_no_failure(
    tmp_path, monkeypatch, capsys
):
    def fail(paths):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(doctor, "check_params", fail)
    points = list(doctor.run_checks(Paths(tmp_path)))
    assert wrong("params.yaml: can't be checked (ZeroDivisionError: by zero)") in points
    assert points[-1].text == "no unfinished trainings"
    points = [note("a;\nb"), Point("ok", "c")]
    monkeypatch.setattr(doctor, "run_checks", lambda paths, repair: points)
    doctor.run(Paths(tmp_path), repair=False)
    assert capsys.readouterr().out == "note   a; b\nok     c\n"


# the store


@pytest.mark.slow
def test_a_copied_store_is_repaired_only_on_request(store, copied, monkeypatch):
    (state,) = check_tracker(store[0], repair=False)
    assert state == Point("ok", f"{store[0].root}/mlflow.db: 1 training")
    before = content(copied.root)
    artifacts = list(check_tracker(copied, repair=False))[1]
    assert artifacts.level == "wrong"
    assert str(store[0].root / "mlartifacts") in artifacts.text
    assert "gan doctor --repair" in artifacts.text
    assert content(copied.root) == before
    original = (store[0].root / "mlflow.db").read_bytes()
    assert [point.level for point in check_tracker(copied, repair=True)] == ["ok", "ok"]
    shutil.copy(store[0].root / "mlflow.db", copied.root)
    monkeypatch.chdir(copied.root)
    # the former name of the option; there is no dvc.yaml
    assert CliRunner().invoke(app, ["doctor", "--mend"]).exit_code == 1
    assert [point.level for point in check_tracker(copied, repair=True)] == ["ok"]
    assert (store[0].root / "mlflow.db").read_bytes() == original


@pytest.mark.slow
def test_a_running_run_without_a_process_is_noted_and_one_with_a_process_is_not(store, copied):
    execute(copied, "UPDATE runs SET status = 'RUNNING'")
    idle = list(check_tracker(copied, repair=False))[-1]
    assert idle.level == "note"
    assert f"{store[1][:8]} (killed one)" in idle.text
    folder = copied.root / "logs" / "runs" / "train"
    folder.mkdir(parents=True)
    state = {"run": {"name": "n"}, "sent": 0, "run_id": store[1]}
    (folder / "run.json").write_text(json.dumps(state))
    with FileLock(folder / "lock"):
        assert list(check_tracker(copied, repair=False))[-1].level == "ok"


@pytest.mark.slow
def test_a_store_of_another_mlflow_is_wrong(copied):
    execute(copied, "UPDATE alembic_version SET version_num = '451aebb31d03'")
    (state,) = check_tracker(copied, repair=False)
    assert state.level == "wrong"
    assert "mlflow db upgrade" in state.text


@pytest.mark.slow
def test_a_file_that_is_no_store_and_a_dead_server_are_wrong(tmp_path, monkeypatch):
    file = tmp_path / "mlflow.db"
    file.write_bytes(b"no database" * 1000)
    (point,) = check_tracker(Paths(tmp_path), repair=True)
    assert (point.level, point.text.count("\n")) == ("wrong", 0)
    assert file.read_bytes() == b"no database" * 1000
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    (point,) = check_tracker(Paths(tmp_path), repair=True)
    assert point.level == "wrong"
    assert "secret" not in point.text


# leftovers


def test_unsent_records_are_counted_except_those_of_running_processes(paths, tmp_path):
    folder = tmp_path / "logs" / "spool" / "evaluate-1"
    assert only(doctor.check_records(paths)).level == "ok"
    folder.mkdir(parents=True)
    record = json.dumps({"kind": "tags", "time": 1, "values": {}}) + "\n"
    (folder / "records.jsonl").write_text(record * 3)
    state = {"row": {"name": "hinge 64px"}, "sent": len(record)}
    (folder / "run.json").write_text(json.dumps(state))
    (folder / "lock").touch()
    before = content(tmp_path)
    point = only(doctor.check_records(paths))
    assert (point.level, point.text) == (
        "note",
        "2 unsent records, of hinge 64px; `gan sync` sends them",
    )
    with FileLock(folder / "lock"):
        assert only(doctor.check_records(paths)).level == "ok"
    assert content(tmp_path) == before


def test_unfinished_and_running_trainings_are_listed_and_finished_ones_are_not(paths, tmp_path):
    for name in ("aa", "bb", "cc"):
        folder = paths.progress / name
        folder.mkdir(parents=True)
        for file in ("identity.json", "lock", "state-000000000064.pt"):
            (folder / file).touch()
    (paths.progress / "bb" / "finished").touch()
    with FileLock(paths.progress / "cc" / "lock"):
        running, stopped = doctor.check_trainings(paths)
    assert running == Point("ok", "running trainings: cc")
    assert stopped.level == "note"
    assert stopped.text.startswith("unfinished trainings: aa;")


# tools and files


def test_the_machine_is_fine_and_a_folder_a_repository_with_a_commit_or_not(
    paths, tmp_path, monkeypatch
):
    assert only(doctor.check_torch(paths)).level == "ok"
    assert only(doctor.check_repository(paths)).level == "wrong"
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / ".dvc").mkdir()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert only(doctor.check_repository(paths)).level == "note"
    assert only(doctor.check_repository(Paths(ROOT))).level == "ok"


def test_low_disk_space_is_reported(tmp_path, monkeypatch):
    for gib, level in ((0.5, "wrong"), (2, "note"), (9, "ok")):
        usage = SimpleNamespace(free=gib * 2**30)
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _, usage=usage: usage)
        assert only(doctor.check_disk(Paths(tmp_path))).level == level


def test_data_is_absent_or_damaged(paths, tmp_path):
    assert only(doctor.check_data(paths)).level == "note"
    make_dataset(tmp_path, pictures(1))
    assert only(doctor.check_data(paths)).level == "ok"
    (paths.data / "manifest.jsonl").unlink()
    with pytest.raises(GanError, match=r"manifest\.jsonl"):
        only(doctor.check_data(paths))


def test_weights_are_absent_wrong_or_ok(paths, tmp_path, write_params):
    assert "gan weights fetch" in only(doctor.check_weights(paths)).text
    paths.weights.mkdir()
    (paths.weights / "pt_inception-2015-12-05-6726825d.pth").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    write_params(tmp_path / "params.yaml")
    with pytest.raises(GanError, match="inception_sha256"):
        only(doctor.check_weights(paths))
    write_params(tmp_path / "params.yaml", {"features.inception_sha256": digest})
    assert only(doctor.check_weights(paths)).level == "ok"
    assert only(doctor.check_params(paths)).level == "ok"
