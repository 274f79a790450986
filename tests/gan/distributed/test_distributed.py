"""Distributed training by several gloo processes, which must equal that by a single process."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import distributed_training as script
import numpy as np
import psutil
import pytest
import torch
import torch.distributed as dist
from distributed_training import build_normed, gradients_of, run_passes, train_steps
from train_checkouts import outs, seen_by, states, wait_for

from gan.checkpoints import load_checkpoint
from gan.distributed.world import ALONE, World, join_world
from gan.errors import GanError
from pipeline.paths import Paths

CPU = torch.device("cpu")
REPOSITORY = Path(__file__).resolve().parents[3]
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
PLACE = {
    "RANK": "0",
    "WORLD_SIZE": "2",
    "LOCAL_RANK": "0",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "1",
}


def environment(home: Path) -> dict[str, str]:
    """One that names no process of a group and no tracker that hears."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
    }


def two_processes(mode: str, folder: Path) -> list[dict]:
    """Results of both processes of the script."""
    command = [sys.executable, *TORCHRUN, script.__file__, mode, str(folder)]
    done = subprocess.run(
        command, env=environment(folder), capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def same_bits(first, second) -> bool:
    """Whether two nested results hold equal numbers in equal types."""
    if isinstance(first, torch.Tensor):
        return first.dtype == second.dtype and torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same_bits(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same_bits, first, second))
    return first == second


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


@pytest.fixture
def alone(monkeypatch):
    """No environment of torchrun."""
    for name in PLACE:
        monkeypatch.delenv(name, raising=False)


def place(monkeypatch, **changes: str | None) -> None:
    for name, value in (PLACE | changes).items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)


def refusal(device: str = "cpu") -> str:
    with pytest.raises(GanError) as caught, join_world(torch.device(device)):
        pass
    text = str(caught.value)
    assert "\n" not in text
    assert not dist.is_initialized()
    return text


@pytest.mark.usefixtures("alone")
def test_without_torchrun_a_process_is_alone_and_no_group_is_made():
    with join_world(CPU) as world:
        assert world == ALONE
        assert world.lead
        assert not dist.is_initialized()


def test_torchrun_with_one_process_run_makes_no_group(monkeypatch):
    place(monkeypatch, WORLD_SIZE="1", LOCAL_WORLD_SIZE="1")
    with join_world(CPU) as world:
        assert world == ALONE
        assert not dist.is_initialized()


def test_alone_every_exchange_hands_back_what_it_got():
    network, values = build_normed(), {"loss": torch.tensor(2.0)}
    network[0].weight.grad = torch.ones_like(network[0].weight)
    kept = network[0].weight.grad
    ALONE.average_gradients(network)
    assert network[0].weight.grad is kept
    assert ALONE.mean(values) is values
    assert ALONE.broadcast(values) is values
    assert ALONE.any(True)
    assert not ALONE.any(False)
    assert type(ALONE.synchronise_batch_norm(network)[1]) is torch.nn.BatchNorm2d


def test_parts_of_a_batch_lie_side_by_side_and_leave_nothing_out():
    parts = [World(rank, 4).batch_part(12) for rank in range(4)]
    assert parts == [(0, 3), (3, 3), (6, 3), (9, 3)]
    assert ALONE.batch_part(7) == (0, 7)


def test_a_batch_that_cannot_be_parted_evenly_is_refused():
    with pytest.raises(GanError, match=r"train\.batch_size = 10 .* multiple of 4"):
        World(1, 4).batch_part(10)


def test_half_an_environment_is_refused(monkeypatch):
    place(monkeypatch, MASTER_ADDR=None, MASTER_PORT="")
    assert "MASTER_ADDR, MASTER_PORT missing" in refusal()


def test_an_environment_that_is_no_number_is_refused(monkeypatch):
    place(monkeypatch, RANK="first")
    assert "RANK=first" in refusal()


def test_a_rank_beyond_the_world_is_refused(monkeypatch):
    place(monkeypatch, RANK="2")
    assert "RANK=2 of WORLD_SIZE=2" in refusal()


def test_apples_gpu_is_refused_to_several_processes(monkeypatch):
    place(monkeypatch)
    assert "train.device = mps" in refusal("mps")


def test_fewer_gpus_than_processes_are_refused(monkeypatch):
    place(monkeypatch)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert "2 processes on this machine" in refusal("cuda")


def test_an_address_that_is_taken_is_refused(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        place(monkeypatch, MASTER_PORT=str(taken.getsockname()[1]))
        output = refusal()
    assert "process 0 of 2 could not connect to the others at 127.0.0.1:" in output


# two processes


@pytest.fixture(scope="module")
def exchange_results(tmp_path_factory):
    return two_processes("exchange", tmp_path_factory.mktemp("exchange"))


@pytest.mark.slow
def test_gradients_are_the_mean_of_all_processes_to_the_bit_on_each(exchange_results):
    first, second = exchange_results
    assert same_bits(first["gradients"], second["gradients"])
    for mean, *each in zip(first["gradients"], gradients_of(0), gradients_of(1), strict=True):
        if mean is None:
            assert each == [None, None]
        else:
            assert torch.equal(mean, (each[0] + each[1]) / 2)
            assert mean.stride() == each[0].stride()


@pytest.mark.slow
def test_means_go_by_name_not_by_order_and_keep_their_types(exchange_results):
    for found in exchange_results:
        assert same_bits(found["mean"]["a"], torch.tensor(0.5))
        assert same_bits(found["mean"]["b"], torch.tensor([0.5, 4.0]).double())
    assert list(exchange_results[1]["mean"]) == ["b", "a"]


@pytest.mark.slow
def test_a_flag_that_one_process_run_raises_is_seen_by_all(exchange_results):
    for found in exchange_results:
        assert (found["none up"], found["one up"], found["all up"]) == (False, True, True)


@pytest.mark.slow
def test_the_lead_s_value_reaches_all(exchange_results):
    for found in exchange_results:
        assert same_bits(found["shared"], {"weights": torch.ones(3), "step": 7})


@pytest.mark.slow
def test_each_process_has_its_part_of_the_batch(exchange_results):
    assert [found["part"] for found in exchange_results] == [(0, 5), (5, 5)]


@pytest.mark.slow
def test_batch_norm_of_two_processes_is_that_of_the_whole_batch(exchange_results):
    alone = run_passes(build_normed(), ALONE)
    first, second = (found["norm"] for found in exchange_results)
    for name in ("output", "in eval", "to pixels"):
        whole = torch.cat([first[name], second[name]])
        torch.testing.assert_close(whole, alone[name], rtol=1e-11, atol=1e-13)
    for found in (first, second):
        torch.testing.assert_close(found["gradients"], alone["gradients"], rtol=1e-10, atol=1e-13)
        torch.testing.assert_close(found["state"], alone["state"], rtol=1e-12, atol=1e-13)
    assert same_bits(first["state"], second["state"])


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
    printed = workers[0].communicate(timeout=60)[0].splitlines()
    workers[1].wait(60)
    lines = [line for line in printed if not line.startswith("[Gloo]")]  # torch 2.9's own greeting
    assert len(lines) == 1
    assert lines[0].startswith("lost another process of this training")
    assert workers[0].returncode == 0


# a training of two processes

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
    "bce with instance norm, smoothed labels and noise": {
        "train.objective": "bce",
        "train.recipes.bce.label_smoothing": 0.1,
        "train.recipes.bce.discriminator_norm": "instance",
        "model.generator.norm": "instance",
        "train.instance_noise.deviation": 0.2,
    },
    "wgan_gp with layer norm, two critic steps": {
        "train.objective": "wgan_gp",
        "train.recipes.wgan_gp.critic_steps": 2,
        "train.recipes.wgan_gp.discriminator_norm": "layer",
        "model.generator.norm": "layer",
        "model.generator.family": "upsample",
    },
    "hinge with spectral norm, everything shown": {
        "train.objective": "hinge",
        "model.generator.norm": "pixel",
        "model.generator.spectral_norm": True,
        **EVERYTHING_SHOWN,
    },
    "lsgan with pixel norm in residual networks": {
        "train.objective": "lsgan",
        "train.recipes.lsgan.discriminator_norm": "pixel",
        "model.generator.family": "resnet",
        "model.discriminator.family": "resnet",
        **WITHOUT_NORMS,
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
        "train.recipes.hinge.penalties": {"gradient": 1.0, "r1": 1.0, "r2": 0.5, "every": 1},
        **WITHOUT_NORMS,
        **EVERYTHING_SHOWN,
    },
    "bce with batch norm": {"train.objective": "bce"},
    "lsgan with batch norm, two critic steps": {
        "train.objective": "lsgan",
        "train.recipes.lsgan.critic_steps": 2,
        "train.recipes.lsgan.discriminator_first_norm": True,
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
    return two_processes("train", folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAININGS)
def test_two_processes_train_what_one_with_their_whole_batch_does(
    name, results_of_two, all_params
):
    first, second = (found[name] for found in results_of_two)
    alone = train_steps(all_params[name], ALONE)
    assert furthest(first, alone) < 1e-11
    assert same_bits(first, second)


# the stage

EXACT = {
    "train.images": 288,
    "train.precision": "float64",
    "train.log_every": 24,  # not with every checkpoint: what is measured must survive too
    "train.augment.colour": True,
    "train.augment.ada_target": 0.6,
    "train.augment.ada_images": 1000,
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory, write_cache, write_params, noise_images):
    """checkout(): a new folder in which a training can run."""
    cache = write_cache(tmp_path_factory.mktemp("data") / "cache", noise_images, holdout=10)

    def make() -> Paths:
        root = tmp_path_factory.mktemp("checkout")
        shutil.copytree(cache, root / "cache")
        write_params(root / "params.yaml", EXACT)
        return Paths(root)

    return make


@pytest.fixture(scope="module")
def train():
    """train(paths, "-m", "torch.distributed.run", ...): the stage, by that command."""
    started = []

    def start(paths: Paths, *command: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, *command, "-m", "pipeline.cli", "train"],
            cwd=paths.root,
            env=environment(paths.root),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def end(process: subprocess.Popen) -> str:
    """Wait until it ends well; what it said on stderr."""
    _, output = process.communicate(timeout=240)
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def one_process_run(checkout, train):
    """Checkout of a training by one process."""
    paths = checkout()
    end(train(paths))
    return paths


@pytest.fixture(scope="module")
def two_process_run(checkout, train):
    """Checkout of an uninterrupted training by two processes."""
    paths = checkout()
    end(train(paths, *TORCHRUN))
    return paths


def names(paths: Paths) -> set[str]:
    """All that a training wrote, but for what the tracker and the log name at random."""
    files = {path.relative_to(paths.root) for path in paths.root.rglob("*") if path.is_file()}
    return {str(path) for path in files if not {"logs", "tracking"} & set(path.parts)}


def losses(paths: Paths) -> np.ndarray:
    return np.genfromtxt(paths.reports / "losses.tsv", names=True, delimiter="\t").view(float)


def workers(process: subprocess.Popen) -> dict[str, psutil.Process]:
    """The training processes of a torchrun, by rank."""
    found = {}
    for child in psutil.Process(process.pid).children():
        with suppress(psutil.Error):
            found[child.environ().get("RANK", "")] = child
    return found


def has_state_at(paths: Paths, least: int) -> bool:
    """Whether there is a state of at least that many images seen."""
    return any(seen_by(state) >= least for state in states(paths))


@pytest.mark.slow
def test_two_processes_of_the_stage_publish_what_one_does(one_process_run, two_process_run):
    checkpoints = sorted(one_process_run.models.rglob("*.pt"))
    assert checkpoints
    for path in checkpoints:
        alone = load_checkpoint(path)
        together = load_checkpoint(two_process_run.root / path.relative_to(one_process_run.root))
        assert together["origin"] == alone["origin"]
        assert furthest(together["averaged"], alone["averaged"]) < 1e-9
    alone, together = (
        load_checkpoint(each.models / "final.pt")["state"]
        for each in (one_process_run, two_process_run)
    )
    for network in ("generator", "discriminator"):
        assert furthest(together[network], alone[network]) < 1e-9
    assert torch.equal(together["strength"], alone["strength"])
    np.testing.assert_allclose(losses(two_process_run), losses(one_process_run), rtol=1e-5)


@pytest.mark.slow
def test_only_the_lead_writes(one_process_run, two_process_run):
    assert names(two_process_run) == names(one_process_run)
    assert len(list(two_process_run.logs.rglob("*"))) == len(list(one_process_run.logs.rglob("*")))


@pytest.mark.soak
def test_torchrun_restarts_a_training_that_lost_its_lead_and_it_resumes(
    checkout, train, two_process_run
):
    paths = checkout()
    process = train(paths, *TORCHRUN, "--max-restarts=3")
    wait_for(lambda: has_state_at(paths, 64), process)
    lead = workers(process)["0"]
    lead.kill()
    assert "resuming at" in end(process)
    assert not lead.is_running()
    assert outs(paths) == outs(two_process_run)


@pytest.mark.soak
def test_a_torchrun_that_is_asked_to_stop_can_go_on_with_any_number_of_processes(
    checkout, train, tmp_path, one_process_run, two_process_run
):
    paths = checkout()
    process = train(paths, *TORCHRUN)
    wait_for(lambda: has_state_at(paths, 64), process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert not paths.models.exists()
    copy = Paths(shutil.copytree(paths.root, tmp_path / "copy"))
    for process in (train(paths, *TORCHRUN), train(copy)):
        assert "resuming at" in end(process)
    assert outs(paths) == outs(two_process_run)
    alone, after = (load_checkpoint(each.models / "final.pt") for each in (one_process_run, copy))
    assert furthest(after["averaged"], alone["averaged"]) < 1e-9
