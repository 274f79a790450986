"""Interface of a feature extractor, and the exact inference that all extractors use."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from gan.errors import GanError

CPU_BATCH_SIZE = 16  # activations of more images don't fit into the CPU's cache

Precision = Literal["float32", "bf16"]
"""Precision of an extractor's convolutions and products; its features are always float32."""


class Extractor(Protocol):
    """A fixed network with a fixed protocol, which turns images into features."""

    @property
    def name(self) -> str:
        """Name in the keys of metrics: `inception` (pytorch-fid's own weights), `lite0`, ..."""

    @property
    def precision(self) -> Precision:
        """Precision, which keys of metrics name unless it is float32."""

    @property
    def dimensions(self) -> int:
        """Length D of a feature vector."""

    @property
    def protocol(self) -> str:
        """Preprocessing and layer that give the features, in one line."""

    @property
    def digest(self) -> str:
        """Hex sha256 of weights, protocol and precision; features compare if it is equal."""

    def __call__(self, images: Tensor) -> Tensor:
        """Features (N, D) float32 on the CPU of images (N, 3, H, W) uint8."""

    def logits(self, features: Tensor) -> Tensor | None:
        """Class logits (N, C) float32 of features (N, D); None if the network has no classes."""


def read_weights(file: Path) -> bytes:
    """Read a file of weights; GanError if it can't be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise GanError(f"{file}: cannot be read: {error.strerror}") from None


@contextmanager
def exact_inference(device: torch.device, precision: Precision = "float32") -> Iterator[None]:
    """Context without gradients, TF32, or algorithms chosen by timing.

    Everything is float32 or wider, unless `precision` is bf16.
    """
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with (
            torch.inference_mode(),
            torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"),
            torch.backends.cudnn.flags(
                enabled=True, benchmark=False, deterministic=True, allow_tf32=False
            ),
        ):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def check_images(images: Tensor) -> None:
    """Raise ValueError unless images are (N, 3, H, W) uint8."""
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(
            f"images are {images.dtype} {tuple(images.shape)}, not uint8 (N, 3, H, W)"
        )


def extract_in_parts(
    extract: Callable[[Tensor], Tensor], images: Tensor, device: torch.device, batch_size: int
) -> Tensor:
    """Apply `extract` to parts of one fixed length; returns the features of all, on the CPU.

    The last part is padded with black images: another length may select another kernel, and an
    image's features must not depend on the number of images beside it. On a CPU a part has 16
    images, the fastest length, whatever `batch_size`.
    """
    check_images(images)
    length = CPU_BATCH_SIZE if device.type == "cpu" else batch_size
    features = []
    for part in torch.split(images, length):
        missing = length - len(part)
        padded = functional.pad(part, (0, 0, 0, 0, 0, 0, 0, missing)) if missing else part
        features.append(extract(padded.to(device))[: len(part)].float().cpu())
    return torch.cat(features)
