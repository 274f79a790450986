"""Measures of avatars: digest, perceptual hashes, and measures of quality.

All come from sums of whole numbers, so that an image has the same ones in every batch.
"""

from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MEASURES_DTYPE = np.dtype(
    [
        ("digest", "u1", 32),
        ("dhash", "u8"),
        ("total", "u8", 3),
        ("squares", "u8", 3),
        ("contrast", "f4"),
        ("one_colour", "f4"),
        ("sharpness", "f4"),
        ("colour", "f4"),
    ]
)
"""Of one avatar: sha256 of its pixels, its dhash as a number, sums of levels and of their squares
a channel, and measures of its quality (NaN where not taken):

contrast    root of the mean variance of the three channels, in levels
one_colour  share of the pixels that are within NEAR levels of the median colour in each channel;
            pixels of one colour that are more than half of an image hold its median
sharpness   variance of the Laplacian (4 neighbours) of the luma (ITU-R 601), in levels squared
colour      mean of the distance between the largest and the smallest channel, in levels
"""

NEAR = 16
BATCH = 16  # images at a time: their intermediate values stay in the processor's cache

QUALITY_MEASURES = ("contrast", "one_colour", "sharpness", "colour")

_LEVELS = np.arange(256, dtype=np.int64)
_COSINES = np.cos(np.pi / 64 * np.outer(np.arange(8), 2 * np.arange(32) + 1))
"""The 8 lowest waves of the DCT-II of 32 values."""


def measure(images: NDArray[np.uint8], *, hashes: bool, quality: bool) -> NDArray[Any]:
    """Measure (n,S,S,3) uint8 images: (n,) of MEASURES_DTYPE.

    Without `hashes` dhash is 0; without `quality` the measures of quality are NaN.
    """
    result = np.zeros(len(images), MEASURES_DTYPE)
    for start in range(0, len(images), BATCH):
        batch = np.ascontiguousarray(images[start : start + BATCH])
        _measure_batch(batch, result[start : start + BATCH], hashes=hashes, quality=quality)
    return result


def phash(image: NDArray[np.uint8]) -> int:
    """Compute imagehash.phash of an (S,S,3) uint8 image, as a number of 64 bits.

    Without the import of scipy.fftpack, which takes longer than a thousand hashes.
    """
    small = Image.fromarray(image).convert("L").resize((32, 32), Image.Resampling.LANCZOS)
    low = _COSINES @ np.asarray(small, np.float64) @ _COSINES.T
    low = low.round(6)  # equal values may differ in the last bits by the order of additions
    bits = low > np.median(low)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _measure_batch(
    images: NDArray[np.uint8], result: NDArray[Any], *, hashes: bool, quality: bool
) -> None:
    for number, image in enumerate(images):
        result["digest"][number] = np.frombuffer(sha256(image.data).digest(), np.uint8)
    # Channel by channel: NumPy is slow where the last axis has three places.
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).reshape(len(images), 3, -1)
    counts = _histograms(planes)
    result["total"] = counts @ _LEVELS
    result["squares"] = counts @ _LEVELS**2
    if hashes or quality:
        luma = _luma(images)
    if hashes:
        result["dhash"] = _dhash(luma)
    if quality:
        pixels = planes.shape[2]
        spread = (pixels * result["squares"] - result["total"] ** 2).sum(axis=1)  # of 3 channels
        result["contrast"] = np.sqrt(spread / (3 * pixels**2))
        result["one_colour"] = _one_colour(planes, counts)
        result["sharpness"] = _sharpness(luma)
        result["colour"] = np.ptp(planes, axis=1).mean(axis=1)
    else:
        result[list(QUALITY_MEASURES)] = np.nan


def _histograms(planes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Number of pixels of each level, of (n,3,pixels): (n,3,256)."""
    count = len(planes)
    bins = np.arange(3 * count).reshape(count, 3, 1) * 256
    return np.bincount((planes + bins).ravel(), minlength=count * 768).reshape(count, 3, 256)


def _luma(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert all images to Pillow's mode "L", joined into one column."""
    count, height, width, _ = images.shape
    column = Image.fromarray(images.reshape(count * height, width, 3))
    return np.asarray(column.convert("L")).reshape(count, height, width)


def _dhash(luma: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Compute imagehash.dhash of (n,S,S), in a third of its time.

    The two passes of Pillow's filter, across and then down, run over all images at once.
    """
    count, height, width = luma.shape
    column = Image.fromarray(luma.reshape(count * height, width))
    narrow = np.asarray(column.resize((9, count * height), Image.Resampling.LANCZOS))
    row = Image.fromarray(
        narrow.reshape(count, height, 9).transpose(1, 0, 2).reshape(height, count * 9)
    )
    small = np.asarray(row.resize((count * 9, 8), Image.Resampling.LANCZOS)).reshape(8, count, 9)
    rises = (small[:, :, 1:] > small[:, :, :-1]).transpose(1, 0, 2)
    return np.packbits(rises.reshape(count, 64), axis=1).view(">u8")[:, 0].astype(np.uint64)


def _one_colour(planes: NDArray[np.uint8], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    median = (2 * counts.cumsum(axis=2) < planes.shape[2]).sum(axis=2, keepdims=True)
    low, high = (median - NEAR).clip(0), (median + NEAR).clip(max=255)
    # Levels under `low` wrap round to large ones.
    inside = planes - low.astype(np.uint8) <= (high - low).astype(np.uint8)
    return np.asarray(inside.all(axis=1).mean(axis=1))


def _sharpness(luma: NDArray[np.uint8]) -> NDArray[np.float64]:
    levels = luma.astype(np.int16)
    middle = 4 * levels[:, 1:-1, 1:-1]
    across = levels[:, 1:-1, :-2] + levels[:, 1:-1, 2:]
    down = levels[:, :-2, 1:-1] + levels[:, 2:, 1:-1]
    edges = (middle - across - down).reshape(len(luma), -1).astype(np.float64)
    # Whole numbers under 2**53: their sum is exact in any order.
    pixels = edges.shape[1]
    spread = pixels * np.vecdot(edges, edges) - edges.sum(axis=1) ** 2
    return np.asarray(spread / pixels**2)
