"""`gan sync` of run folders: complete series, processes beside it, faults, repetition."""

import fcntl
import json
import shutil
import signal
import subprocess
import sys
import textwrap

import pytest
from tracking_stores import (
    REFUSED,
    client_of,
    database_points,
    history,
    images,
    local_points,
    python,
    read_runs,
    stored_points,
    training_folder,
    until,
)

from gan.errors import GanError
from pipeline.tracking.open_run import stage_run, start_run
from pipeline.tracking.run_folder import kept_folders
from pipeline.tracking.run_folder.folder import RunFolder, count_unsent
from pipeline.tracking.run_folder.kept_folders import find_kept_folders
from pipeline.tracking.run_folder.lock import BusyError
from pipeline.tracking.sync import sync

HEADER = {"experiment": "avatars", "name": "hinge 64px", "start_time": 1}


def record(paths, steps, key="k1", picture=None):
    """Write the run folder of a training that had no store, as `Run` does."""
    folder = RunFolder(training_folder(paths, key), HEADER | {"tags": {"run_key": key}})
    folder.add("params", values={"train.seed": "1"})
    for step in range(steps):
        folder.add("metrics", values={"loss/generator": step / 7, "score/real": -step}, step=step)
        if picture and step % 100 == 99:
            name = folder.copy_file(picture, f"images/grid-{step}.png")
            folder.add("image", key="grid", step=step, file=name)
    folder.add("end", status="FINISHED")
    folder.commit()
    folder.release()


# series are equal, point for point


@pytest.mark.slow
def test_a_training_that_had_no_store_arrives_complete_and_a_new_store_gets_it_too(
    stored, paths, monkeypatch, picture, synced, tmp_path, empty_store
):
    record(paths, 300, picture=picture)
    expected = local_points(paths)
    assert synced()[0].startswith("hinge 64px")
    (run,) = read_runs(paths)
    assert run.info.status == "FINISHED"
    assert stored_points(paths, run.info.run_id) == expected
    assert len(images(paths, run.info.run_id)) == 3
    points = database_points(tmp_path / "mlflow.db")
    synced()
    assert database_points(tmp_path / "mlflow.db") == points

    shutil.copyfile(empty_store, tmp_path / "second.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/second.db")
    synced()
    (other,) = read_runs(paths)
    assert other.info.run_id != run.info.run_id
    assert stored_points(paths, other.info.run_id) == expected


@pytest.mark.slow
def test_a_run_that_was_deleted_is_sent_again_as_far_as_files_are_there(
    stored, paths, picture, synced
):
    record(paths, 100, picture=picture)
    synced()
    (run,) = read_runs(paths)
    client_of(paths).delete_run(run.info.run_id)
    assert "1 files" in synced()[0]
    (again,) = read_runs(paths)
    assert stored_points(paths, again.info.run_id) == local_points(paths)


@pytest.mark.slow
def test_run_folders_of_finished_work_are_removed_and_those_of_unfinished_trainings_stay(
    stored, paths, monkeypatch, synced
):
    for key in ("over", "open"):
        record(paths, 10, key=key)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", REFUSED)
    with stage_run(paths, "preprocess") as stage:
        stage.metrics({"kept": 5}, 0)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    synced()
    assert not any((paths.root / "logs" / "spool").iterdir())
    assert [run.info.status for run in read_runs(paths, "avatars-stages")] == ["FINISHED"]
    assert training_folder(paths, "over").is_dir()
    (paths.progress / "abcd" / "finished").write_text("10\n")
    synced()
    assert not training_folder(paths, "over").exists()


# processes beside it


@pytest.mark.slow
def test_a_living_process_keeps_its_run_folder_and_a_killed_one_leaves_it(stored, paths, synced):
    code = """
    run = start_run(paths, experiment='avatars', name='alive', run_key='k1',
                    folder=paths.progress / 'abcd' / 'tracking' / 'k1')
    run.metrics({'loss': 1.0}, 1)
    run.commit()
    run.metrics({'loss': 2.0}, 2)
    print('ready', flush=True)
    import time; time.sleep(600)
    """
    living = python(paths, code, MLFLOW_TRACKING_URI=REFUSED)
    try:
        assert living.stdout.readline() == "ready\n"
        assert kept_folders.BUSY in synced()[0]
        assert read_runs(paths) == []
    finally:
        living.kill()
        living.communicate()
    synced()
    (run,) = read_runs(paths)
    assert history(paths, run.info.run_id, "loss") == [(1, 1.0)]


@pytest.mark.slow
def test_a_training_that_begins_waits_for_its_run_folder_and_is_seen_to_wait(paths):
    folder = training_folder(paths)
    RunFolder(folder, {"name": "n"}).release()
    held = RunFolder.open_existing(folder)
    assert not held.lock.wanted
    code = (
        "from pipeline.tracking.run_folder.folder import RunFolder\n"
        "RunFolder(paths.progress / 'abcd/tracking/k1', {})\n"
    )
    other = python(paths, code)
    until(lambda: held.lock.wanted)
    with pytest.raises(BusyError):
        RunFolder.open_existing(folder)
    assert other.poll() is None
    held.release()
    assert other.wait(30) == 0, other.stderr.read()
    RunFolder.open_existing(folder).release()  # the end of the process was the end of its lock


@pytest.mark.slow
def test_a_training_whose_run_folder_is_busy_is_recorded_beside_it_onto_the_same_run(
    stored, paths, monkeypatch, synced, picture
):
    monkeypatch.setattr("pipeline.tracking.run_folder.folder.LOCK_TIMEOUT_S", 0.2)
    killed = RunFolder(training_folder(paths), HEADER | {"tags": {"run_key": "k1"}})
    killed.add("metrics", values={"loss/generator": 0.5}, step=0)
    killed.commit()
    killed.add("metrics", values={"loss/generator": 1.5}, step=1)
    killed.add("image", key="grid", step=1, file=killed.copy_file(picture, "grid-1.png"))
    killed.prepare(1)  # killed behind the checkpoint at 1, which is on the disk
    killed.release()
    held = RunFolder.open_existing(training_folder(paths))
    resumed = start_run(
        paths,
        experiment="avatars",
        name="n",
        run_key="k1",
        folder=training_folder(paths),
        resumed_from=1,
    )
    for step in (0, 2):
        resumed.metrics({"loss/generator": step + 0.5}, step)
    resumed.close()
    held.release()
    assert [each.name for each in find_kept_folders(paths)] == ["hinge 64px"] * 2
    synced()
    (run,) = read_runs(paths)
    assert run.info.status == "FINISHED"
    assert history(paths, run.info.run_id, "loss/generator") == [(0, 0.5), (1, 1.5), (2, 2.5)]
    assert len(images(paths, run.info.run_id)) == 1
    again = RunFolder(training_folder(paths), {})
    assert again.has_point("loss/generator", 2)  # in the other folder
    again.release()


@pytest.mark.slow
def test_sync_makes_way_for_a_training_that_waits_for_its_run_folder(
    stored, paths, monkeypatch, synced
):
    monkeypatch.setattr(kept_folders, "BATCH", 10)
    record(paths, 300)
    folder = training_folder(paths)
    with (folder / "waiting").open("a+") as queue:
        fcntl.flock(queue, fcntl.LOCK_EX)
        assert kept_folders.BUSY in synced()[0]
    assert 0 < count_unsent(folder) < 302
    synced()
    (run,) = read_runs(paths)
    assert stored_points(paths, run.info.run_id) == local_points(paths)


def test_two_processes_never_both_hold_a_folder_that_is_removed_and_made(tmp_path):
    code = """
    import sys, pathlib
    from pipeline.tracking.run_folder.lock import BusyError, FolderLock
    root = pathlib.Path(sys.argv[1])
    for _ in range(300):
        lock = FolderLock(root / "run")
        try:
            lock.take(5, make=True)
        except BusyError:
            continue
        (root / "alone").mkdir()  # fails if another is in here
        (root / "alone").rmdir()
        lock.remove_folder()
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [(each.wait(60), each.stderr.read()) for each in both] == [(0, ""), (0, "")]


@pytest.mark.slow
def test_a_sync_that_is_killed_in_the_middle_is_made_up_for(stored, paths, synced):
    record(paths, 3000)
    code = "from pipeline.tracking.run_folder import kept_folders; kept_folders.BATCH = 20\n"
    killed = python(paths, code + "sync.run(paths)\n")
    state = training_folder(paths) / "run.json"
    until(lambda: json.loads(state.read_text())["sent"] > 0)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    size = state.with_name("records.jsonl").stat().st_size
    assert 0 < json.loads(state.read_text())["sent"] < size
    synced()
    (run,) = read_runs(paths)
    assert stored_points(paths, run.info.run_id) == local_points(paths)


# faults


@pytest.mark.slow
def test_a_store_that_cannot_be_written_costs_a_line_and_nothing_is_lost(
    stored, paths, monkeypatch, capsys, synced
):
    record(paths, 50)
    database = paths.root / "mlflow.db"
    monkeypatch.chdir(paths.root)  # MLflow makes folders of the read-only URI's path
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///file:{database}?mode=ro&uri=true")
    with pytest.raises(GanError, match="1 of 1"):
        sync.run(paths)
    assert "52 records not sent" in capsys.readouterr().out
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    synced()
    (run,) = read_runs(paths)
    assert stored_points(paths, run.info.run_id) == local_points(paths)


@pytest.mark.slow
def test_a_disk_that_is_full_costs_a_line_and_nothing_is_lost(stored, paths, synced):
    record(paths, 2000)
    code = """
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    size = (paths.root / 'mlflow.db').stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    from gan.errors import GanError
    try:
        sync.run(paths)
    except GanError as error:
        print(error)
    """
    caller = python(paths, code)
    out, _ = caller.communicate(timeout=120)
    assert caller.returncode == 0
    assert "records not sent" in out
    assert "1 of 1" in out
    synced()
    (run,) = read_runs(paths)
    assert stored_points(paths, run.info.run_id) == local_points(paths)


@pytest.mark.slow
def test_damaged_run_folders_cost_a_line_each_and_the_others_are_sent(stored, paths, capsys):
    for key in ("a", "b", "c"):
        record(paths, 5, key=key)
    (training_folder(paths, "a") / "run.json").write_text("{")
    records = training_folder(paths, "b") / "records.jsonl"
    first, second, *rest = records.read_bytes().splitlines(keepends=True)
    records.write_bytes(b"".join([first, b'{"kind": "metrics", "tim\xff\n', second, *rest]))
    with pytest.raises(GanError, match="2 of 3"):
        sync.run(paths)
    lines = capsys.readouterr().out.splitlines()
    assert "run.json" in lines[0]
    assert "1 damaged" in lines[1]
    assert "damaged" not in lines[2]
    expected = [(step, step / 7) for step in range(5)]
    runs = read_runs(paths)
    assert [history(paths, run.info.run_id, "loss/generator") for run in runs] == [expected] * 2


def test_without_records_no_store_is_created(paths, synced):
    assert len(synced()) == 1
    assert not (paths.root / "mlflow.db").exists()


def test_points_of_a_long_series_are_not_recorded_twice(tmp_path):
    def add(folder):
        for step in range(2000):
            folder.add("metrics", values={f"m{n}": step * n for n in range(10)}, step=step)

    folder = RunFolder(tmp_path / "run", {"name": "n"})
    add(folder)
    folder.commit()
    folder.release()
    again = RunFolder(tmp_path / "run", {"name": "n"})
    assert again.unsent == 2000
    assert again.has_point("m3", 1999)
    add(again)  # repeated after a kill
    again.commit()
    assert again.unsent == 2000
    again.release()
