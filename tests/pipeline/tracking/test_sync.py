"""`gan sync` of run folders: complete series, processes beside it, faults, repetition."""

import json
import os
import shutil
import signal

import pytest
from tracking_stores import (
    REFUSED,
    START,
    begin,
    client_of,
    database_points,
    history,
    images,
    local_points,
    python,
    read_runs,
    run_folder,
    stored_points,
    until,
)

from gan.errors import GanError
from pipeline.paths import Paths
from pipeline.tracking.mlflow import environment
from pipeline.tracking.open_run import stage_run
from pipeline.tracking.run import Run
from pipeline.tracking.run_folder.folder import RunFolder, count_unsent, make_run_folder
from pipeline.tracking.run_folder.kept_folders import BUSY
from pipeline.tracking.sync import sync

HEADER = {"experiment": "avatars", "name": "hinge 64px", "start_time": 1, "progress": "abcd"}


def record(paths, steps, key="k1", picture=None):
    """Write the run folder of a training that had no store."""
    run = Run(make_run_folder(run_folder(paths, key), HEADER | {"tags": {"run_key": key}}))
    run.params({"train": {"seed": 1}})
    for step in range(steps):
        run.metrics({"loss/generator": step / 7, "score/real": -step}, step)
        if picture and step % 100 == 99:
            run.image("grid", picture, step)
    run.close()


def points_in_store(paths):
    (run,) = read_runs(paths)
    return stored_points(paths, run.info.run_id)


# series are equal, point for point


@pytest.mark.slow
def test_a_training_that_had_no_store_arrives_complete_and_a_new_store_gets_it_too(
    stored, paths, monkeypatch, picture, synced, tmp_path, empty_store
):
    record(paths, 300, picture=picture)
    (paths.progress / "abcd").mkdir(parents=True)  # it is not over
    expected = local_points(paths)
    assert synced()[0].startswith("hinge 64px")
    (run,) = read_runs(paths)
    assert run.info.status == "FINISHED"
    assert stored_points(paths, run.info.run_id) == expected
    assert len(images(paths, run.info.run_id)) == 3
    points = database_points(tmp_path / "mlflow.db")
    synced()
    assert database_points(tmp_path / "mlflow.db") == points

    client_of(paths).delete_run(run.info.run_id)
    assert "3 files" in synced()[0]  # deleted here once they were sent
    assert points_in_store(paths) == expected

    shutil.copyfile(empty_store, tmp_path / "second.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/second.db")
    synced()
    assert points_in_store(paths) == expected


@pytest.mark.slow
def test_run_folders_of_finished_work_are_removed_and_those_of_unfinished_trainings_stay(
    stored, paths, monkeypatch, synced
):
    record(paths, 10)
    (paths.progress / "abcd").mkdir(parents=True)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", REFUSED)
    with stage_run(paths, "preprocess") as stage:
        stage.metrics({"kept": 5}, 0)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    synced()
    assert [each.name for each in (paths.root / "logs" / "runs").iterdir()] == ["k1"]
    assert [run.info.status for run in read_runs(paths, "avatars-stages")] == ["FINISHED"]
    (paths.progress / "abcd" / "finished").write_text("10\n")
    synced()
    assert not run_folder(paths).exists()


# processes beside it


@pytest.mark.slow
def test_a_living_process_keeps_its_run_folder_and_a_killed_one_leaves_it(stored, paths, synced):
    code = """
    run.metrics({'loss': 1.0}, 1)
    run.commit()
    run.metrics({'loss': 2.0}, 2)
    run.prepare(2)
    print('ready', flush=True)
    import time; time.sleep(600)
    """
    living = python(paths, START, code, MLFLOW_TRACKING_URI=REFUSED)
    try:
        assert living.stdout.readline() == "ready\n"
        assert BUSY in synced()[0]
        assert read_runs(paths) == []
    finally:
        living.kill()
        living.communicate()
    (paths.progress / "abcd").mkdir(parents=True)
    synced()
    (run,) = read_runs(paths)
    # whether there is a checkpoint at 2, only the training that resumes knows
    assert history(paths, run.info.run_id, "loss") == [(1, 1.0)]
    again = begin(paths, resumed_from=2)
    again.metrics({"loss": 7.0}, 2)
    again.close()
    assert history(paths, run.info.run_id, "loss") == [(1, 1.0), (2, 2.0)]


@pytest.mark.slow
def test_a_training_resumes_while_sync_has_its_run_folder(stored, paths, synced, capfd):
    record(paths, 2)
    sending = RunFolder(run_folder(paths))
    assert sending.take()
    resumed = begin(paths)
    for step in (1, 2):
        resumed.metrics({"loss/generator": step / 7}, step)
    resumed.close(timeout_s=0)
    assert "gan sync" in capfd.readouterr().err
    sending.release()
    until(lambda: not resumed.unsent)
    (run,) = read_runs(paths)
    assert run.info.status == "FINISHED"
    assert history(paths, run.info.run_id, "loss/generator") == [
        (0, 0.0),
        (1, 1 / 7),
        (2, 2 / 7),
    ]


@pytest.mark.slow
def test_a_sync_that_is_killed_in_the_middle_is_made_up_for(stored, paths, synced):
    record(paths, 3000)
    code = "from pipeline.tracking.run_folder import push; push.BATCH = 20\n"
    killed = python(paths, code, "sync.run(paths)\n")
    state = run_folder(paths) / "run.json"
    until(lambda: json.loads(state.read_text())["sent"] > 0)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert 0 < count_unsent(run_folder(paths)) < 3002
    expected = local_points(paths)
    synced()
    assert points_in_store(paths) == expected


# faults


@pytest.mark.slow
def test_a_store_that_cannot_be_written_costs_a_line_and_nothing_is_lost(
    stored, paths, monkeypatch, capsys, synced
):
    record(paths, 50)
    expected, database = local_points(paths), paths.root / "mlflow.db"
    monkeypatch.chdir(paths.root)  # MLflow makes folders of the read-only URI's path
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///file:{database}?mode=ro&uri=true")
    with pytest.raises(GanError, match="1 of 1"):
        sync.run(paths)
    assert "52 records not sent" in capsys.readouterr().out
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    synced()
    assert points_in_store(paths) == expected


@pytest.mark.slow
def test_damaged_run_folders_cost_a_line_each_and_the_others_are_sent(stored, paths, capsys):
    for key in ("a", "b", "c"):
        record(paths, 5, key=key)
    (run_folder(paths, "a") / "run.json").write_text("{")
    records = run_folder(paths, "b") / "metrics.jsonl"
    first, second, *rest = records.read_bytes().splitlines(keepends=True)
    records.write_bytes(b"".join([first, b'{"kind": "metrics", "tim\xff\n', second, *rest]))
    with pytest.raises(GanError, match="2 of 3"):
        sync.run(paths)
    lines = capsys.readouterr().out.splitlines()
    assert "run.json" in lines[0]
    assert "damaged line" in lines[1]
    assert "damaged" not in lines[2]
    expected = [(step, step / 7) for step in range(5)]
    runs = read_runs(paths)
    assert [history(paths, run.info.run_id, "loss/generator") for run in runs] == [expected] * 2


def test_without_records_no_store_is_created(paths, synced):
    assert len(synced()) == 1
    assert not (paths.root / "mlflow.db").exists()


@pytest.mark.parametrize(("named", "expected"), [(None, "15"), ("7", "7")])
def test_sync_waits_longer_for_a_server_than_a_training_unless_told_otherwise(
    tmp_path, monkeypatch, named, expected
):
    for name in environment.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(environment, "_set_here", set())
    if named:
        monkeypatch.setenv(environment.TIMEOUT, named)
    environment.set_defaults()
    sync.run(Paths(tmp_path))
    assert os.environ[environment.TIMEOUT] == expected
