"""Our own contestants in benchmarks/train.py: the engine with everything around it, and without.

Each prints seconds and CPU seconds, without imports and without building the networks.
"""

import sys
from pathlib import Path

import numpy as np
import yaml
from contestant import timed
from torch import Tensor

from gan.devices import choose_compute, fast_training
from gan.distributed.world import ALONE
from gan.objectives.objective import build_objective
from gan.params.file import Params
from gan.tensor_cache import TensorCache
from gan.training.batches import Batches
from gan.training.loop import train
from gan.training.state import TrainState, build_state
from gan.training.steps import Engine, train_step
from pipeline.paths import Paths
from pipeline.signals import Stop
from pipeline.training.lead import Lead
from pipeline.training.plan import DECIDED, Plan
from pipeline.training.progress_folder import ProgressFolder
from pipeline.training.tracker import Tracker

LATENT_SIZE, BATCH_SIZE = 100, 64
PARAMS = Path(__file__).resolve().parents[1] / "params.yaml"


def settings(width: int, objective: str, images: int) -> Params:
    """params.yaml as shipped, with the networks, the batch and the length of this race.

    objective: "shipped" changes the length alone.
    """
    values = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
    model, training = values["model"], values["train"]
    if objective == "shipped":
        training["images"] = images
        return Params.model_validate(values)
    model["latent_size"] = LATENT_SIZE
    for name in ("generator", "discriminator"):
        model[name] |= {"family": "dcgan", "width": width, "widest": 16}
    plain = {"activation": "relu", "norm": "batch", "first_norm": True, "self_modulation": False}
    model["generator"] |= plain
    model["discriminator"]["activation"] = "leaky_relu"
    training |= {"objective": objective, "batch_size": BATCH_SIZE, "images": images}
    norm = "none" if objective == "wgan_gp" else "batch"
    training["recipes"][objective] |= {"critic_steps": 1, "discriminator_norm": norm}
    return Params.model_validate(values)


def prepared(params: Params, size: int) -> tuple[TrainState, Engine]:
    """Fresh networks, and what a step needs."""
    compute = choose_compute("cpu", params.train.precision)
    state = build_state(params.model, size, params.train, compute)
    objective = build_objective(params.train)
    return state, Engine(params.train, objective, compute, ALONE, params.model.latent_size)


def recorder(params: Params, cache: TensorCache, engine: Engine, folder: Path) -> Lead:
    """What the stage gives its loop, without a tracker: losses, grids, snapshots, states."""
    paths, identity = Paths(folder), dict.fromkeys(DECIDED, "")
    plan = Plan(
        params.model, params.train, cache, engine.compute, engine.objective, None, identity, ""
    )
    work = ProgressFolder(folder, identity)
    for place in (work.path, work.grids, work.snapshots):
        place.mkdir(parents=True, exist_ok=True)
    return Lead(plan, work, paths, Tracker(), ALONE, Stop(), lambda *_: None)


def ours(size: int, width: int, objective: str, images: int, cache: Path) -> None:
    """The stage's loop on the memory-mapped cache, recorded as the stage does."""
    params = settings(width, objective, images)
    state, engine = prepared(params, size)
    device, pixels = engine.compute.device, np.load(cache, mmap_mode="r")
    meta = {"settings": {"size": size}, "digest": "", "counts": {}}
    opened = TensorCache(cache.parent, pixels, meta, np.empty((len(pixels), 0), np.int8), ())
    lead = recorder(params, opened, engine, Path("ours"))
    with timed(), fast_training(device):
        batches = Batches(
            pixels, params.train.seed, params.train.batch_size, params.train.flip, device
        )
        train(state, engine, batches, lead)


class _One:
    """The same batch again and again."""

    def __init__(self, pixels: Tensor) -> None:
        self._pixels = pixels

    def __call__(self, _first: int) -> Tensor:
        return self._pixels


def step(size: int, width: int, objective: str, images: int, cache: Path) -> None:
    """The same number of steps alone: no data, no losses that anybody reads, no files."""
    params = settings(width, objective, images)
    state, engine = prepared(params, size)
    size_of_batch, device = params.train.batch_size, engine.compute.device
    first = Batches(np.load(cache, mmap_mode="r"), 1, size_of_batch, True, device)
    batches = _One(first(0))
    with timed(), fast_training(device):
        for _ in range(-(-images // size_of_batch)):
            train_step(state, engine, batches)  # type: ignore[arg-type]


if __name__ == "__main__":
    name, size, width, objective, images, cache = sys.argv[1:7]
    contestants = {"ours": ours, "step": step}
    contestants[name](int(size), int(width), objective, int(images), Path(cache))
