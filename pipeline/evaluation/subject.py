"""What is judged: a generator's checkpoint, or a folder of images that anything made."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from gan.checkpoints import Origin, describe_checkpoint, load_generator
from gan.devices import choose_compute
from gan.errors import GanError
from gan.features.extractor import exact_inference
from gan.models.interfaces import Generator
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

Weights = Literal["averaged", "raw"]

SHOWN = len(GRID_SEEDS)


class Subject(Protocol):
    """Images to judge, of which there may be another lot for each seed."""

    @property
    def marks(self) -> tuple[str, ...]:
        """What keys of metrics must say of it."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of an image."""

    def seeds(self, wanted: Sequence[int]) -> Sequence[int | None]:
        """Which lots there are; None: the one and only."""

    def count(self, wanted: int) -> int:
        """Images of a lot."""

    def batches(self, seed: int | None, count: int) -> Iterator[Tensor]:
        """A lot, as (n, 3, H, W) uint8."""

    def rows(self, seed: int | None, numbers: Sequence[int]) -> Images:
        """Some images of a lot, (n, H, W, 3) uint8."""

    def grid(self) -> Images:
        """Images to look at, (n, H, W, 3) uint8."""

    def interpolations(self) -> Images | None:
        """Images between images, where the subject can make them: (n, H, W, 3) uint8."""

    def described(self) -> dict[str, Any]:
        """What a result says of it."""


@dataclass(frozen=True)
class CheckpointSubject:
    """The generator of a checkpoint, which draws from seeded latents; it is left as it was."""

    path: Path
    generator: Generator
    origin: Origin
    weights: Weights
    sha256: str

    @classmethod
    def open(cls, path: Path, weights: Weights = "averaged") -> "CheckpointSubject":
        """Read a checkpoint; GanError if it is damaged or doesn't hold such weights."""
        generator, origin = load_generator(path, raw=weights == "raw")
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        device = choose_compute("auto", "float32").device
        return cls(path, generator.to(device), origin, weights, sha256)

    @property
    def marks(self) -> tuple[str, ...]:
        return ("raw",) if self.weights == "raw" else ()

    @property
    def size(self) -> tuple[int, int]:
        return self.origin.size, self.origin.size

    def seeds(self, wanted: Sequence[int]) -> Sequence[int | None]:
        return wanted

    def count(self, wanted: int) -> int:
        return wanted

    def batches(self, seed: int | None, count: int) -> Iterator[Tensor]:
        return self._generated(self._latents(seed, count))

    def rows(self, seed: int | None, numbers: Sequence[int]) -> Images:
        return self._images(self._latents(seed, max(numbers) + 1)[list(numbers)])

    def grid(self) -> Images:
        return self._images(seed_latents(GRID_SEEDS, self.generator.latent_size))

    def interpolations(self) -> Images:
        """A row of avatars on the way from one of the grid's first seeds to the next."""
        ends = seed_latents(GRID_SEEDS[: GRID_COLUMNS + 1], self.generator.latent_size)
        ways = [interpolate_latents(*pair, GRID_COLUMNS) for pair in pairwise(ends)]
        return self._images(torch.cat(ways))

    def _latents(self, seed: int | None, count: int) -> Tensor:
        if seed is None:
            raise ValueError("a generator's images have a seed")
        return draw_latents(seed, "evaluate", count, self.generator.latent_size)

    def _generated(self, latents: Tensor) -> Iterator[Tensor]:
        """In float32: cuDNN's convolutions use TF32 unless they are told not to."""
        device = next(self.generator.parameters()).device
        for part in torch.split(latents, BATCH):
            with exact_inference(device):
                images = list(generate(self.generator, part))
            yield from images

    def _images(self, latents: Tensor) -> Images:
        whole = torch.cat(list(self._generated(latents)))
        images: Images = whole.permute(0, 2, 3, 1).numpy()
        return images

    def described(self) -> dict[str, Any]:
        about = describe_checkpoint(self.origin, self.weights, sha256=self.sha256)
        return {"kind": "checkpoint", **about}


@dataclass(frozen=True)
class FolderSubject:
    """Images that lie in a folder, whoever made them."""

    source: FolderSource

    @property
    def marks(self) -> tuple[str, ...]:
        return ()

    @property
    def size(self) -> tuple[int, int]:
        return self.source.size

    def seeds(self, wanted: Sequence[int]) -> Sequence[int | None]:
        return (None,)

    def count(self, wanted: int) -> int:
        return len(self.source)

    def batches(self, seed: int | None, count: int) -> Iterator[Tensor]:
        return self.source.batches(64)

    def rows(self, seed: int | None, numbers: Sequence[int]) -> Images:
        return self.source.rows(numbers)

    def grid(self) -> Images:
        """Evenly from the first to the last."""
        shown = min(SHOWN, len(self.source))
        last = len(self.source) - 1
        return self.source.rows([i * last // max(1, shown - 1) for i in range(shown)])

    def interpolations(self) -> None:
        return None

    def described(self) -> dict[str, Any]:
        return {
            "kind": "folder",
            "name": self.source.folder.resolve().name,
            "sha256": self.source.digest,
            "size": list(self.source.size),
        }


def require_same_data(path: Path, trained_on: str, cache: TensorCache, remedy: str) -> None:
    """Raise GanError if a checkpoint was trained on other data than the cache's."""
    if trained_on != cache.digest:
        raise GanError(
            f"{path}: trained on other data ({trained_on[:12]}, the cache is "
            f"{cache.digest[:12]}); {remedy}"
        )
