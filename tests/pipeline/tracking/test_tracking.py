"""Tracking in SQLite stores: content of a run; killed and resumed runs."""

import json
import subprocess
import textwrap

import pytest
from tracking_stores import (
    START,
    artifacts,
    begin,
    client_of,
    history,
    images,
    python,
    read_runs,
    run_folder,
    until,
)

from pipeline.tracking.mlflow.store import tracking_uri
from pipeline.tracking.open_run import attach_to_run, stage_run
from pipeline.tracking.run_folder.folder import make_run_folder

# address of the store


def test_the_default_store_is_a_file_of_the_repository_also_in_a_temporary_copy(
    paths, tmp_path, monkeypatch
):
    assert tracking_uri(paths) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("DVC_ROOT", "/somewhere/main")
    assert tracking_uri(paths) == "sqlite:////somewhere/main/mlflow.db"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("http://host:5000", "http://host:5000"),
        ("sqlite:///runs/a.db", "sqlite:///{root}/runs/a.db"),
        ("sqlite:////abs/a.db", "sqlite:////abs/a.db"),
        ("postgresql://u:p@host/db", "postgresql://u:p@host/db"),
    ],
)
def test_the_environment_wins_and_relative_files_are_in_the_repository(
    paths, tmp_path, monkeypatch, given, expected
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
    assert tracking_uri(paths) == expected.format(root=tmp_path)


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
    run.dataset("faces", "d" * 64, {"licences": {"CC0": 3}}, {"train": 3}, "training")
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
    assert there.data.tags["run_key"] == "k1"
    assert there.data.tags["cache_digest"] == "abc"
    assert there.data.tags["stage"] == "train"
    (dataset,) = there.inputs.dataset_inputs
    assert (dataset.dataset.digest, dataset.tags[0].value) == ("d" * 36, "training")
    assert json.loads(dataset.dataset.source) == {"licences": {"CC0": 3}}
    assert json.loads(dataset.dataset.profile) == {"train": 3}
    assert history(paths, run.run_id, "loss") == [(s, s / 2) for s in range(0, 5000, 2)]
    assert [path.split("+")[2] for path in images(paths, run.run_id)] == ["100", "200"]
    assert artifacts(paths, run.run_id, "reports") == ["reports/grid.png"]


@pytest.mark.slow
def test_tags_name_commit_changes_data_and_experiment(stored, paths, tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "lofty-cats")
    (tmp_path / "data.dvc").write_text("outs:\n- md5: 123.dir\n  path: data\n")
    git = ["git", "-c", "user.name=n", "-c", "user.email=e", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "data.dvc"], check=True)
    subprocess.run([*git, "commit", "-qm", "c"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    (tmp_path / "dvc.lock").write_text("a stage wrote this\n")
    with stage_run(paths, "preprocess"):
        pass
    (tmp_path / "new.py").write_text("")
    with stage_run(paths, "preprocess"):
        pass
    dirty, clean = (run.data.tags for run in read_runs(paths, "avatars-stages"))
    assert clean["git_commit"] == clean["mlflow.source.git.commit"] == head.stdout.strip()
    assert clean["data_md5"] == "123.dir"
    assert clean["dvc_exp_name"] == "lofty-cats"
    assert "git_dirty" in clean
    assert dirty["git_dirty"] == "true"


@pytest.mark.slow
def test_a_failed_stage_keeps_its_metrics_and_is_marked_failed(stored, paths):
    def stage() -> None:
        with stage_run(paths, "preprocess", params={"preprocess": {"size": 64}}) as run:
            run.metrics({"kept": 5}, 0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stage()
    (run,) = read_runs(paths, "avatars-stages")
    assert run.info.status == "FAILED"
    assert run.data.params == {"preprocess.size": "64"}
    assert run.data.metrics == {"kept": 5}
    assert list((paths.root / "logs" / "runs").iterdir()) == []


# results of an evaluation


@pytest.mark.slow
def test_results_are_added_to_the_newest_run_of_the_key_whose_end_stays(stored, paths, picture):
    for name in ("first", "second"):
        run = begin(paths, name)
        run.tags({"run_key": "k1"})
        run.close()
    before = client_of(paths).get_run(run.run_id).info
    results = attach_to_run(paths, experiment="avatars", run_key="k1", name="unused")
    results.metrics({"fid_5k": 33.5}, 640)
    results.image("best", picture, 640)
    results.artifact(picture, "models")
    results.flush()
    after = client_of(paths).get_run(run.run_id)
    assert results.run_id == run.run_id
    assert history(paths, run.run_id, "fid_5k") == [(640, 33.5)]
    assert (after.info.status, after.info.end_time) == (before.status, before.end_time)
    assert artifacts(paths, run.run_id, "models") == ["models/grid.png"]
    assert len(read_runs(paths)) == 2


@pytest.mark.slow
def test_results_without_a_run_create_one(stored, paths):
    for value in (40.0, 39.0):
        results = attach_to_run(
            paths,
            experiment="avatars",
            run_key="k9",
            name="pulled",
            params={"train": {"seed": 3}},
        )
        results.metrics({"fid_5k": value}, int(value))
        results.flush()
        results.remove_if_sent()
    (run,) = read_runs(paths)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "pulled"
    assert run.data.params == {"train.seed": "3"}
    assert history(paths, run.info.run_id, "fid_5k") == [(39, 39.0), (40, 40.0)]
    assert list((paths.root / "logs" / "runs").iterdir()) == []


# killed and resumed


@pytest.mark.slow
def test_a_training_that_was_killed_before_its_first_record_begins_anew(stored, paths, tmp_path):
    (tmp_path / "params.yaml").write_text("train: {}\n")
    folder = run_folder(paths)
    make_run_folder(folder, {"experiment": "avatars", "name": "n", "start_time": 1, "tags": {}})
    for _ in range(2):
        begin(paths).close()
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    kinds = [each["kind"] for each in records if each["kind"] not in ("tags", "commit")]
    assert kinds == ["artifact", "end", "resume", "end"]
    assert records[0]["key"] == "source/params.yaml"


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
    while run.run_id is None or run.unsent: time.sleep(0.1)
    os._exit(9)
    """
    killed = python(paths, START + textwrap.dedent(code))
    assert killed.wait(60) == 9
    with (run_folder(paths) / "metrics.jsonl").open("a") as stream:
        stream.write('{"kind": "metr')  # torn by the kill
    run = begin(paths)
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
def test_another_store_gets_the_whole_series_and_sending_twice_is_harmless(
    stored, paths, monkeypatch, empty_store
):
    run = begin(paths)
    run.metrics({"loss": 1.0}, 1)
    run.close()
    (paths.root / "second.db").write_bytes(empty_store.read_bytes())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///second.db")
    state_file = run_folder(paths) / "run.json"
    for _ in range(2):
        begin(paths).close()
        (there,) = read_runs(paths)
        assert there.info.run_id != run.run_id
        assert history(paths, there.info.run_id, "loss") == [(1, 1.0)]
        state = json.loads(state_file.read_text())
        state_file.write_text(json.dumps({**state, "sent": 0}))  # its confirmation got lost


@pytest.mark.slow
def test_two_processes_may_create_the_store_at_once(paths):
    code = """
    import sys
    run = start_run(paths, experiment='avatars', name='n', run_key='k', folder=paths.root / {})
    run.metrics({{'loss': 1.0}}, 1)
    run.close()
    sys.exit(run.unsent)
    """
    both = [python(paths, textwrap.dedent(code).format(repr(name))) for name in "ab"]
    assert [(each.wait(100), each.stderr.read()) for each in both] == [(0, ""), (0, "")]
    assert [run.data.metrics for run in read_runs(paths)] == [{"loss": 1.0}, {"loss": 1.0}]
