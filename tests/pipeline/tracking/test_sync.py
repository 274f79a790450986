"""`gan sync`: series whole again, rows made from files, and twice as good as once."""

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tracking_stores import (
    REFUSED,
    apart,
    begin,
    client_of,
    copy_store,
    database_points,
    empty_database,
    history,
    images,
    python,
    rows,
    serving,
    until,
)

from gan.checkpoints import Origin, describe_checkpoint, load_generator, save_checkpoint
from gan.errors import GanError
from gan.models.build import build_generator, initialise
from gan.tensor_cache import TensorCache
from pipeline.tracking import rows as tracking
from pipeline.tracking.spool.left_behind import left_behind
from pipeline.tracking.spool.lock import BusyError, SpoolLock
from pipeline.tracking.spool.records import unsent_in
from pipeline.tracking.spool.spool import Spool
from pipeline.tracking.sync import sync as sync
from pipeline.tracking.sync.training_files import real_sheet
from pipeline.training.progress_folder import digest_of

SYNC = "from pipeline.tracking.sync import sync; sync.run(paths)\n"


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    return empty_database(tmp_path_factory)


@pytest.fixture(scope="module")
def server(tmp_path_factory, empty_store):
    with serving(tmp_path_factory.mktemp("server"), empty_store) as running:
        yield running


@pytest.fixture
def paths(tmp_path, monkeypatch):
    return apart(tmp_path, monkeypatch)


@pytest.fixture
def stored(paths, empty_store):
    return copy_store(empty_store, paths)


@pytest.fixture
def picture(tmp_path):
    file = tmp_path / "grid.png"
    Image.new("RGB", (64, 64), "teal").save(file)
    return file


def spool_of(paths, key="k1"):
    """Where a training keeps its records."""
    return paths.progress / "abcd" / "tracking" / key


def train(paths, steps, key="k1", picture=None):
    """What a training of so many logs records, from one checkpoint to the next."""
    run = begin(paths, key, spool_of(paths, key))
    run.params({"train": {"seed": 1}})
    for step in range(steps):
        run.metrics({"loss/generator": step / 7, "score/real": -step / 3}, step)
        if step % 100 == 99:
            if picture:
                run.image("grid", picture, step)
            run.commit()
    return run


def offline(paths, monkeypatch, steps, **more):
    """A training that no store hears of."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", REFUSED)
    run = train(paths, steps, **more)
    run.close(timeout_s=0)
    until(lambda: not run._sender._thread.is_alive())
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    return run


def local_points(paths, key="k1"):
    """(key, step, value, time) as the file of records says."""
    lines = (spool_of(paths, key) / "records.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return sorted(
        (name, record["step"], value, record["time"])
        for record in records
        if record["kind"] == "metrics"
        for name, value in record["values"].items()
    )


def stored_points(paths, run_id):
    """The same as the store says, with every double."""
    client = client_of(paths)
    return sorted(
        (name, point.step, point.value, point.timestamp)
        for name in client.get_run(run_id).data.metrics
        for point in client.get_metric_history(run_id, name)
    )


def synced(paths, capsys):
    """What `gan sync` prints."""
    capsys.readouterr()
    sync.run(paths)
    return capsys.readouterr().out.splitlines()


def lost_server(server, paths, monkeypatch, picture, away_s):
    """A training whose server dies in the middle and stays away; it ends meanwhile."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    run = begin(paths, "k1", spool_of(paths))
    for step in range(200):
        run.metrics({"loss/generator": step / 7}, step)
    run.image("grid", picture, 100)
    run.commit()
    until(lambda: run.run_id and not run.unsent)
    server.kill()
    gone = time.monotonic()
    try:
        step = 200
        while step < 400 or time.monotonic() - gone < away_s:
            run.metrics({"loss/generator": step / 7, "score/real": -step / 3}, step)
            step += 1
            if step % 50 == 0:
                run.image("grid", picture, step)
                run.commit()
            time.sleep(0.002 if away_s < 10 else 0.05)
        run.close()
        assert run.unsent > 100
        with pytest.raises(GanError, match="can't be reached") as caught:
            sync.run(paths)
        assert "\n" not in str(caught.value)
    finally:
        server.start()
    return run


def assert_made_up_for(server, paths, run, capsys):
    expected = local_points(paths)
    first = synced(paths, capsys)
    assert first[-1] == f"sent what was missing in {server.uri}"
    assert stored_points(paths, run.run_id) == expected
    before = database_points(server.database)
    assert synced(paths, capsys)[-1] == f"nothing is missing in {server.uri}"
    assert database_points(server.database) == before
    found = client_of(paths).get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert len(images(paths, run.run_id)) == len(set(images(paths, run.run_id)))


# series are equal, point for point


@pytest.mark.slow
def test_after_a_server_that_died_in_mid_run_the_series_equals_the_local_file(
    server, paths, monkeypatch, picture, capsys
):
    run = lost_server(server, paths, monkeypatch, picture, 0.5)
    assert_made_up_for(server, paths, run, capsys)


@pytest.mark.soak
def test_after_a_minute_without_its_server_the_series_equals_the_local_file(
    server, paths, monkeypatch, picture, capsys
):
    run = lost_server(server, paths, monkeypatch, picture, 60)
    assert_made_up_for(server, paths, run, capsys)


@pytest.mark.slow
def test_a_training_that_had_no_store_at_all_arrives_whole_and_a_new_store_gets_it_too(
    stored, paths, monkeypatch, picture, capsys, tmp_path, empty_store
):
    offline(paths, monkeypatch, 300, picture=picture)
    expected = local_points(paths)
    said = synced(paths, capsys)
    assert said[0].startswith("hinge 64px")
    assert "records sent" in said[0]
    (row,) = rows(paths)
    assert stored_points(paths, row.info.run_id) == expected
    assert len(images(paths, row.info.run_id)) == 3
    points = database_points(tmp_path / "mlflow.db")
    assert [line.split("  ")[-1] for line in synced(paths, capsys)[:1]] == ["nothing missing"]
    assert database_points(tmp_path / "mlflow.db") == points

    shutil.copyfile(empty_store, tmp_path / "second.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/second.db")
    assert synced(paths, capsys)[-1].startswith("sent what was missing")
    (other,) = rows(paths)
    assert other.info.run_id != row.info.run_id
    assert stored_points(paths, other.info.run_id) == expected


@pytest.mark.slow
def test_a_row_that_somebody_deleted_is_sent_again_as_far_as_files_are_there(
    stored, paths, monkeypatch, picture, capsys
):
    offline(paths, monkeypatch, 100, picture=picture)
    sync.run(paths)
    (row,) = rows(paths)
    client_of(paths).delete_run(row.info.run_id)
    assert synced(paths, capsys)[0].endswith(
        "records sent, but for 1 files that are no longer here"
    )
    (again,) = rows(paths)
    assert stored_points(paths, again.info.run_id) == local_points(paths)


@pytest.mark.slow
def test_spools_of_finished_work_go_and_those_of_unfinished_trainings_stay(
    stored, paths, monkeypatch
):
    for key in ("over", "open"):
        offline(paths, monkeypatch, 10, key=key)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", REFUSED)
    with tracking.stage_run(paths, "preprocess") as stage:
        stage.metrics({"kept": 5}, 0)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    sync.run(paths)
    assert not any((paths.root / "logs" / "spool").iterdir())
    assert [row.info.status for row in rows(paths, "avatars-stages")] == ["FINISHED"]
    assert spool_of(paths, "over").is_dir()
    (paths.progress / "abcd" / "finished").write_text("10\n")
    sync.run(paths)
    assert not spool_of(paths, "over").exists()


# processes beside it


@pytest.mark.slow
def test_a_living_process_keeps_its_spool_and_a_killed_one_leaves_it(stored, paths, capsys):
    code = """
    run = tracking.start(paths, experiment='avatars', name='alive', run_key='k1',
                         spool=paths.progress / 'abcd' / 'tracking' / 'k1')
    run.metrics({'loss': 1.0}, 1)
    run.commit()
    run.metrics({'loss': 2.0}, 2)
    print('ready', flush=True)
    import time; time.sleep(600)
    """
    living = python(paths, code, MLFLOW_TRACKING_URI=REFUSED)
    try:
        assert living.stdout.readline() == "ready\n"
        said = synced(paths, capsys)
        assert said[0].endswith("in use by a running process")
        assert "but for what is in use" in said[-1]
        assert rows(paths) == []
    finally:
        living.kill()
        living.communicate()
    assert synced(paths, capsys)[0].endswith("records sent")
    (row,) = rows(paths)
    assert history(paths, row.info.run_id, "loss") == [(1, 1.0)]


@pytest.mark.slow
def test_a_training_that_begins_waits_for_its_spool_and_is_seen_to_wait(paths):
    folder = spool_of(paths)
    Spool(folder, {"name": "n"}).release()
    held = Spool.left(folder)
    assert not held.lock.wanted
    code = (
        "from pipeline.tracking.spool.spool import Spool\n"
        "Spool(paths.progress / 'abcd/tracking/k1', {})\n"
    )
    other = python(paths, code)
    until(lambda: held.lock.wanted)
    with pytest.raises(BusyError):
        Spool.left(folder)
    assert other.poll() is None
    held.release()
    assert other.wait(30) == 0, other.stderr.read()
    Spool.left(folder).release()  # the end of the process was the end of its lock


@pytest.mark.slow
def test_a_training_whose_spool_is_busy_is_recorded_beside_it_onto_the_same_row(
    stored, paths, monkeypatch, capsys, picture
):
    monkeypatch.setattr("pipeline.tracking.spool.spool.PATIENCE_S", 0.2)
    first = begin(paths, "k1", spool_of(paths))
    first.metrics({"loss/generator": 0.5}, 0)
    first.commit()
    first.metrics({"loss/generator": 1.5}, 1)
    first.image("grid", picture, 1)
    first.prepare(1)  # killed behind the checkpoint at 1, which had come to the disk
    first.drop()
    first._sender.finish(60)
    held = Spool.left(spool_of(paths))
    code = """
    run = tracking.start(paths, experiment='avatars', name='n', run_key='k1', reached=1,
                         spool=paths.progress / 'abcd' / 'tracking' / 'k1')
    for step in (0, 2): run.metrics({'loss/generator': step + .5}, step)
    run.close()
    """
    other = python(
        paths,
        "import pipeline.tracking.spool.spool\npipeline.tracking.spool.spool.PATIENCE_S = 0.2\n"
        + textwrap.dedent(code),
    )
    _, err = other.communicate(timeout=60)
    assert (other.returncode, err) == (0, "")
    held.release()
    assert [each.name for each in left_behind(paths)] == ["hinge 64px"] * 2
    synced(paths, capsys)
    (row,) = rows(paths)
    assert row.info.status == "FINISHED"
    assert history(paths, row.info.run_id, "loss/generator") == [(0, 0.5), (1, 1.5), (2, 2.5)]
    assert len(images(paths, row.info.run_id)) == 1
    again = Spool(spool_of(paths), {})
    assert again.knows("loss/generator", {"step": 2})  # which the other one has
    again.release()


@pytest.mark.slow
def test_sync_makes_way_for_a_training_that_wants_its_spool(stored, paths, monkeypatch, capsys):
    monkeypatch.setattr("pipeline.tracking.spool.left_behind.BATCH", 10)
    offline(paths, monkeypatch, 300)
    with monkeypatch.context() as patched:
        patched.setattr(SpoolLock, "wanted", True)
        assert synced(paths, capsys)[0].endswith("in use by a running process")
    assert 0 < unsent_in(spool_of(paths)) < 303
    synced(paths, capsys)
    (row,) = rows(paths)
    assert stored_points(paths, row.info.run_id) == local_points(paths)


def test_two_openers_at_once_never_both_have_a_spool_that_is_removed_and_made(tmp_path):
    code = """
    import sys, pathlib
    from pipeline.tracking.spool.lock import BusyError, SpoolLock
    root = pathlib.Path(sys.argv[1])
    for _ in range(300):
        lock = SpoolLock(root / "spool")
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
def test_a_sync_that_is_killed_in_the_middle_is_made_up_for(stored, paths, monkeypatch, capsys):
    offline(paths, monkeypatch, 3000)
    code = "from pipeline.tracking.spool import left_behind; left_behind.BATCH = 20\n" + SYNC
    killed = python(paths, code)
    state = spool_of(paths) / "run.json"
    until(lambda: json.loads(state.read_text())["sent"] > 0)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert (
        0 < json.loads(state.read_text())["sent"] < state.with_name("records.jsonl").stat().st_size
    )
    synced(paths, capsys)
    (row,) = rows(paths)
    assert stored_points(paths, row.info.run_id) == local_points(paths)


# what is in the way


@pytest.mark.slow
def test_a_store_that_cannot_be_written_costs_a_line_and_nothing_is_lost(
    stored, paths, monkeypatch, capsys
):
    offline(paths, monkeypatch, 50)
    database = paths.root / "mlflow.db"
    monkeypatch.chdir(paths.root)  # MLflow makes folders of the read-only URI's path
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///file:{database}?mode=ro&uri=true")
    with pytest.raises(GanError, match="1 of 1 not whole"):
        sync.run(paths)
    assert "records not sent" in capsys.readouterr().out
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    sync.run(paths)
    (row,) = rows(paths)
    assert stored_points(paths, row.info.run_id) == local_points(paths)


@pytest.mark.slow
def test_a_disk_that_is_full_costs_a_line_and_nothing_is_lost(stored, paths, monkeypatch, capsys):
    offline(paths, monkeypatch, 5000)
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
    caller = python(paths, "from pipeline.tracking.sync import sync\n" + textwrap.dedent(code))
    out, _ = caller.communicate(timeout=120)
    assert caller.returncode == 0
    assert "records not sent" in out
    assert "1 of 1 not whole" in out
    sync.run(paths)
    (row,) = rows(paths)
    assert stored_points(paths, row.info.run_id) == local_points(paths)


@pytest.mark.slow
def test_damaged_spools_cost_a_line_each_and_the_others_are_sent(
    stored, paths, monkeypatch, capsys
):
    for key in ("a", "b", "c"):
        offline(paths, monkeypatch, 5, key=key)
    (spool_of(paths, "a") / "run.json").write_text("{")
    records = spool_of(paths, "b") / "records.jsonl"
    first, second, *rest = records.read_bytes().splitlines(keepends=True)
    records.write_bytes(b"".join([first, b'{"kind": "metrics", "tim\xff\n', second, *rest]))
    with pytest.raises(GanError, match="2 of 3 not whole"):
        sync.run(paths)
    said = capsys.readouterr().out.splitlines()
    assert "run.json: missing or damaged" in said[0]
    assert "1 damaged in" in said[1]
    assert said[2].endswith("records sent")
    expected = [(step, step / 7) for step in range(5)]
    assert [history(paths, row.info.run_id, "loss/generator") for row in rows(paths)] == [
        expected,
        expected,
    ]


def test_nothing_to_send_is_said_and_no_store_is_made(paths, capsys):
    sync.run(paths)
    assert "nothing to send" in capsys.readouterr().out
    assert not (paths.root / "mlflow.db").exists()


# rows from files alone


SNAPSHOT = "models/snapshots/000000000064.pt"

LINEAGE_DATA = {
    "preprocess": {"size": 32},
    "snapshot": "s" * 64,
    "source": {"source": "gallery"},
    "licences": {"CC0-1.0": 3},
    "counts": {"train": 45, "holdout": 5},
}


def lineage_of(params):
    decided = {
        "model": params.model.model_dump(),
        "train": params.train.active() | {"init_from": ""},
        "cache_digest": "d" * 64,
        "code_digest": "c" * 64,
        "images": 192,
    }
    return {"decided": decided, **LINEAGE_DATA}


@pytest.fixture
def outs(stored, paths, make_params):
    """models/ and reports/ as train and evaluate leave them, without a row."""
    params = make_params()
    model, lineage = params.model.model_dump(), lineage_of(params)
    key = digest_of(lineage["decided"])
    generator = build_generator(params.model, 32)
    initialise(generator, params.model.generator, torch.Generator().manual_seed(3))
    for seen, file in ((64, "snapshots/000000000064.pt"), (192, "final.pt")):
        origin = Origin(model, 32, seen, key, "d" * 64, "hinge 32px w4 s0", lineage)
        save_checkpoint(paths.models / file, origin, generator.eval())
    shutil.copyfile(paths.models / "snapshots/000000000064.pt", paths.models / "best.pt")
    write_reports(paths, key)
    return key


def write_reports(paths, key):
    _, origin = load_generator(paths.models / "best.pt")
    subject = describe_checkpoint(origin)
    paths.reports.mkdir(exist_ok=True)
    losses = [f"{seen}\t{seen / 7:.6g}\t{-seen / 3:.6g}" for seen in range(16, 193, 16)]
    head = "images_seen\tloss/generator\tscore/real"
    (paths.reports / "losses.tsv").write_text("\n".join([head, *losses]) + "\n")
    for name in ("samples", "best", "closest", "interpolation"):
        Image.new("RGB", (64, 64), "teal").save(paths.reports / f"{name}.png")
    (paths.reports / "report.html").write_text("<html></html>")
    measured = {
        "value": 30.5,
        "deviation": 1.5,
        "protocol": "p" * 16,
        "metric": "frechet",
    }
    result = {
        "format": "avatar-gan evaluation 1",
        "subject": subject | {"kind": "checkpoint"},
        "protocol": {"fakes": 5000, "seeds": [2, 3]},
        "metrics": {"fd_lite0_5k": measured},
        "memorisation": {},
        "notes": [],
        "selection": {"key": "fd_lite0_2048", "best": 64, "curve": [[64, 950.0]]},
    }
    (paths.reports / "evaluation.json").write_text(json.dumps(result))
    (paths.reports / "metrics.json").write_text(
        json.dumps({"fd_lite0_5k": 30.5, "best_images_seen": 64, "run_key": key[:16]})
    )


def artefacts(paths, run_id, folder):
    return sorted(each.path for each in client_of(paths).list_artifacts(run_id, folder))


@pytest.mark.slow
def test_outs_without_a_row_get_one_that_says_what_training_and_evaluation_said(
    outs, paths, capsys
):
    runlog = paths.root / "logs" / "runs" / f"{outs}.json"
    runlog.parent.mkdir(parents=True)
    times = {"started": "2030-01-01 10:00:00", "finished": "2030-01-01 10:16:00"}
    runlog.write_text(json.dumps({"run_key": outs, **times}))
    assert "row made from files" in synced(paths, capsys)[0]
    (row,) = rows(paths)
    run_id, began = row.info.run_id, row.info.start_time
    assert (row.info.run_name, row.info.status) == ("hinge 32px w4 s0", "FINISHED")
    assert row.info.end_time - began == 16 * 60 * 1000
    assert row.data.tags["run_key"] == outs
    assert row.data.tags["recreated"] == "true"
    assert row.data.tags["snapshot_digest"] == "s" * 64
    assert "git_commit" not in row.data.tags  # the code here is not what trained
    assert row.data.params["train.images"] == "192"
    assert row.inputs.dataset_inputs[0].dataset.digest == "d" * 36
    assert history(paths, run_id, "loss/generator") == [
        (seen, float(f"{seen / 7:.6g}")) for seen in range(16, 193, 16)
    ]
    (middle,) = [
        point.timestamp - began
        for point in client_of(paths).get_metric_history(run_id, "score/real")
        if point.step == 96
    ]
    assert middle == 8 * 60 * 1000
    assert history(paths, run_id, "fd_lite0_5k") == [(64, 30.5)]
    assert history(paths, run_id, "deviation/fd_lite0_5k") == [(64, 1.5)]
    assert history(paths, run_id, "selection/fd_lite0_2048") == [(64, 950.0)]
    assert json.loads(row.data.tags["protocols"]) == {"fd_lite0_5k": "p" * 16}
    assert artefacts(paths, run_id, "checkpoints") == [
        "checkpoints/000000000064.pt",
        "checkpoints/state-000000000192.pt",
    ]
    assert artefacts(paths, run_id, "best") == ["best/000000000064.pt"]
    assert artefacts(paths, run_id, "evaluation") == [
        "evaluation/evaluation.json",
        "evaluation/report.html",
    ]
    keys = [path.removeprefix("images/").split("+")[0] for path in images(paths, run_id)]
    assert keys == ["best", "closest", "grid", "interpolation"]
    assert artefacts(paths, run_id, "lineage") == ["lineage/outs.json"]
    kept = client_of(paths).download_artifacts(run_id, "lineage/outs.json")
    hashes = json.loads(Path(kept).read_text())
    best = hashlib.sha256((paths.models / "best.pt").read_bytes()).hexdigest()
    assert (hashes["run_key"], hashes["outs"][SNAPSHOT]) == (outs, best)
    (model,) = client_of(paths).search_logged_models([row.info.experiment_id])
    assert (str(model.status), model.source_run_id) == ("READY", run_id)
    assert model.tags["checkpoint_sha256"] == best

    points = database_points(paths.root / "mlflow.db")
    assert synced(paths, capsys)[0].endswith("nothing missing")
    assert database_points(paths.root / "mlflow.db") == points
    assert len(images(paths, run_id)) == 4
    assert len(rows(paths)) == 1
    client_of(paths).delete_logged_model(model.model_id)
    assert synced(paths, capsys)[0].endswith("row completed: 1 files")


@pytest.mark.slow
def test_a_row_that_lacks_parts_gets_just_these(outs, paths, capsys):
    run = begin(paths, outs)
    for seen in range(16, 97, 16):  # as exact as the training knew them
        run.metrics({"loss/generator": seen / 7, "score/real": -seen / 3}, seen)
    run.metrics({"loss/generator": 5.0}, 192)
    run.close()
    run.tidy()
    said = synced(paths, capsys)[0]
    assert "row completed" in said
    assert "1 points that differ" in said
    (row,) = rows(paths)
    assert row.info.run_id == run.run_id
    assert "recreated" not in row.data.tags
    steps = [step for step, _ in history(paths, run.run_id, "loss/generator")]
    assert steps == list(range(16, 193, 16))
    assert dict(history(paths, run.run_id, "loss/generator"))[192] == 5.0
    assert dict(history(paths, run.run_id, "loss/generator"))[16] == 16 / 7
    assert "nothing missing" in synced(paths, capsys)[0]


@pytest.mark.slow
def test_kept_records_come_before_files_and_leave_no_double_points(
    outs, paths, monkeypatch, capsys
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", REFUSED)
    run = begin(paths, outs, spool_of(paths, outs[:16]))
    for seen in range(16, 193, 16):
        run.metrics({"loss/generator": seen / 7, "score/real": -seen / 3}, seen)
    run.close(timeout_s=0)
    until(lambda: not run._sender._thread.is_alive())
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    said = synced(paths, capsys)
    assert said[0].endswith("records sent")
    assert "row completed" in said[1]
    (row,) = rows(paths)
    assert len(history(paths, row.info.run_id, "loss/generator")) == 12


@pytest.mark.slow
def test_an_evaluation_of_the_training_before_is_left_out_and_named(outs, paths, capsys):
    evaluation = paths.reports / "evaluation.json"
    content = json.loads(evaluation.read_text())
    content["subject"]["run_key"] = "f" * 64
    evaluation.write_text(json.dumps(content))
    said = synced(paths, capsys)[0]
    assert said.endswith(f"the evaluation in reports/ is of run {'f' * 16}")
    (row,) = rows(paths)
    assert row.data.tags["run_key"] == outs
    assert sorted(row.data.metrics) == ["loss/generator", "score/real"]
    assert artefacts(paths, row.info.run_id, "evaluation") == []
    assert client_of(paths).search_logged_models([row.info.experiment_id]) == []


@pytest.mark.slow
def test_outs_of_two_trainings_are_refused_and_both_are_named(outs, paths, capsys):
    snapshot = paths.models / SNAPSHOT.removeprefix("models/")
    generator, origin = load_generator(snapshot)
    save_checkpoint(snapshot, replace(origin, run_key="f" * 64), generator)
    with pytest.raises(GanError, match="1 of 1 not whole"):
        sync.run(paths)
    (said,) = capsys.readouterr().out.splitlines()
    assert outs[:16] in said
    assert "f" * 16 in said
    assert rows(paths) == []


def test_the_sheet_of_real_pictures_is_made_of_the_cache_that_it_learned_from(
    paths, tmp_path, write_cache, noise_images
):
    write_cache(paths.cache, noise_images)
    digest = TensorCache.open(paths.cache).digest
    origin = Origin({}, 32, 192, "k" * 64, digest, "n", {})
    assert real_sheet(replace(origin, cache_digest="d" * 64), paths, tmp_path) is None
    with Image.open(real_sheet(origin, paths, tmp_path)) as sheet:
        corner = np.asarray(sheet)
    side = noise_images.shape[1]
    assert any(
        np.array_equal(corner[at : at + side, at : at + side], noise_images[0]) for at in range(5)
    )


# size


@contextmanager
def opened(folder):
    spool = Spool(folder, {"name": "n"})
    yield spool
    spool.release()


@pytest.mark.slow
def test_a_long_series_costs_little_to_open_to_count_and_to_go_on_with(tmp_path):
    with opened(tmp_path / "s") as spool:
        for step in range(20_000):
            spool.add("metrics", values={f"m{each}": step * each for each in range(10)}, step=step)
        spool.commit()
    began = time.process_time()
    with opened(tmp_path / "s") as spool:
        assert spool.unsent == 20_000
        assert spool.knows("m3", {"step": 19_999})
        to_open = time.process_time() - began
        for step in range(20_000):  # repeated after a kill: not one is taken again
            spool.add("metrics", values={f"m{each}": 0.0 for each in range(10)}, step=step)
        for _ in range(100):
            assert spool.unsent == 20_000
    assert to_open < 3
    assert time.process_time() - began < 12
