"""Who looks at the images: what an extractor is, and the exact arithmetic all of them keep to."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional

CPU_BATCH_SIZE = 16  # activations of more images do not fit into the processor's cache

Precision = Literal["float32", "bf16"]
"""Of an extractor's convolutions and products; features are float32 in any case."""


class Extractor(Protocol):
    """Turns images into features; a fixed network with a fixed protocol."""

    @property
    def name(self) -> str:
        """What keys of metrics call it: `inception` (pytorch-fid's own weights), `lite0`, ..."""

    @property
    def precision(self) -> Precision:
        """Stands in the keys of metrics unless it is float32."""

    @property
    def dimensions(self) -> int:
        """Length D of a feature vector."""

    @property
    def protocol(self) -> str:
        """What happens to an image on its way to features, in one line for a reader."""

    @property
    def digest(self) -> str:
        """Hex sha256 of weights, protocol and precision: equal digests, comparable features."""

    def __call__(self, images: Tensor) -> Tensor:
        """Features (N, D) float32 on the CPU of images (N, 3, H, W) uint8."""

    def logits(self, features: Tensor) -> Tensor | None:
        """Class logits (N, C) float32 of features (N, D), or None: it has no classes."""


@contextmanager
def exact_inference(device: torch.device, precision: Precision = "float32") -> Iterator[None]:
    """Run a block without gradients, TF32 or algorithms chosen by timing.

    Nothing is narrower than float32, unless `precision` asks for it.
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
    look: Callable[[Tensor], Tensor], images: Tensor, device: torch.device, batch_size: int
) -> Tensor:
    """Apply `look` to parts of one fixed length, and put what it gives together, on the CPU.

    The last part is filled up with black: another length may choose another kernel, and an
    image's features must not depend on how many others come with it. On a CPU parts have 16
    images, the length that is computed fastest, whatever `batch_size`.
    """
    check_images(images)
    length = CPU_BATCH_SIZE if device.type == "cpu" else batch_size
    found = []
    for part in torch.split(images, length):
        missing = length - len(part)
        whole = functional.pad(part, (0, 0, 0, 0, 0, 0, 0, missing)) if missing else part
        found.append(look(whole.to(device))[: len(part)].float().cpu())
    return torch.cat(found)
