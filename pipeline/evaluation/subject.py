"""Subject of an evaluation: a generator's checkpoint, or a folder of images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from gan.checkpoints import Origin, describe_checkpoint, load_generator
from gan.devices import choose_compute
from gan.errors import GanError
from gan.features.extractor import exact_inference
from gan.models.interfaces import Generator
from gan.params.evaluation import EvaluateParams
from gan.sampling import (
    BATCH,
    GRID_COLUMNS,
    GRID_SEEDS,
    draw_latents,
    generate,
    interpolate_latents,
    seed_latents,
)
from gan.tensor_cache import Images, TensorCache
from pipeline.evaluation.image_folder import FolderSource
from pipeline.evaluation.result import CheckpointFacts, FolderFacts
from pipeline.number_ranges import evenly_spaced
from pipeline.paths import sha256_of

Weights = Literal["averaged", "raw"]


@dataclass(frozen=True)
class CheckpointSubject:
    """The generator of a checkpoint, applied to seeded latents and never changed."""

    path: Path
    generator: Generator
    origin: Origin
    weights: Weights
    sha256: str

    @classmethod
    def open(cls, path: Path, weights: Weights = "averaged") -> "CheckpointSubject":
        """Read a checkpoint; GanError if it is damaged or lacks these weights."""
        generator, origin = load_generator(path, raw=weights == "raw")
        device = choose_compute("auto", "float32").device
        return cls(path, generator.to(device), origin, weights, sha256_of(path))

    @property
    def marks(self) -> tuple[str, ...]:
        """Parts of metric keys that name what is unusual about it."""
        return ("raw",) if self.weights == "raw" else ()

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of an image."""
        return self.origin.size, self.origin.size

    def sample_sets(self, settings: EvaluateParams) -> tuple[Sequence[int | None], int]:
        """Return the seeds of its sample sets, and the images of each."""
        return settings.report_seeds, settings.num_fakes

    def batches(self, seed: int | None, count: int) -> Iterator[Tensor]:
        """Yield a sample set, as (n, 3, H, W) uint8."""
        return self._generate(self._latents(seed, count))

    def select(self, seed: int | None, indices: Sequence[int]) -> Images:
        """Return the images of a sample set at these indices, (n, H, W, 3) uint8."""
        return self._images(self._latents(seed, max(indices) + 1)[list(indices)])

    def grid(self) -> Images:
        """Return images for the report's grid."""
        return self._images(seed_latents(GRID_SEEDS, self.generator.latent_size))

    def interpolations(self) -> Images:
        """Interpolate from each of the grid's first seeds to the next, in one line of a sheet."""
        ends = seed_latents(GRID_SEEDS[: GRID_COLUMNS + 1], self.generator.latent_size)
        lines = [interpolate_latents(*pair, GRID_COLUMNS) for pair in pairwise(ends)]
        return self._images(torch.cat(lines))

    def _latents(self, seed: int | None, count: int) -> Tensor:
        assert seed is not None  # those of a folder alone have none
        return draw_latents(seed, "evaluate", count, self.generator.latent_size)

    def _generate(self, latents: Tensor) -> Iterator[Tensor]:
        """Generate in float32: cuDNN's convolutions use TF32 by default."""
        device = next(self.generator.parameters()).device
        for part in torch.split(latents, BATCH):
            with exact_inference(device):
                images = list(generate(self.generator, part))
            yield from images

    def _images(self, latents: Tensor) -> Images:
        batch = torch.cat(list(self._generate(latents)))
        images: Images = batch.permute(0, 2, 3, 1).numpy()
        return images

    def describe(self) -> CheckpointFacts:
        facts = describe_checkpoint(self.origin, self.weights, sha256=self.sha256)
        return CheckpointFacts.model_validate(facts)


@dataclass(frozen=True)
class FolderSubject:
    """Images of a folder, whichever program generated them: one sample set without a seed."""

    source: FolderSource
    marks: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        return self.source.size

    def sample_sets(self, settings: EvaluateParams) -> tuple[Sequence[int | None], int]:
        return (None,), len(self.source)

    def batches(self, seed: int | None, count: int) -> Iterator[Tensor]:
        return self.source.batches(64)

    def select(self, seed: int | None, indices: Sequence[int]) -> Images:
        return self.source.select(indices)

    def grid(self) -> Images:
        """Return evenly spaced images from the first to the last."""
        return self.source.select(evenly_spaced(len(self.source), len(GRID_SEEDS)))

    def interpolations(self) -> None:
        return None

    def describe(self) -> FolderFacts:
        name, size = self.source.folder.resolve().name, self.source.size
        return FolderFacts(name=name, sha256=self.source.digest, size=size)


Subject = CheckpointSubject | FolderSubject
"""Source of fakes: one sample set per latent seed, or a single one."""


def require_same_data(path: Path, trained_on: str, cache: TensorCache, remedy: str) -> None:
    """Raise GanError if a checkpoint was trained on other data than the cache's."""
    if trained_on != cache.digest:
        raise GanError(
            f"{path}: trained on other data ({trained_on[:12]}, the cache is "
            f"{cache.digest[:12]}); {remedy}"
        )
