"""Tracking in SQLite stores: content of a run; killed and resumed runs."""

import json

import pytest
from tracking_stores import (
    START,
    artifacts,
    attach,
    begin,
    client_of,
    history,
    images,
    python,
    read_runs,
    run_folder,
    until,
)

from pipeline.paths import Paths
from pipeline.tracking.mlflow.store import tracking_uri
from pipeline.tracking.run_folder.folder import make_run_folder
from pipeline.tracking.training_run import _choose_folder

# address of the store


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", "sqlite:///{root}/mlflow.db"),
        ("sqlite:///runs/a.db", "sqlite:///{root}/runs/a.db"),
        ("postgresql://u:p@host/db", "postgresql://u:p@host/db"),
    ],
)
def test_the_store_is_that_of_the_environment_and_files_are_in_the_repository(
    paths, tmp_path, monkeypatch, given, expected
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
    assert tracking_uri(paths) == expected.format(root=tmp_path)
    monkeypatch.setenv("DVC_ROOT", "/somewhere/main")  # this is a temporary copy of it
    assert tracking_uri(Paths(tmp_path)) == expected.format(root="/somewhere/main")


# content of a run


@pytest.mark.slow
def test_a_run_arrives_complete(stored, paths, picture):
    run = begin(paths)
    run.params({"train": {"seed": 1, "betas": [0.0, 0.9]}, "long": "x" * 7000})
    run.tags({"cache_digest": "abc"})
    for step in range(0, 5000, 2):
        run.metrics({"loss": step / 2, "nan": float("nan")}, step)
    run.image("grid/fixed", picture, 100)
    run.image("grid/fixed", picture, 200)
    run.artifact(picture, "reports")
    run.dataset("faces", "d" * 64, {"licences": {"CC0": 3}}, {"train": 3})
    run.system_metrics(100)
    run.commit()
    run.close()
    assert run.unsent == 0
    (there,) = read_runs(paths)
    assert there.data.metrics["system/system_memory_usage_megabytes"] > 0
    assert there.info.run_id == run.run_id
    assert there.info.status == "FINISHED"
    assert there.info.artifact_uri.startswith((paths.root / "mlartifacts").as_uri())
    assert there.data.params["train.seed"] == "1"
    assert there.data.params["train.betas"] == "[0.0, 0.9]"
    assert len(there.data.params["long"]) == 6000
    tags = {"run_key": "k1", "cache_digest": "abc", "stage": "train"}
    assert tags.items() <= there.data.tags.items()
    (dataset,) = there.inputs.dataset_inputs
    assert (dataset.dataset.digest, dataset.tags[0].value) == ("d" * 36, "training")
    assert json.loads(dataset.dataset.source) == {"licences": {"CC0": 3}}
    assert json.loads(dataset.dataset.profile) == {"train": 3}
    assert history(paths, run.run_id, "loss") == [(s, s / 2) for s in range(0, 5000, 2)]
    assert [path.split("+")[2] for path in images(paths, run.run_id)] == ["100", "200"]
    assert artifacts(paths, run.run_id, "reports") == ["reports/grid.png"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "status"),
    [("1 / 0", "FAILED"), ("os.kill(os.getpid(), 15)", "KILLED"), ("pass", "FINISHED")],
)
def test_a_stage_keeps_its_metrics_and_is_marked_as_it_ended(stored, paths, synced, end, status):
    code = """
    import os
    from pipeline.tracking.open_run import stage_run
    with stage_run(paths, "preprocess", params={"preprocess": {"size": 64}}) as run:
        run.metrics({"kept": 5}, 0)
        {end}
    """.replace("{end}", end)
    process = python(paths, code)
    process.communicate(timeout=120)
    assert process.returncode == {"FAILED": 1, "KILLED": 143, "FINISHED": 0}[status]
    if status == "KILLED":
        synced()  # a stage that is asked to stop waits for few seconds
    (run,) = read_runs(paths, "avatars-stages")
    assert run.info.status == status
    assert run.data.params == {"preprocess.size": "64"}
    assert run.data.metrics == {"kept": 5}
    assert list((paths.root / "logs" / "runs").iterdir()) == []


# results of an evaluation


@pytest.mark.slow
def test_results_are_added_to_the_newest_run_of_the_key_whose_end_stays(stored, paths, picture):
    for value in (40.0, 39.0):  # the first one creates a run
        results = attach(paths, "k1", "pulled")
        results.metrics({"fid_5k": value}, int(value))
        results.flush()
    (run,) = read_runs(paths)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "pulled")
    assert run.data.params == {"model.width": "3"}
    assert history(paths, run.info.run_id, "fid_5k") == [(39, 39.0), (40, 40.0)]
    assert list((paths.root / "logs" / "runs").iterdir()) == []

    newest = begin(paths)
    newest.close()
    before = client_of(paths).get_run(newest.run_id).info
    results = attach(paths, "k1", "pulled")
    results.image("best", picture, 640)
    results.artifact(picture, "models")
    results.flush()
    after = client_of(paths).get_run(newest.run_id).info
    assert results.run_id == newest.run_id
    assert (after.status, after.end_time) == (before.status, before.end_time)
    assert artifacts(paths, newest.run_id, "models") == ["models/grid.png"]
    assert len(read_runs(paths)) == 2


# killed and resumed


@pytest.mark.slow
def test_a_training_that_was_killed_before_its_first_record_begins_anew(stored, paths, tmp_path):
    (tmp_path / "params.yaml").write_text("train: {}\n")
    folder = run_folder(paths)
    header = {"experiment": "avatars", "name": "n", "start_time": 1, "tags": {}, "progress": "a"}
    make_run_folder(folder, header)
    for _ in range(2):
        begin(paths).close()
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    kinds = [each["kind"] for each in records if each["kind"] not in ("tags", "commit")]
    assert kinds == ["artifact", "end", "resume", "end"]
    assert records[0]["key"] == "source/params.yaml"


def test_a_finished_training_that_is_repeated_is_another_run(paths):
    def folder_with(last, start):
        path = _choose_folder(paths, "k" * 64, 0)
        header = {"name": "n", "start_time": start}
        make_run_folder(path, header).append([{"kind": "end", "time": 1, "status": last}])
        return path

    killed = folder_with("KILLED", 1)
    assert _choose_folder(paths, "k" * 64, 0) == killed
    finished = folder_with("FINISHED", 2)
    assert finished == killed
    again = _choose_folder(paths, "k" * 64, 0)
    assert again != finished
    assert _choose_folder(paths, "k" * 64, 640) == finished  # killed before its outs stood
    assert _choose_folder(paths, "j" * 64, 640) != finished


@pytest.mark.slow
def test_a_killed_run_resumes_as_one_run_without_false_tail_or_double_points(
    stored, paths, picture
):
    code = """
    import os, time
    for step in range(10): run.metrics({'loss': step}, step)
    run.image('grid', paths.root / 'grid.png', 5)
    run.commit()
    for step in range(10, 15): run.metrics({'loss': -1}, step)
    run.prepare(14)
    while run.run_id is None or run.unsent: time.sleep(0.1)
    os._exit(9)
    """
    killed = python(paths, START, code)
    assert killed.wait(60) == 9
    with (run_folder(paths) / "metrics.jsonl").open("a") as stream:
        stream.write('{"kind": "metr')  # torn by the kill
    run = begin(paths, resumed_from=5)
    run.params({"train.images": 10})
    for step in range(5, 20):  # an older checkpoint than the last commit
        run.metrics({"loss": step}, step)
    run.image("grid", picture, 5)
    run.close()
    (there,) = read_runs(paths)
    assert there.info.status == "FINISHED"
    assert history(paths, run.run_id, "loss") == [(step, step) for step in range(20)]
    assert len(images(paths, run.run_id)) == 1


@pytest.mark.slow
def test_a_failed_run_drops_its_tail_and_runs_again_when_resumed(stored, paths):
    run = begin(paths)
    run.params({"train": {"images": 10}})
    run.metrics({"loss": 1.0}, 1)
    run.commit()
    run.metrics({"loss": 9.0}, 2)
    run.prepare(2)  # and the checkpoint could not be written
    run.close("FAILED")
    assert [each.info.status for each in read_runs(paths)] == ["FAILED"]
    longer = begin(paths)
    longer.params({"train": {"images": 20}})
    longer.commit()
    until(lambda: not longer.unsent)
    assert [each.info.status for each in read_runs(paths)] == ["RUNNING"]
    longer.metrics({"loss": 2.0}, 2)
    longer.close()
    (there,) = read_runs(paths)
    assert there.data.params == {"train.images": "10"}
    assert there.data.tags["changed.train.images"] == "20"
    assert history(paths, there.info.run_id, "loss") == [(1, 1.0), (2, 2.0)]


@pytest.mark.slow
def test_two_processes_may_create_the_store_at_once(paths):
    code = """
    import sys
    run = start_run(paths, name='n', run_key='k', folder=paths.root / NAME)
    run.metrics({'loss': 1.0}, 1)
    run.close()
    sys.exit(run.unsent)
    """
    both = [python(paths, code.replace("NAME", repr(name))) for name in "ab"]
    assert [(each.wait(100), each.stderr.read()) for each in both] == [(0, ""), (0, "")]
    assert [run.data.metrics for run in read_runs(paths)] == [{"loss": 1.0}, {"loss": 1.0}]
