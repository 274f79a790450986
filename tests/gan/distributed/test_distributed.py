"""Distributed training by several gloo processes, which must equal that by a single process."""

import json
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress

import distributed_training as script
import numpy as np
import psutil
import pytest
import torch
import torch.distributed as dist
from distributed_training import build_normed, gradients_of, run_passes, train_steps
from tiny_trainings import ANTIALIASED
from train_checkouts import environment, new_checkout, outs, seen_by, states, wait_for

from gan.checkpoints import load_checkpoint
from gan.distributed.world import ALONE, World, join_world
from gan.errors import GanError
from pipeline.paths import Paths

CPU = torch.device("cpu")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
PLACE = {
    "RANK": "0",
    "WORLD_SIZE": "2",
    "LOCAL_RANK": "0",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "1",
}


def assert_same_bits(first, second) -> None:
    """Nested results hold equal numbers in equal types."""
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def furthest(first: dict, second: dict) -> float:
    """The largest distance of two tensors, relative to the largest number in them.

    Numbers below a thousandth, a step or two of the optimiser, count as that.
    """
    assert first.keys() == second.keys()
    distances = [0.0]
    for name, one in first.items():
        other = second[name]
        if isinstance(one, dict):
            distances.append(furthest(one, other))
        elif one.numel():
            one, other = one.double(), other.double()
            scale = max(one.abs().max().item(), other.abs().max().item(), 1e-3)
            distances.append((one - other).abs().max().item() / scale)
    return max(distances)


# one process, and what is wrong


def test_one_process_is_alone_and_hands_back_what_it_got(monkeypatch):
    with join_world(CPU) as world:
        assert world == ALONE
    for name, value in (PLACE | {"WORLD_SIZE": "1"}).items():
        monkeypatch.setenv(name, value)
    network, values = build_normed(), {"loss": torch.tensor(2.0)}
    network[0].weight.grad = kept = torch.ones_like(network[0].weight)
    with join_world(CPU) as world:
        assert world == ALONE
        assert world.lead
        assert not dist.is_initialized()
        world.average_gradients(network)
        assert network[0].weight.grad is kept
        assert world.mean(values) is values
        assert world.broadcast(values) is values
        assert (world.any(True), world.any(False)) == (True, False)
        assert type(world.synchronise_batch_norm(network)[1]) is torch.nn.BatchNorm2d
        assert world.batch_part(7) == (0, 7)


def test_parts_of_a_batch_lie_side_by_side_and_leave_nothing_out():
    parts = [World(rank, 4).batch_part(12) for rank in range(4)]
    assert parts == [(0, 3), (3, 3), (6, 3), (9, 3)]
    with pytest.raises(GanError, match=r"train\.batch_size = 10 .* multiple of 4"):
        World(1, 4).batch_part(10)


@pytest.mark.parametrize(
    ("changes", "device", "named"),
    [
        ({"MASTER_ADDR": "", "MASTER_PORT": ""}, "cpu", "MASTER_ADDR="),
        ({"RANK": "2"}, "cpu", "RANK=2, WORLD_SIZE=2"),
        ({"LOCAL_RANK": ""}, "cpu", "LOCAL_RANK="),
        ({}, "mps", "train.device = mps"),
        ({"MASTER_PORT": "TAKEN"}, "cpu", "could not connect to the others at 127."),
    ],
)
def test_what_makes_no_group_is_refused_in_one_line(monkeypatch, changes, device, named):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for name, value in (PLACE | changes).items():
            monkeypatch.setenv(name, value.replace("TAKEN", port))
        with pytest.raises(GanError) as caught, join_world(torch.device(device)):
            pass
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not dist.is_initialized()


# two processes

EVERYTHING_SHOWN = {
    "train.augment.colour": True,
    "train.augment.translation": True,
    "train.augment.cutout": True,
    "train.augment.strength": 0.5,
    "train.augment.ada_target": 0.6,
    "train.augment.ada_images": 1000,
    "train.instance_noise.deviation": 0.1,
    "train.instance_noise.until": 100,
}
WITHOUT_NORMS = {"model.generator.norm": "none"}
TRAININGS = {
    "wgan_gp with layer norm, two critic steps": {
        "train.objective": "wgan_gp",
        "train.recipes.wgan_gp.critic_steps": 2,
        "train.recipes.wgan_gp.discriminator_norm": "layer",
        "model.generator.norm": "layer",
    },
    "relativistic, lazy r1 and r2, everything shown": {
        "train.objective": "relativistic",
        "train.recipes.relativistic.penalties.every": 4,
        # only differences of scores count, so the last bias has no gradient but rounding, which
        # Adam's usual eps makes visible
        "train.recipes.relativistic.discriminator.arguments": {"betas": [0.0, 0.99], "eps": 1e-4},
        **WITHOUT_NORMS,
        **EVERYTHING_SHOWN,
    },
    "hinge with all penalties, spectral norm and two critic steps": {
        "train.objective": "hinge",
        "train.recipes.hinge.critic_steps": 2,
        "train.recipes.hinge.spectral_norm": True,
        "model.generator.spectral_norm": True,
        "train.recipes.hinge.penalties": {"gradient": 1.0, "r1": 1.0, "r2": 0.5, "every": 1},
        **WITHOUT_NORMS,
        **EVERYTHING_SHOWN,
    },
    "lsgan with batch norm, two critic steps": {
        "train.objective": "lsgan",
        "train.recipes.lsgan.critic_steps": 2,
        "train.recipes.lsgan.discriminator_first_norm": True,
    },
    "hinge with spectral norm, both networks antialiased": {
        "train.objective": "hinge",
        "train.recipes.hinge.spectral_norm": True,
        **ANTIALIASED,
    },
}


@pytest.fixture(scope="module")
def all_params(make_params):
    """Params of every training, in float64: rounding is then far below what is compared."""
    exact = {"train.precision": "float64"}
    return {name: make_params(exact | changes) for name, changes in TRAININGS.items()}


@pytest.fixture(scope="module")
def results_of_two(tmp_path_factory, all_params):
    """Results of two processes, which are started once for all trainings."""
    folder = tmp_path_factory.mktemp("train")
    values = {name: params.model_dump(mode="json") for name, params in all_params.items()}
    (folder / "params.json").write_text(json.dumps(values))
    done = subprocess.run(
        [sys.executable, *TORCHRUN, script.__file__, str(folder)],
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.slow
def test_gradients_are_the_mean_of_all_processes_to_the_bit_on_each(results_of_two):
    first, second = (found["exchange"]["gradients"] for found in results_of_two)
    for one, other, *own in zip(first, second, gradients_of(0), gradients_of(1), strict=True):
        if one is None:
            assert [other, *own] == [None] * 3
        else:
            assert torch.equal(one, other)
            assert torch.equal(one, (own[0] + own[1]) / 2)
            assert one.stride() == own[0].stride()


@pytest.mark.slow
def test_means_flags_and_values_reach_all(results_of_two):
    for rank, results in enumerate(results_of_two):
        found = results["exchange"]
        expected = {"a": torch.tensor(0.5), "b": torch.tensor([0.5, 4.0]).double()}
        assert_same_bits(found["mean"], expected)
        assert found["flags"] == [False, True, True]
        assert_same_bits(found["shared"], {"weights": torch.ones(3), "step": 7})
        assert found["part"] == (5 * rank, 5)


@pytest.mark.slow
def test_batch_norm_of_two_processes_is_that_of_the_whole_batch(results_of_two):
    alone = run_passes(build_normed(), ALONE)
    first, second = (found["exchange"]["norm"] for found in results_of_two)
    for name in ("output", "in eval", "to pixels"):
        whole = torch.cat([first[name], second[name]])
        torch.testing.assert_close(whole, alone[name], rtol=1e-11, atol=1e-13)
    for name in ("gradients", "state"):
        torch.testing.assert_close(first[name], alone[name], rtol=1e-10, atol=1e-13)
        assert_same_bits(first[name], second[name])


LOST = """
import os, torch
from gan.distributed.world import join_world
from gan.errors import GanError
try:
    with join_world(torch.device("cpu")) as world:
        world.any(False)
        if world.rank == 1:
            os._exit(1)
        world.any(False)
except GanError as error:
    print(error)
"""


@pytest.mark.slow
def test_the_loss_of_a_process_is_one_line(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", LOST],
            env=environment(tmp_path) | PLACE | {"RANK": rank, "MASTER_PORT": port},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    printed = workers[0].communicate(timeout=240)[0].splitlines()
    workers[1].wait(60)
    lines = [line for line in printed if not line.startswith("[Gloo]")]  # torch 2.9's own greeting
    assert len(lines) == 1
    assert lines[0].startswith("lost another process of this training")
    assert workers[0].returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAININGS)
def test_two_processes_train_what_one_with_their_whole_batch_does(
    name, results_of_two, all_params
):
    first, second = (found[name] for found in results_of_two)
    alone = train_steps(all_params[name], ALONE)
    assert furthest(first, alone) < 1e-11
    assert_same_bits(first, second)


# the stage

EXACT = {
    "train.images": 288,
    "train.precision": "float64",
    "train.log_every": 24,  # not with every checkpoint: what is measured must survive too
    "train.augment.colour": True,
    "train.augment.ada_target": 0.6,
    "train.augment.ada_images": 1000,
}


@pytest.fixture
def checkout(tmp_path, train_cache, write_params):
    """checkout("name"): a folder in which a training can run."""

    def make(name: str) -> Paths:
        paths = new_checkout(tmp_path / name, train_cache)
        write_params(paths.root / "params.yaml", EXACT)
        return paths

    return make


@pytest.fixture
def train(gan):
    """train(paths, *launcher): the stage, to its end; what it said on stderr."""

    def run(paths: Paths, *launcher: str) -> str:
        done = gan("train", cwd=paths.root, launcher=launcher)
        assert done.returncode == 0, done.stderr
        return done.stderr

    return run


@pytest.mark.slow
def test_two_processes_of_the_stage_publish_what_one_does_and_only_the_lead_writes(
    checkout, train
):
    both = checkout("one"), checkout("two")
    train(both[0])
    train(both[1], *TORCHRUN)
    written = []
    for paths in both:
        files = {path.relative_to(paths.root) for path in paths.root.rglob("*") if path.is_file()}
        # the tracker and the log name theirs at random
        written.append({path for path in files if not {"logs", "tracking"} & set(path.parts)})
    assert written[0] == written[1]
    checkpoints = sorted(path for path in written[0] if path.match("models/**/*.pt"))
    assert checkpoints
    for path in checkpoints:
        alone, together = (load_checkpoint(each.root / path) for each in both)
        assert together["origin"] == alone["origin"]
        assert furthest(together["averaged"], alone["averaged"]) < 1e-9
    alone, together = (load_checkpoint(each.models / "final.pt")["state"] for each in both)
    for network in ("generator", "discriminator"):
        assert furthest(together[network], alone[network]) < 1e-9
    assert torch.equal(together["strength"], alone["strength"])
    losses = [
        np.genfromtxt(each.reports / "losses.tsv", names=True, delimiter="\t").view(float)
        for each in both
    ]
    np.testing.assert_allclose(*losses, rtol=1e-5)


def begin(gan, paths: Paths, *options: str) -> subprocess.Popen:
    """A torchrun that has written a checkpoint."""
    process = gan("train", wait=False, cwd=paths.root, launcher=[*TORCHRUN, *options])
    wait_for(lambda: any(seen_by(state) >= 64 for state in states(paths)), process)
    return process


@pytest.mark.soak
def test_a_torchrun_that_lost_its_lead_or_is_asked_to_stop_resumes_with_any_number_of_processes(
    gan, checkout, train, tmp_path
):
    whole, lost, stopped = checkout("whole"), checkout("lost"), checkout("stopped")
    train(whole, *TORCHRUN)
    process = begin(gan, lost, "--max-restarts=3")
    for child in psutil.Process(process.pid).children():
        with suppress(psutil.Error):
            if child.environ().get("RANK") == "0":
                child.kill()
    _, told = process.communicate(timeout=240)
    assert process.returncode == 0, told
    assert "resuming at" in told
    assert outs(lost) == outs(whole)

    process = begin(gan, stopped)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert not stopped.models.exists()
    copy = Paths(shutil.copytree(stopped.root, tmp_path / "copy"))
    assert "resuming at" in train(stopped, *TORCHRUN)
    assert "resuming at" in train(copy)
    assert outs(stopped) == outs(whole)
    alone, after = (load_checkpoint(each.models / "final.pt") for each in (whole, copy))
    assert furthest(after["averaged"], alone["averaged"]) < 1e-9
