"""Random numbers as a function of (seed, stream, sample index): no state to save or restore.

A counter-based generator (SplitMix64's finaliser, Steele et al. 2014, over keyed counters). A
resumed training draws the same numbers as an uninterrupted one, several processes the same as a
single one, and a sample's numbers do not depend on its batch.
"""

import zlib

import numpy as np
import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15
_WRAP = 1 << 64


def _to_int64(value: int) -> int:
    """Reinterpret 64 bits as int64: torch has no arithmetic on uint64."""
    value %= _WRAP
    return value - _WRAP if value >= _WRAP // 2 else value


def _shift(bits: Tensor, count: int) -> Tensor:
    """Logical right shift: int64 >> copies the sign bit, which the mask removes."""
    return (bits >> count) & ((1 << (64 - count)) - 1)


def _mix(bits: Tensor) -> Tensor:
    bits = (bits ^ _shift(bits, 30)) * _to_int64(0xBF58476D1CE4E5B9)
    bits = (bits ^ _shift(bits, 27)) * _to_int64(0x94D049BB133111EB)
    return bits ^ _shift(bits, 31)


def _bits(seed: int, stream: str, samples: Tensor, width: int) -> Tensor:
    """64 random bits for each of `width` numbers of each sample: (n, width) int64."""
    # with a multiple of the seed, seed + 1 would give the same samples shifted by one
    start = int(_mix(torch.tensor(_to_int64(seed))))
    key = _to_int64(start + zlib.crc32(stream.encode()) * 0xD1342543DE82EF95 + 1)
    rows = _mix(samples.to(torch.int64) * _to_int64(_GOLDEN) + key)
    columns = torch.arange(1, width + 1, device=samples.device) * _to_int64(0xA0761D6478BD642F)
    return _mix(_mix(rows[:, None] + columns))


def uniform(seed: int, stream: str, samples: Tensor, width: int = 1) -> Tensor:
    """Uniform numbers in (0, 1): (n, width) float32 on the device of `samples` (n,) int64."""
    # 23 bits plus one half: never 0 or 1 in float32, so that its logarithm is finite
    return (_shift(_bits(seed, stream, samples, width), 41).float() + 0.5) * 2.0**-23


def normal(seed: int, stream: str, samples: Tensor, width: int) -> Tensor:
    """Standard normal numbers (Box and Muller 1958): (n, width) float32."""
    half = (width + 1) // 2
    first, second = uniform(seed, stream, samples, 2 * half).chunk(2, dim=1)
    radius = torch.sqrt(-2 * torch.log(first))
    angle = 2 * np.pi * second
    return torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)], dim=1)[:, :width]


def permutation(seed: int, stream: str, epoch: int, count: int) -> np.ndarray:
    """Random order of `count` items in an epoch: (count,) int64."""
    key = [seed, zlib.crc32(stream.encode()), epoch]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key))).permutation(count)
