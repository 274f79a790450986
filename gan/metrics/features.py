"""Who looks at the images: what an extractor is, and the exact arithmetic all of them keep to."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor

AT_ONCE_ON_CPU = 16  # activations of more images do not fit into the processor's cache


class Extractor(Protocol):
    """Turns images into features; a fixed network with a fixed protocol."""

    @property
    def name(self) -> str:
        """First part of the keys of metrics made with it, such as `fid`."""

    @property
    def dimensions(self) -> int:
        """Length D of a feature vector."""

    @property
    def digest(self) -> str:
        """Hex sha256 of weights and protocol: equal digests give comparable features."""

    def __call__(self, images: Tensor) -> Tensor:
        """Features (N, D) float32 of images (N, 3, H, W) uint8."""


@contextmanager
def exact_inference(device: torch.device) -> Iterator[None]:
    """Run a block without gradients, autocast, TF32 or algorithms chosen by timing."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with (
            torch.inference_mode(),
            torch.autocast(device.type, enabled=False),
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


def in_parts(images: Tensor, device: torch.device) -> tuple[Tensor, ...]:
    """Cut a batch into pieces of the size that the device computes fastest."""
    at_once = AT_ONCE_ON_CPU if device.type == "cpu" else max(1, len(images))
    return torch.split(images, at_once)
