"""Sweeps of DVC's queue, several jobs at once: each setting is one complete run in one store."""

import json
import subprocess
import time

import pytest
from dvc_checkouts import copied, shared_project, trainings
from mlflow import MlflowClient

STEPS = [16, 32, 48, 64]
TIMEOUT_S = 900


@pytest.fixture
def clone(tmp_path_factory, tmp_path):
    """clone(name, **environment): a repository without a store, all built but the training."""
    built, made = shared_project(tmp_path_factory, tmp_path_factory.mktemp("sweeps")), []
    for name in ("mlflow.db", "mlflow.db.lock"):
        (built.root / name).unlink(missing_ok=True)

    def make(name, **environment):
        made.append(copied(built.root, tmp_path / name, **environment))
        return made[-1]

    yield make
    for checkout in made:
        if not exit_codes(checkout):
            checkout.dvc("queue", "stop", "--kill")


def queue(checkout, seeds):
    """Put one training a seed into the queue; returns the names of the experiments."""
    values = ",".join(map(str, seeds))
    out = checkout.dvc("exp", "run", "--queue", "-s", "-S", f"train.seed={values}", "train")
    return [line.split("'")[1] for line in out.splitlines() if line.startswith("Queued")]


def exit_codes(checkout):
    """Exit codes of the queue's tasks that have ended."""
    found = []
    for file in checkout.root.glob(".dvc/tmp/exps/run/*/*.json"):
        text = file.read_text()
        code = json.loads(text).get("returncode") if text else None
        found += [] if code is None else [code]
    return found


def work_off(*checkouts, tasks):
    """Start the queues at the same time, two jobs each, and wait for so many tasks of each."""
    starting = [
        checkout.start("dvc", "queue", "start", "-j", "2", output=subprocess.DEVNULL)
        for checkout in checkouts
    ]
    for process in starting:
        assert process.wait(timeout=120) == 0
    deadline = time.monotonic() + TIMEOUT_S
    while any(len(exit_codes(checkout)) < tasks for checkout in checkouts):
        assert time.monotonic() < deadline, [exit_codes(checkout) for checkout in checkouts]
        time.sleep(0.5)
    for checkout in checkouts:
        assert exit_codes(checkout) == [0] * tasks


def complaints(checkout):
    """Lines of the tracker that trainings in the queue printed."""
    logs = checkout.root.glob(".dvc/tmp/exps/run/*/*.out")
    return [line for log in logs for line in log.read_text().splitlines() if "tracking:" in line]


@pytest.mark.soak
def test_sweeps_of_two_clones_at_once_on_a_fresh_store_are_one_run_a_setting(clone, tmp_path):
    store = f"sqlite:///{tmp_path / 'store' / 'mlflow.db'}"
    clones = [clone(name, MLFLOW_TRACKING_URI=store) for name in ("one", "two")]
    seeds = [range(10 * k, 10 * k + 4) for k in (1, 2)]
    names = [name for each, some in zip(clones, seeds, strict=True) for name in queue(each, some)]
    work_off(*clones, tasks=4)
    assert [line for each in clones for line in complaints(each)] == []
    assert clones[0].git("status", "--porcelain") == ""
    client = MlflowClient(store)
    found = trainings(client)
    assert sorted(int(run.data.params["train.seed"]) for run in found) == [*seeds[0], *seeds[1]]
    assert {run.info.status for run in found} == {"FINISHED"}
    assert sorted(run.data.tags["dvc_exp_name"] for run in found) == sorted(names)
    assert len({run.data.tags["run_key"] for run in found}) == len(found)
    for run in found:
        losses = client.get_metric_history(run.info.run_id, "loss/generator")
        assert sorted(point.step for point in losses) == STEPS
        files = {each.path for each in client.list_artifacts(run.info.run_id)}
        assert {"checkpoints", "images", "lineage"} <= files
