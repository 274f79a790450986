"""Plan of a training: everything that is known and checked before any work."""

from dataclasses import dataclass
from typing import Any

import torch

from gan.checkpoints import Origin
from gan.devices import Compute, choose_compute
from gan.distributed.world import World
from gan.errors import GanError
from gan.objectives.objective import Objective, build_objective
from gan.params.model import ModelParams
from gan.params.train import TrainParams
from gan.tensor_cache import TensorCache
from gan.training.batches import Batches
from gan.training.state import TrainState, build_networks, build_state
from gan.training.steps import Engine
from pipeline.code_digest import TRAINING, code_digest
from pipeline.paths import Paths
from pipeline.training.identity import digest_of
from pipeline.training.warm_start import WarmStart, warm_start

DECIDED = ("model", "train", "cache_digest", "code_digest")


@dataclass(frozen=True)
class Plan:
    """One training."""

    model: ModelParams
    train: TrainParams
    cache: TensorCache
    compute: Compute
    objective: Objective
    warm: WarmStart | None
    identity: dict[str, Any]
    """Everything that decides a step; the length does only where a learning rate falls with it."""
    run_key: str

    @property
    def name(self) -> str:
        """Short name that tells trainings apart, such as `wgan_gp 64px w64 s1`."""
        generator = self.model.generator
        family = "" if generator.family == "dcgan" else f" {generator.family}"
        network = f"{self.cache.size}px w{generator.width}"
        return f"{self.train.objective}{family} {network} s{self.train.seed}"

    @property
    def lineage(self) -> dict[str, Any]:
        """Everything that decided the training: the run key is the digest of `decided`."""
        meta = self.cache.meta
        return {
            "decided": {key: self.identity[key] for key in DECIDED}
            | {"images": self.train.images},
            "preprocess": meta["settings"],
            "snapshot": meta.get("snapshot", ""),
            "source": meta.get("source", {}),
            "licences": meta.get("licences", {}),
            "counts": meta["counts"],
        }

    @property
    def environment(self) -> dict[str, str]:
        """Torch version, kind of device and precision; they are part of the identity."""
        return {key: self.identity[key] for key in ("torch", "device", "precision")}

    @property
    def end(self) -> int:
        """Images seen after the last step, which may go beyond the length."""
        return -(-self.train.images // self.train.images_per_step) * self.train.images_per_step

    def origin(self, images_seen: int) -> Origin:
        """Origin of a checkpoint of this training."""
        model = self.model.model_dump()
        size, digest = self.cache.size, self.cache.digest
        return Origin(model, size, images_seen, self.run_key, digest, self.name, self.lineage)

    def fresh_state(self) -> TrainState:
        """Build the state before the first step, without the weights of `init_from`."""
        return build_state(self.model, self.cache.size, self.train, self.compute)

    def engine(self, world: World) -> Engine:
        """Build what a training step needs besides state and batches."""
        return Engine(self.train, self.objective, self.compute, world, self.model.latent_size)

    def batches(self, world: World) -> Batches:
        """Open this process's part of every batch of training images; to be closed."""
        train, images = self.train, self.cache.split("train")
        count, device = world.batch_part(train.batch_size)[1], self.compute.device
        return Batches(images, train.seed, count, train.flip, device, world.size)


def make_plan(model: ModelParams, train: TrainParams, cache: TensorCache, paths: Paths) -> Plan:
    """Check everything that can be checked before work; GanError for what is wrong."""
    if not len(cache.split("train")):
        raise GanError(f"{paths.cache}: no image to train on; scrape more or lower the hold-out")
    for folder in (paths.models, paths.reports, paths.logs):
        if folder.is_file():
            raise GanError(f"{folder}: a file stands where a folder should be; move it away")
    compute = choose_compute(train.device, train.precision)
    objective = build_objective(train)
    networks = build_networks(model, cache.size, train)
    warm = warm_start(train.init_from, paths.root, model, *networks)
    decided: dict[str, Any] = {
        "model": model.model_dump(),
        "train": train.active() | {"init_from": warm.digest if warm else ""},
        "cache_digest": cache.digest,
        "code_digest": code_digest(TRAINING),
    }
    run_key = digest_of(decided | {"images": train.images})
    identity = decided | {
        "torch": torch.__version__,
        "device": compute.device.type,
        "precision": compute.precision,
    }
    return Plan(model, train, cache, compute, objective, warm, identity, run_key)
