"""Stand-in weights for FID's Inception network: seeded, and alive on drawn pictures.

    python -m benchmarks.standin OUT.pth [--seed N] [--pictures 32]

For machines that have no network: they prove that our number is pytorch-fid's, and how fast it
comes, but say nothing about pictures. Convolutions are random; the statistics of the batch norms
are those of pictures drawn by the embedded gallery's painter. Without that each layer would fade
the one before, down to features near 1e-8. Equal arguments give equal bytes on one machine.
"""

import argparse
import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytorch_fid.inception
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from gan.atomic import write_atomically
from pipeline.gallery.painter import paint

AT_ONCE = 16
CONTRAST = 0.3  # deviation of the classifier's weights: an Inception Score of about 5
SIZE = 64  # pixels of a side of the drawn pictures
FIRST = 1_000_000  # seeds of pictures that no gallery of usual size has


def standin_state(seed: int, pictures: int) -> dict[str, Tensor]:
    """State of pytorch-fid's `fid_inception_v3` for a seed, calibrated on so many pictures."""
    network = _plain_network()
    _draw_weights(network, torch.Generator().manual_seed(seed))
    usual = _calibrate(network, pictures)
    _tell_apart(network.fc, usual)
    state: dict[str, Tensor] = network.state_dict()
    return state


def standin_bytes(seed: int, pictures: int) -> bytes:
    """The same as a file that pytorch-fid loads; through a buffer, or its name would be in it."""
    buffer = io.BytesIO()
    torch.save(standin_state(seed, pictures), buffer)
    return buffer.getvalue()


def _plain_network() -> Any:
    """pytorch-fid's network before its weights, which its constructor always downloads."""
    with (
        patch.object(pytorch_fid.inception, "load_state_dict_from_url", lambda *_, **__: {}),
        patch.object(torchvision.models.Inception3, "load_state_dict", lambda *_: None),
        _generator_left_alone(),
    ):
        network = pytorch_fid.inception.fid_inception_v3()
    return network


@contextmanager
def _generator_left_alone() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        yield


def _draw_weights(network: nn.Module, generator: torch.Generator) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


@torch.no_grad()
def _calibrate(network: Any, pictures: int) -> Tensor:
    """Give each batch norm the mean statistics of its inputs over batches of pictures.

    Returns the mean of the features (2048,).
    """
    seen: list[Tensor] = []
    network.avgpool.register_forward_hook(lambda _m, _i, out: seen.append(out.mean((0, 2, 3))))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the plain mean of all batches
    network.to(memory_format=torch.channels_last).train()
    network.dropout.eval()  # it would draw numbers
    seeds = range(FIRST, FIRST + pictures)
    for start in range(0, pictures, AT_ONCE):
        images = painted(seeds[start : start + AT_ONCE])
        large = functional.interpolate(images / 255, size=(299, 299), mode="bilinear")
        network((2 * large - 1).contiguous(memory_format=torch.channels_last))
    network.to(memory_format=torch.contiguous_format).eval()
    return torch.stack(seen).mean(dim=0)


@torch.no_grad()
def _tell_apart(classifier: Any, usual: Tensor) -> None:
    """Make logits of what differs from the usual features, or all pictures are of one class."""
    direction = usual / usual.norm()
    weight = classifier.weight
    weight -= torch.outer(weight @ direction, direction)
    weight *= CONTRAST / weight.std()


def painted(seeds: range) -> Tensor:
    """The painter's faces as images (N, 3, 64, 64) uint8."""
    rows = np.stack([np.asarray(paint(seed, SIZE)) for seed in seeds])
    return torch.from_numpy(rows).permute(0, 3, 1, 2)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", type=int, default=32)
    options: Any = parser.parse_args(arguments)
    content = standin_bytes(options.seed, options.pictures)
    write_atomically(options.out, content)
    print(f"{options.out}: sha256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
