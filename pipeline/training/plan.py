"""What is going to be trained, all of it known and checked before any work."""

from dataclasses import dataclass
from typing import Any

import torch

from gan.checkpoints import Origin
from gan.devices import Compute, choose
from gan.errors import GanError
from gan.objectives.build import build_objective
from gan.objectives.objective import Objective
from gan.params.file import Params
from gan.tensor_cache import TensorCache
from gan.training.state import TrainState, build_networks, build_state
from pipeline.code_digest import TRAINING, code_digest
from pipeline.paths import Paths
from pipeline.training.progress_folder import digest_of
from pipeline.training.warm_start import WarmStart, warm_start

DECIDED = ("model", "train", "cache_digest", "code_digest")


@dataclass(frozen=True)
class Plan:
    """One training."""

    params: Params
    cache: TensorCache
    compute: Compute
    objective: Objective
    warm: WarmStart | None
    identity: dict[str, Any]
    """All that decides the result, except the length."""
    run_key: str

    @property
    def name(self) -> str:
        """What tells trainings apart at a glance, such as `wgan_gp 64px w64 s1`."""
        train, generator = self.params.train, self.params.model.generator
        family = "" if generator.family == "dcgan" else f" {generator.family}"
        network = f"{self.cache.size}px w{generator.width}"
        return f"{train.objective}{family} {network} s{train.seed}"

    @property
    def lineage(self) -> dict[str, Any]:
        """What decided the training, in plain values: the run key is the digest of `decided`."""
        meta = self.cache.meta
        return {
            "decided": {key: self.identity[key] for key in DECIDED}
            | {"images": self.params.train.images},
            "preprocess": meta["settings"],
            "snapshot": meta.get("snapshot", ""),
            "source": meta.get("source", {}),
            "licences": meta.get("licences", {}),
            "counts": meta["counts"],
        }

    @property
    def end(self) -> int:
        """Images seen after the last step, which may go beyond the length."""
        train = self.params.train
        return -(-train.images // train.images_per_step) * train.images_per_step

    def origin(self, images_seen: int) -> Origin:
        """What a checkpoint says of itself."""
        model = self.params.model.model_dump()
        size, digest = self.cache.size, self.cache.digest
        return Origin(model, size, images_seen, self.run_key, digest, self.name, self.lineage)

    def fresh(self) -> TrainState:
        """The state at the very beginning, without what `init_from` brings."""
        params = self.params
        return build_state(params.model, self.cache.size, params.train, self.compute)


def plan(params: Params, paths: Paths) -> Plan:
    """Check everything that can be checked before work; GanError for what is wrong."""
    cache = TensorCache.open(paths.cache)
    if not len(cache.split("train")):
        raise GanError(f"{paths.cache}: no image to train on; scrape more or lower the hold-out")
    for folder in (paths.models, paths.reports, paths.logs):
        if folder.is_file():
            raise GanError(f"{folder}: a file stands where a folder should be; move it away")
    compute = choose(params.train.device, params.train.precision)
    objective = build_objective(params.train)
    networks = build_networks(params.model, cache.size, params.train)
    warm = warm_start(params.train.init_from, paths.root, params.model, *networks)
    decided: dict[str, Any] = {
        "model": params.model.model_dump(),
        "train": params.train.active() | {"init_from": warm.digest if warm else ""},
        "cache_digest": cache.digest,
        "code_digest": code_digest(TRAINING),
    }
    run_key = digest_of(decided | {"images": params.train.images})
    identity = decided | {
        "torch": torch.__version__,
        "device": compute.device.type,
        "precision": compute.precision,
    }
    return Plan(params, cache, compute, objective, warm, identity, run_key)
