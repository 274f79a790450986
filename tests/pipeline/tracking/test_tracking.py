"""Tracking in SQLite stores: what a row holds, and runs that are killed and go on."""

import json
import subprocess
import textwrap
import time

import pytest
from PIL import Image
from tracking_stores import (
    REFUSED,
    START,
    apart,
    begin,
    client_of,
    copy_store,
    empty_database,
    history,
    images,
    python,
    rows,
    until,
)

from pipeline.tracking import rows as tracking
from pipeline.tracking.spool.spool import Spool


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    return empty_database(tmp_path_factory)


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


# where the store is


def test_the_default_store_is_a_file_of_the_repository_also_in_a_temporary_copy(
    paths, tmp_path, monkeypatch
):
    assert tracking.tracking_uri(paths) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("DVC_ROOT", "/somewhere/main")
    assert tracking.tracking_uri(paths) == "sqlite:////somewhere/main/mlflow.db"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("http://host:5000", "http://host:5000"),
        ("sqlite:///runs/a.db", "sqlite:///{root}/runs/a.db"),
        ("sqlite:////abs/a.db", "sqlite:////abs/a.db"),
        ("postgresql://u:p@host/db", "postgresql://u:p@host/db"),
    ],
)
def test_the_environment_wins_and_relative_files_lie_in_the_repository(
    paths, tmp_path, monkeypatch, given, expected
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
    assert tracking.tracking_uri(paths) == expected.format(root=tmp_path)


# one row with everything


@pytest.mark.slow
def test_a_run_arrives_whole(stored, paths, picture):
    run = begin(paths)
    run.params({"train": {"seed": 1, "betas": [0.0, 0.9]}, "long": "x" * 7000})
    run.tags({"cache_digest": "abc"})
    for step in range(0, 5000, 2):
        run.metrics({"loss": step / 2, "nan": float("nan")}, step)
    run.image("grid/fixed", picture, 100)
    run.image("grid/fixed", picture, 200)
    run.artifact(picture, "reports")
    run.dataset("faces", "d" * 64, {"licences": {"CC0": 3}}, {"train": 3}, "training")
    run.system(100)
    run.commit()
    run.close()
    assert run.unsent == 0
    (row,) = rows(paths)
    assert row.data.metrics["system/system_memory_usage_megabytes"] > 0
    assert row.info.run_id == run.run_id
    assert row.info.status == "FINISHED"
    assert row.info.artifact_uri.startswith((paths.root / "mlartifacts").as_uri())
    assert row.data.params["train.seed"] == "1"
    assert row.data.params["train.betas"] == "[0.0, 0.9]"
    assert len(row.data.params["long"]) == 6000
    assert row.data.tags["run_key"] == "k1"
    assert row.data.tags["cache_digest"] == "abc"
    assert row.data.tags["stage"] == "train"
    (seen,) = row.inputs.dataset_inputs
    assert (seen.dataset.digest, seen.tags[0].value) == ("d" * 36, "training")
    assert json.loads(seen.dataset.source) == {"licences": {"CC0": 3}}
    assert json.loads(seen.dataset.profile) == {"train": 3}
    assert history(paths, run.run_id, "loss") == [(s, s / 2) for s in range(0, 5000, 2)]
    assert [path.split("+")[2] for path in images(paths, run.run_id)] == ["100", "200"]
    assert [f.path for f in client_of(paths).list_artifacts(run.run_id, "reports")] == [
        "reports/grid.png"
    ]


@pytest.mark.slow
def test_tags_name_commit_dirt_data_and_experiment(stored, paths, tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "lofty-cats")
    (tmp_path / "data.dvc").write_text("outs:\n- md5: 123.dir\n  path: data\n")
    git = ["git", "-c", "user.name=n", "-c", "user.email=e", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "data.dvc"], check=True)
    subprocess.run([*git, "commit", "-qm", "c"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    (tmp_path / "dvc.lock").write_text("a stage wrote this\n")
    with tracking.stage_run(paths, "preprocess"):
        pass
    (tmp_path / "new.py").write_text("")
    with tracking.stage_run(paths, "preprocess"):
        pass
    dirty, clean = (row.data.tags for row in rows(paths, "avatars-stages"))
    assert clean["git_commit"] == clean["mlflow.source.git.commit"] == head.stdout.strip()
    assert clean["data_md5"] == "123.dir"
    assert clean["dvc_exp_name"] == "lofty-cats"
    assert "git_dirty" in clean
    assert dirty["git_dirty"] == "true"


@pytest.mark.slow
def test_a_failed_stage_keeps_what_it_counted_and_is_marked_failed(stored, paths):
    def stage() -> None:
        with tracking.stage_run(paths, "preprocess", params={"preprocess": {"size": 64}}) as run:
            run.metrics({"kept": 5}, 0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stage()
    (row,) = rows(paths, "avatars-stages")
    assert row.info.status == "FAILED"
    assert row.data.params == {"preprocess.size": "64"}
    assert row.data.metrics == {"kept": 5}
    assert list((paths.root / "logs" / "spool").iterdir()) == []


@pytest.mark.slow
def test_results_go_to_the_newest_row_of_the_key_and_leave_its_end_alone(stored, paths, picture):
    for _ in range(2):
        run = begin(paths)
        run.close()
        (paths.root / "spool").rename(paths.root / f"spool-{run.run_id}")
        time.sleep(0.01)
    before = client_of(paths).get_run(run.run_id).info
    tracking.log_result(
        paths,
        experiment="avatars",
        run_key="k1",
        name="unused",
        metrics={"fid_5k": 33.5},
        step=640,
        images={"best": picture},
        artifacts={picture: "models"},
    )
    after = client_of(paths).get_run(run.run_id)
    assert history(paths, run.run_id, "fid_5k") == [(640, 33.5)]
    assert (after.info.status, after.info.end_time) == (before.status, before.end_time)
    assert tracking.find_run(paths, "k1", "avatars") == run.run_id
    assert len(client_of(paths).list_artifacts(run.run_id, "models")) == 1
    assert len(rows(paths)) == 2


@pytest.mark.slow
def test_results_without_a_row_make_one(stored, paths):
    assert tracking.find_run(paths, "k9", "avatars") is None
    for value in (40.0, 39.0):
        tracking.log_result(
            paths,
            experiment="avatars",
            run_key="k9",
            name="pulled",
            metrics={"fid_5k": value},
            step=int(value),
            params={"train": {"seed": 3}},
        )
    (row,) = rows(paths)
    assert row.info.status == "FINISHED"
    assert row.info.run_name == "pulled"
    assert row.data.params == {"train.seed": "3"}
    assert history(paths, row.info.run_id, "fid_5k") == [(39, 39.0), (40, 40.0)]


# killed and continued


def test_a_training_that_was_killed_before_its_first_record_begins_once_more(
    paths, monkeypatch, tmp_path
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", REFUSED)
    (tmp_path / "params.yaml").write_text("train: {}\n")
    Spool(paths.root / "spool" / "k1", {"name": "n"}).release()  # made, and nothing in it
    for _ in range(2):
        run = begin(paths)
        run.close(timeout_s=0)
        run._sender._thread.join(60)
    lines = (paths.root / "spool" / "k1" / "records.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    kinds = [each["kind"] for each in records if each["kind"] != "tags"]
    assert kinds == ["artifact", "end", "resume", "end"]
    assert records[0]["file"].endswith("params.yaml")


@pytest.mark.slow
def test_a_killed_run_goes_on_as_one_row_without_false_tail_or_double_points(
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
    with (paths.root / "spool" / "k1" / "records.jsonl").open("a") as stream:
        stream.write('{"kind": "metr')  # torn by the kill
    run = begin(paths)
    run.params({"train.images": 10})
    for step in range(5, 20):  # an older checkpoint than the last commit
        run.metrics({"loss": step}, step)
    run.image("grid", picture, 5)
    run.close()
    (row,) = rows(paths)
    assert row.info.status == "FINISHED"
    assert history(paths, row.info.run_id, "loss") == [(step, step) for step in range(20)]
    assert len(images(paths, row.info.run_id)) == 1


@pytest.mark.slow
def test_a_failed_run_drops_its_tail_and_runs_again_when_continued(stored, paths):
    run = begin(paths)
    run.params({"train": {"images": 10}})
    run.metrics({"loss": 1.0}, 1)
    run.commit()
    run.metrics({"loss": 9.0}, 2)
    run.close("FAILED")
    assert [row.info.status for row in rows(paths)] == ["FAILED"]
    longer = begin(paths)
    longer.params({"train": {"images": 20}})
    longer.commit()
    until(lambda: not longer.unsent)
    assert [row.info.status for row in rows(paths)] == ["RUNNING"]
    longer.metrics({"loss": 2.0}, 2)
    longer.close()
    (row,) = rows(paths)
    assert row.data.params == {"train.images": "10"}
    assert row.data.tags["changed.train.images"] == "20"
    assert history(paths, row.info.run_id, "loss") == [(1, 1.0), (2, 2.0)]


@pytest.mark.slow
def test_another_store_gets_the_whole_series_and_sending_twice_is_harmless(
    stored, paths, monkeypatch
):
    run = begin(paths)
    run.metrics({"loss": 1.0}, 1)
    run.close()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///second.db")
    state_file = paths.root / "spool" / "k1" / "run.json"
    for _ in range(2):
        begin(paths).close()
        (row,) = rows(paths)
        assert row.info.run_id != run.run_id
        assert history(paths, row.info.run_id, "loss") == [(1, 1.0)]
        state = json.loads(state_file.read_text())
        state_file.write_text(json.dumps({**state, "sent": 0}))  # its confirmation got lost


@pytest.mark.slow
def test_two_processes_may_create_the_store_at_once(paths):
    code = """
    import sys
    run = tracking.start(paths, experiment='avatars', name='n', run_key='k', spool=paths.root / {})
    run.metrics({{'loss': 1.0}}, 1)
    run.close()
    sys.exit(run.unsent)
    """
    both = [python(paths, textwrap.dedent(code).format(repr(name))) for name in "ab"]
    assert [(each.wait(100), each.stderr.read()) for each in both] == [(0, ""), (0, "")]
    assert [row.data.metrics for row in rows(paths)] == [{"loss": 1.0}, {"loss": 1.0}]
