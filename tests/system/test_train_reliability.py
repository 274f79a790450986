"""What a training survives: signals, kills, full disks, numbers that are not finite."""

import copy
import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient
from tiny_trainings import fresh
from train_checkouts import new_checkout, outs, seen_by, states, wait_for

from gan.checkpoints import load_checkpoint
from gan.errors import GanError
from gan.training import steps
from pipeline.tracking import stage_runs

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_tracker")]

RATES = ("throughput/", "system/")
"""Series that no two runs share."""


@pytest.fixture
def checkout(tmp_path, train_cache):
    """checkout("name"): a folder in which a training can run."""
    return lambda name: new_checkout(tmp_path / name, train_cache)


def series(paths, store):
    """Every point of the one row of training: {series: [(step, value)]}, rates aside."""
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("avatars")
    (row,) = client.search_runs([experiment.experiment_id])
    assert row.info.status == "FINISHED"
    found = {}
    for key in row.data.metrics:
        if not key.startswith(RATES):
            points = client.get_metric_history(row.info.run_id, key)
            found[key] = [(point.step, point.value) for point in points]
    # MLflow puts key, step and then the time into the names
    images = client.list_artifacts(row.info.run_id, "images")
    found["images"] = [file.path.split("+")[:3] for file in images]
    return found


@pytest.fixture
def train_killed(gan, checkout, write_params):
    """train_killed(changes, 3, 1): outs and series of a training killed as often."""

    def train(changes, kills, pause):
        paths = checkout(f"killed{kills}")
        store = f"sqlite:///{paths.root}/mlflow.db"
        write_params(paths.root / "params.yaml", changes)
        moments = random.Random(kills)
        for _ in range(kills):
            process = gan("train", wait=False, cwd=paths.root, store=store)
            wait_for(lambda: list(paths.progress.glob("*/losses.tsv")), process)
            time.sleep(moments.uniform(0, pause))
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL, "the training was over before its kill"
        done = gan("train", cwd=paths.root, store=store)
        assert done.returncode == 0, done.stderr
        return outs(paths), series(paths, store)

    return train


LONG = {"train.log_every": 160, "train.checkpoint_every": 320}
LONG |= {"train.grid_every": 4000, "train.snapshot_every": 8000, "train.flip": True}
LONG |= {"train.augment.colour": True, "train.augment.ada_target": 0.5}
LONG |= {"train.recipes.hinge.penalties": {"gradient": 0.0, "r1": 1.0, "r2": 0.0, "every": 4}}


@pytest.mark.parametrize(
    ("length", "kills", "pause"),
    [(4800, 3, 1), pytest.param(32000, 25, 3, marks=pytest.mark.soak)],
)
def test_kills_change_neither_outs_nor_what_the_tracker_shows(train_killed, length, kills, pause):
    changes = LONG | {"train.images": length}
    whole = train_killed(changes, 0, pause)
    assert train_killed(changes, kills, pause) == whole
    assert len(whole[1]["loss/generator"]) == length // 160
    assert len(whole[1]["images"]) >= 3


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.soak)],
)
def test_a_signal_ends_with_a_checkpoint_and_the_next_start_goes_on(
    gan, checkout, write_params, number, code
):
    paths = checkout("stopped")
    endless = {"train.images": 10_000_000, "train.checkpoint_every": 1_000_000}
    write_params(paths.root / "params.yaml", endless)
    process = gan("train", wait=False, cwd=paths.root)
    wait_for(lambda: list(paths.progress.glob("*/grids/*0.png")), process)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == code, told
    assert "Traceback" not in told
    (state,) = states(paths)
    assert seen_by(state) > 0
    assert not paths.models.exists()
    write_params(paths.root / "params.yaml", endless | {"train.images": seen_by(state) + 320})
    done = gan("train", cwd=paths.root)
    assert done.returncode == 0, done.stderr
    assert f"resuming at {seen_by(state):,} images seen" in done.stderr


def meddle(patch, name, act):
    """Let `act(state, measured)` happen at the end of this function's steps."""
    real = getattr(steps, name)

    def meddled(state, *arguments):
        measured = real(state, *arguments)
        act(state, measured)
        return measured

    patch.setattr(steps, name, meddled)


def poison(patch, at_images, times):
    """Let the discriminator's loss be NaN when so many images have been seen, so many times."""
    left = [times]

    def spoil(state, measured):
        if state.step * 8 == at_images and left[0]:
            left[0] -= 1
            with torch.no_grad():
                next(state.discriminator.parameters()).fill_(float("nan"))
            measured["loss/discriminator"] = measured["loss/discriminator"] * float("nan")

    meddle(patch, "discriminator_step", spoil)


def kill_when(patch, due):
    def die(state, _measured):
        if due(state):
            raise KeyboardInterrupt

    meddle(patch, "generator_step", die)


def check_slowed(paths, told, at):
    """The training of these outs diverged once when it had seen `at` images."""
    last_good = at // 32 * 32
    assert f"not finite at {at:,} images seen" in told
    assert f"checkpoint at {last_good:,} images" in told
    state = load_checkpoint(paths.models / "final.pt")["state"]
    assert (state["retries"], state["rate_scale"]) == (1, 0.5)
    assert all(value.isfinite().all() for value in state["generator"].values())
    header, *rows = (paths.reports / "losses.tsv").read_text().splitlines()
    column = header.split("\t").index("learning_rate/generator")
    rates = {int(row.split("\t")[0]): float(row.split("\t")[column]) for row in rows}
    assert rates == {seen: 2e-4 if seen > last_good else 4e-4 for seen in range(16, 193, 16)}


@pytest.mark.parametrize("at", [0, 72])
def test_a_training_that_diverges_once_goes_on_more_slowly_also_after_a_kill(
    checkout, make_params, monkeypatch, capfd, at
):
    whole, killed = checkout("whole"), checkout("killed")
    with monkeypatch.context() as patch:
        poison(patch, at, times=1)
        stage_runs.train(make_params(), whole)
    check_slowed(whole, capfd.readouterr().err, at)
    with monkeypatch.context() as patch:
        poison(patch, at, times=1)
        # in the first step of the second try
        kill_when(patch, lambda state: state.retries and state.step == at // 32 * 4)
        with pytest.raises(KeyboardInterrupt):
            stage_runs.train(make_params(), killed)
    stage_runs.train(make_params(), killed)
    assert outs(killed) == outs(whole)


def test_a_training_that_diverges_twice_stops_with_a_diagnosis(
    checkout, make_params, monkeypatch, capfd
):
    paths = checkout("diverged")
    poison(monkeypatch, 72, times=2)
    with pytest.raises(GanError) as caught:
        stage_runs.train(make_params(), paths)
    for words in ("diverged twice", "loss/discriminator", "72 images", "at 64 images"):
        assert words in str(caught.value)
    assert seen_by(states(paths)[-1]) == 64
    assert not paths.models.exists()


def full_disk(monkeypatch, name, after):
    """Let the disk be full when so many files with `name` in their path have been written."""
    left, real = [after], os.fsync

    def fsync(descriptor):
        if name in os.readlink(f"/proc/self/fd/{descriptor}"):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr("gan.atomic.os.fsync", fsync)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
@pytest.mark.parametrize(
    ("name", "after"),
    [
        ("/.state-", 3),
        ("/snapshots/.", 1),
        ("/.losses.tsv", 2),
        ("/.snapshots.partial/", 1),
        ("/models/.final.pt", 0),
    ],
)
def test_a_disk_that_is_full_is_one_line_and_costs_nothing(
    checkout, make_params, monkeypatch, undisturbed, name, after
):
    full = checkout("full")
    with monkeypatch.context() as patch:
        full_disk(patch, name, after)
        with pytest.raises(GanError, match="No space left on device"):
            stage_runs.train(make_params(), full)
    for state in states(full):
        load_checkpoint(state)
    assert not list(full.root.rglob("*.partial"))
    stage_runs.train(make_params(), full)
    assert outs(full) == outs(undisturbed)


def test_a_training_that_ends_early_says_so_and_publishes(checkout, make_params, capfd):
    paths = checkout("early")
    changes = {"train.early_stop.patience": 1, "train.early_stop.share": 1.0}
    changes |= {"train.grid_every": 16, "train.images": 10_000}
    stage_runs.train(make_params(changes), paths)
    last = max((paths.models / "snapshots").iterdir())
    assert 0 < int(last.stem) < 10_000
    assert "early stop" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["final.pt", "snapshots/000000000064.pt"])
def test_a_training_begins_with_the_weights_of_a_checkpoint(
    checkout, make_params, undisturbed, monkeypatch, name
):
    """With both networks of a whole one, with the averaged generator of a snapshot."""
    begun, real = [], steps.train_step

    def noting(state, *arguments):
        begun.append(
            copy.deepcopy((state.generator.state_dict(), state.discriminator.state_dict()))
        )
        return real(state, *arguments)

    monkeypatch.setattr("gan.training.loop.train_step", noting)
    params = make_params({"train.init_from": str(undisturbed.models / name), "train.images": 16})
    stage_runs.train(params, checkout("next"))
    content = load_checkpoint(undisturbed.models / name)
    saved = content["state"] or {"generator": content["averaged"]}
    for name, weights in zip(("generator", "discriminator"), begun[0], strict=True):
        if name in saved:
            torch.testing.assert_close(weights, saved[name], rtol=0, atol=0)


def test_a_checkpoint_of_another_network_is_refused_naming_what_differs(
    checkout, make_params, undisturbed
):
    paths = checkout("next")
    for change, words in (
        ({"model.generator.width": 8}, "model.generator.width: 4 -> 8"),
        ({"model.latent_size": 9}, "model.latent_size: 8 -> 9"),
        ({"train.recipes.hinge.discriminator_norm": "instance"}, "other norms"),
    ):
        params = make_params(change | {"train.init_from": str(undisturbed.models / "final.pt")})
        with pytest.raises(GanError) as caught:
            stage_runs.train(params, paths)
        assert "init_from" in str(caught.value)
        assert words in str(caught.value)
    assert not paths.progress.exists()


def count_parameters(network):
    return sum(each.numel() for each in network.parameters())


def test_dry_run_builds_everything_tries_it_and_writes_nothing(
    gan, checkout, write_params, make_params
):
    paths = checkout("dry")
    write_params(paths.root / "params.yaml")
    before = sorted(paths.root.rglob("*"))
    done = gan("train", "--dry-run", "--minutes", "3", cwd=paths.root)
    assert done.returncode == 0, done.stderr
    plain, recipe = done.stdout.split("recipe:\n")
    told = dict(line.split(": ", 1) for line in plain.strip().splitlines())
    assert "learning_rate: 0.0004" in recipe
    assert told["train images"] == "40"
    assert told["length"] == "192 images seen, 24 steps"
    sizes = [count_parameters(learner.network) for learner in fresh(make_params()).learners]
    assert told["parameters"] == "generator {:,}, discriminator {:,}".format(*sizes)
    assert {"memory", "time"} <= told.keys()
    rate = float(told["time"].split(" at ")[1].split()[0].replace(",", ""))
    length = int(told["3 minutes"].rpartition("train.images=")[2])
    assert 0.9 * 180 * rate < length <= 180.01 * rate
    assert int(str(length)[2:] or 0) == 0
    done = gan("train", "--minutes", "3", cwd=paths.root)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "--dry-run" in done.stderr
    assert sorted(paths.root.rglob("*")) == before


def test_gradients_that_are_never_finite_in_fp16_are_noticed(checkout, make_params, monkeypatch):
    def spoil(state, _measured):
        next(state.generator.parameters()).register_hook(lambda gradient: gradient * float("nan"))

    meddle(monkeypatch, "discriminator_step", spoil)
    params = make_params({"train.precision": "fp16", "train.images": 320})
    with pytest.raises(GanError, match="gradients of the generator"):
        stage_runs.train(params, checkout("fp16"))


def test_optimiser_states_must_be_finite_too(checkout, make_params, monkeypatch):
    paths = checkout("overflow")

    def overflow(state, _measured):
        for kept in state.generator_optimiser.state.values():
            kept["exp_avg_sq"].fill_(float("inf"))

    meddle(monkeypatch, "generator_step", overflow)
    with pytest.raises(GanError, match="optimiser state of the generator"):
        stage_runs.train(make_params(), paths)


def test_a_kill_before_the_first_checkpoint_keeps_the_row(checkout, make_params, monkeypatch):
    paths = checkout("early")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{paths.root}/mlflow.db")
    with monkeypatch.context() as patch:
        kill_when(patch, lambda state: state.step == 2)
        with pytest.raises(KeyboardInterrupt):
            stage_runs.train(make_params(), paths)
    assert not states(paths)
    stage_runs.train(make_params(), paths)
    assert series(paths, f"sqlite:///{paths.root}/mlflow.db")["loss/generator"]


DYING = """
import os, signal
from pathlib import Path
from gan.params.file import load_params
from pipeline.tracking import stage_runs
from gan.tensor_cache import TensorCache
from pipeline.paths import Paths
from pipeline.tracking.run import Run

def dying(run, real=Run.commit):
    if list(Path(".dvc").rglob("state-000000000064.pt")):
        os.kill(os.getpid(), signal.SIGKILL)
    real(run)

Run.commit = dying
stage_runs.train(load_params(Path("params.yaml")), Paths(Path.cwd()))
"""


def test_a_kill_between_a_checkpoint_and_its_commit_loses_no_points(
    checkout, make_params, write_params, monkeypatch
):
    found = []
    for name in ("whole", "killed"):
        paths = checkout(name)
        store = f"sqlite:///{paths.root}/mlflow.db"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
        if name == "killed":
            write_params(paths.root / "params.yaml")
            monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
            died = subprocess.run([sys.executable, "-c", DYING], cwd=paths.root, check=False)
            assert died.returncode == -signal.SIGKILL
            (records,) = paths.root.glob("logs/runs/*/metrics.jsonl")
            assert json.loads(records.read_text().splitlines()[-1])["step"] == 64
        stage_runs.train(make_params(), paths)
        found.append(series(paths, store))
    assert found[0] == found[1]
