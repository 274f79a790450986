"""Sliced Wasserstein distance of patches from Laplacian pyramids: textures, scale by scale.

Karras et al. 2018 (arXiv:1710.10196), section 5. No network is in it, so none that a generator
could have been trained or chosen to please. Patches of each set are normalised by that set's own
mean and deviation, as in the paper: a change of the whole set's colours or contrast is not seen.
"""

import hashlib

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from gan.errors import GanError
from gan.features.statistics import Features
from gan.metrics.descriptors import MAX_PICTURES
from gan.metrics.metric import (
    Descriptor,
    Metric,
    Number,
    Size,
    check_features,
    not_finite_error,
    subsample,
)

SIDES = (16, 24, 32, 48, 64, 96, 128, 192, 256)  # of images, and so of levels
COARSEST = 16  # least side of a level
PATCH = 7
PATCHES = 8  # of a level of an image; the paper has 128, and so less noise
CELLS = 3 * PATCH**2
DIRECTIONS = 128  # the paper: 512
SEED = 2018
BLOCK = 32  # directions sorted at once
PIXELS = 1 << 18  # of images whose pyramids are made at once: more don't fit into a CPU's cache
SCALE = 1000  # the paper's unit: thousandths of a deviation
PROTOCOL = (
    f"pixels: uint8, at most {MAX_PICTURES} images a side, evenly spaced, as many of both; "
    f"Laplacian pyramid by [1 4 6 4 1]/16 with mirrored edges, down to {COARSEST} px; {PATCHES} "
    f"patches of {PATCH}x{PATCH} a level, placed by its shake_128; normalised by channel; "
    f"{DIRECTIONS} directions of RandomState({SEED}); 1-Wasserstein x{SCALE}, mean over "
    "directions, then levels"
)

Floats = NDArray[np.floating]


def wasserstein_distance(a: Floats, b: Floats) -> float:
    """Mean 1-Wasserstein distance of a (N, D) and b (N, D), projected onto 128 fixed directions.

    In the unit of the entries, which are not normalised here. Raises GanError for unequal shapes
    and for entries that are not finite.
    """
    check_features(a, b, least=1, purpose="sliced Wasserstein distance")
    if len(a) != len(b):
        counts = f"{len(a)} against {len(b)}"
        raise GanError(f"sliced Wasserstein distance: {counts} vectors; give as many of both")
    directions = np.random.RandomState(SEED).randn(DIRECTIONS, a.shape[1])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    distances = [
        np.abs(_sort_projections(a, block) - _sort_projections(b, block)).mean(dtype=float)
        for block in np.split(directions.astype(a.dtype), DIRECTIONS // BLOCK)
    ]
    if not np.isfinite(distances).all():
        raise not_finite_error()
    return float(np.mean(distances))


def _sort_projections(vectors: Floats, directions: Floats) -> Floats:
    """Projections (n, N) onto n directions, ascending: two such rows are an optimal transport."""
    projections: Floats = directions @ vectors.T
    projections.sort(axis=1)
    return projections


def laplacian_pyramid(images: Floats, levels: int) -> list[Floats]:
    """Levels of images (n, 3, H, W), the finest first; H and W are even on all but the last.

    A level is the detail that the next one lacks, the last is the blurred image itself; adding
    each to the next, enlarged, gives the image again. Burt and Adelson 1983.
    """
    pyramid = []
    for _ in range(levels - 1):
        smaller = _shrink(_shrink(images, 2), 3)
        pyramid.append(images - enlarge(smaller))
        images = smaller
    return [*pyramid, images]


def _shrink(images: Floats, axis: int) -> Floats:
    """Blur along an axis by [1 4 6 4 1] / 16, mirrored at the edges; keep every other pixel."""
    x = np.moveaxis(images, axis, -1)
    x = np.concatenate([x[..., 2:0:-1], x, x[..., -2:-3:-1]], axis=-1)
    side = images.shape[axis]
    near = x[..., 1 : side + 1 : 2] + x[..., 3 : side + 3 : 2]
    far = x[..., 0:side:2] + x[..., 4 : side + 4 : 2]
    blurred: Floats = (far + 4 * near + 6 * x[..., 2 : side + 2 : 2]) / 16
    return np.moveaxis(blurred, -1, axis)


def enlarge(images: Floats) -> Floats:
    """Images of twice the height and width: zeros between the pixels, and four times the blur."""
    for axis in (2, 3):
        x = np.moveaxis(images, axis, -1)
        x = np.concatenate([x[..., 1:2], x, x[..., -1:]], axis=-1)
        even = (x[..., :-2] + 6 * x[..., 1:-1] + x[..., 2:]) / 8
        odd = (x[..., 1:-1] + x[..., 2:]) / 2
        both = np.stack([even, odd], axis=-1).reshape(*even.shape[:-1], -1)
        images = np.moveaxis(both, -1, axis)
    return images


def _describe(images: NDArray[np.uint8], sides: list[int]) -> Features:
    """Patches (n, levels * PATCHES * CELLS) of images (n, 3, H, W), the finest level first."""
    draws = len(sides) * PATCHES * 2
    bits = [hashlib.shake_128(image.tobytes()).digest(4 * draws) for image in images]
    places = np.frombuffer(b"".join(bits), "<u4").reshape(len(images), len(sides), PATCHES, 2)
    rows = np.arange(len(images))[:, None]
    vectors = []
    for index, level in enumerate(laplacian_pyramid(images.astype(np.float32), len(sides))):
        windows = sliding_window_view(level, (PATCH, PATCH), axis=(2, 3))
        y, x = np.moveaxis(places[:, index] % np.uint32(windows.shape[2]), -1, 0)
        vectors.append(windows[rows, :, y, x].reshape(len(images), -1))
    return np.concatenate(vectors, axis=1)


def _compare(real: Features, fake: Features, sides: list[int]) -> dict[str, float]:
    """Distance of each level, by the names of the numbers, and the mean of all."""
    check_features(real, fake, least=1, purpose="sliced Wasserstein distance")
    count = min(len(real), len(fake))
    sets = [subsample(each, count) for each in (real, fake)]
    values = {}
    for index, side in enumerate(sides):
        columns = slice(index * PATCHES * CELLS, (index + 1) * PATCHES * CELLS)
        patches = (normalise(each[:, columns].reshape(-1, 3, PATCH**2)) for each in sets)
        values[f"sliced_wasserstein_{side}"] = SCALE * wasserstein_distance(*patches)
    return {"sliced_wasserstein": float(np.mean(list(values.values()))), **values}


def normalise(patches: Features) -> Features:
    """Patches (N, 3, cells) less each channel's mean over the set, over its deviation; flattened.

    A channel without any deviation stays at 0.
    """
    mean = patches.mean(axis=(0, 2), keepdims=True, dtype=np.float64)
    deviation = patches.std(axis=(0, 2), keepdims=True, dtype=np.float64)
    scale = np.where(deviation > 0, deviation, 1).astype(np.float32)
    normal: Features = (patches - mean.astype(np.float32)) / scale
    return normal.reshape(len(patches), -1)


def patches_of(size: Size) -> Descriptor:
    """The descriptor of images of a size; GanError unless they are square, of a side in SIDES."""
    height, width = size
    if height != width or height not in SIDES:
        allowed = ", ".join(map(str, SIDES))
        raise GanError(f"images of {width}x{height} pixels; it takes squares of {allowed} pixels")
    sides, part = [height], max(1, PIXELS // height**2)
    while sides[-1] // 2 >= COARSEST:
        sides.append(sides[-1] // 2)
    return Descriptor(
        "patches",
        len(sides) * PATCHES * CELLS,
        PROTOCOL,
        lambda images: np.concatenate(
            [
                _describe(images[start : start + part], sides)
                for start in range(0, len(images), part)
            ]
        ),
        lambda real, fake: _compare(real, fake, sides),
    )


PAPER = "Karras et al. 2018, arXiv:1710.10196"
MEAN = Number(
    "sliced_wasserstein",
    "Sliced Wasserstein distance",
    "lower",
    "Distance between 7x7 patches of fakes and of real images, in thousandths of a deviation: the "
    "mean over the levels of a Laplacian pyramid. No network is in it.",
    PAPER,
    prefix="swd",
    rank=8,
    chief=True,
    extractor="patches",
)
METRIC = Metric(
    (
        MEAN,
        *(
            Number(
                f"sliced_wasserstein_{side}",
                f"Sliced Wasserstein distance at {side} px",
                "lower",
                "The same of one level: details that an image needs to be that large, or of the "
                "smallest level the blurred image itself.",
                PAPER,
                prefix=f"swd_{side}px",
                extractor="patches",
            )
            for side in SIDES
        ),
    ),
    biased=True,
    max_fakes=MAX_PICTURES,
    pixels=patches_of,
)
