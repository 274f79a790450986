"""Mean and covariance of features, in float64, and as a file in pytorch-fid's format (.npz)."""

import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from gan.atomic import open_atomically
from gan.errors import GanError

Array = NDArray[np.float64]

Features = NDArray[np.float32]
"""(N, D), in memory or a memory map; row i belongs to image i."""

ROWS = 1024  # feature vectors added at once
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
SYMMETRY_TOLERANCE = 1e-5  # of the largest entry, for covariances summed in float32

DAMAGE_ERRORS = (EOFError, KeyError, TypeError, ValueError, RuntimeError, MemoryError)
"""Errors that numpy and zipfile raise on damaged files, beside OSError and their own."""

Labels = Mapping[str, str | int]


@dataclass(frozen=True)
class Statistics:
    """Mean and covariance of `count` feature vectors.

    mean (D,) float64; covariance (D, D) float64, unbiased (divided by count - 1). count is None
    if a file of another program does not hold it.
    """

    mean: Array
    covariance: Array
    count: int | None


@dataclass(frozen=True)
class FeatureSet:
    """Features of one set of images by one extractor, and their statistics.

    features is None if only statistics are known, as of a file that another program wrote.
    """

    statistics: Statistics
    features: Features | None

    @property
    def vectors(self) -> Features:
        """The feature vectors (N, D); ValueError if only statistics are known."""
        if self.features is None:
            raise ValueError("only mean and covariance are known")
        return self.features

    @property
    def count(self) -> int:
        """Number of images; ValueError if it is unknown."""
        if self.statistics.count is None:
            raise ValueError("the number of these images is unknown")
        return self.statistics.count


def statistics_of(features: Features) -> Statistics:
    """Statistics of features (N, D), read ROWS at a time; GanError if N is less than two.

    The fixed step makes equal features give equal statistics, to the bit. Parts are centred before
    they are merged (Chan, Golub and LeVeque 1979), so that features far from zero lose no digits.
    """
    if len(features) < 2:
        raise GanError(f"{len(features)} images have no covariance; give at least 2")
    count, mean = 0, np.zeros(features.shape[1])
    scatter = np.zeros((mean.size, mean.size))
    for start in range(0, len(features), ROWS):
        part = np.array(features[start : start + ROWS], dtype=np.float64, order="C")
        part_mean = part.mean(axis=0)
        centred, shift = part - part_mean, part_mean - mean
        total = count + len(part)
        scatter += centred.T @ centred
        scatter += np.outer(shift, shift) * (count * len(part) / total)
        mean += shift * (len(part) / total)
        count = total
    return Statistics(mean, scatter / (count - 1), count)


def save_statistics(path: Path, statistics: Statistics, labels: Labels | None = None) -> None:
    """Write `mu` (D,) and `sigma` (D, D) atomically; equal content gives equal bytes.

    `count`, if known, and `labels` are stored beside them; pytorch-fid ignores both. Raises
    GanError if the file can't be written.
    """
    arrays: dict[str, NDArray[Any]] = {"mu": statistics.mean, "sigma": statistics.covariance}
    if statistics.count is not None:
        arrays["count"] = np.array(statistics.count, dtype=np.int64)
    if labels:
        arrays["labels"] = np.array(json.dumps(dict(labels), sort_keys=True))
    with open_atomically(path) as file, zipfile.ZipFile(file, "w") as archive:
        for key, array in arrays.items():
            # np.savez would let zipfile write today's date
            entry = zipfile.ZipInfo(f"{key}.npy", ZIP_EPOCH)
            with archive.open(entry, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def load_statistics(path: Path) -> tuple[Statistics, Labels]:
    """Read statistics in float64, and their labels, if any.

    A file that pytorch-fid wrote has neither a count (then None) nor labels. Raises GanError if
    the file is absent, not such an archive, or does not hold a mean and its covariance.
    """
    with _open(path) as arrays:
        mean, covariance = (_read_floats(path, arrays, name) for name in ("mu", "sigma"))
        count, labels = _count(arrays), _labels(arrays)
    _check(path, mean, covariance)
    return Statistics(mean, covariance, count), labels


def read_labels(path: Path) -> Labels:
    """Read the labels only, without the matrix; GanError as `load_statistics`."""
    with _open(path) as arrays:
        return _labels(arrays)


@contextmanager
def _open(path: Path) -> Iterator[NpzFile]:
    """Open an archive of arrays; errors in the block become GanError."""
    try:
        if not zipfile.is_zipfile(path):
            path.open("rb").close()  # an OSError if it is absent, a folder or unreadable
            raise GanError(f"{path}: not an .npz file of statistics, or cut off")
        with np.load(path, allow_pickle=False) as arrays:
            yield arrays
    except OSError as error:
        problem = error.strerror or " ".join(str(error).split())
        raise GanError(f"{path}: statistics cannot be read: {problem}") from None
    except (*DAMAGE_ERRORS, zipfile.BadZipFile, zlib.error) as error:
        problem = " ".join(str(error).split()) or type(error).__name__
        raise GanError(f"{path}: damaged statistics: {problem}") from None


def _read_floats(path: Path, arrays: NpzFile, name: str) -> NDArray[np.float64]:
    if name not in arrays.files:
        names = ", ".join(sorted(arrays.files)) or "nothing"
        raise GanError(
            f"{path}: no array `{name}`, only {names}; give a file that "
            "`python -m pytorch_fid --save-stats` wrote"
        )
    array = arrays[name]
    if array.dtype.kind not in "fiu":
        raise GanError(f"{path}: `{name}` holds {array.dtype}, not numbers")
    return np.ascontiguousarray(array, dtype=np.float64)


def _count(arrays: NpzFile) -> int | None:
    """The array `count`; None if it is absent or another program's."""
    count = _optional(arrays, "count")
    known = count.ndim == 0 and count.dtype.kind in "iu" and int(count) >= 2
    return int(count) if known else None


def _labels(arrays: NpzFile) -> Labels:
    try:
        labels = json.loads(str(_optional(arrays, "labels")))
    except json.JSONDecodeError:  # another program's array of this name
        return {}
    return labels if isinstance(labels, dict) else {}


def _optional(arrays: NpzFile, name: str) -> NDArray[Any]:
    """An array; zero if it is absent or needs pickle."""
    try:
        array: NDArray[Any] = arrays[name]
    except (KeyError, ValueError):
        return np.array(0)
    return array


def _check(path: Path, mean: NDArray[np.float64], covariance: NDArray[np.float64]) -> None:
    if mean.ndim != 1 or mean.size == 0 or covariance.shape != (mean.size, mean.size):
        raise GanError(
            f"{path}: `mu` {mean.shape} and `sigma` {covariance.shape} are not a mean (D,) and "
            "its covariance (D, D)"
        )
    for name, array in (("mu", mean), ("sigma", covariance)):
        if not np.isfinite(array).all():
            raise GanError(f"{path}: `{name}` holds numbers that are not finite")
    if np.abs(covariance - covariance.T).max() > SYMMETRY_TOLERANCE * np.abs(covariance).max():
        raise GanError(f"{path}: `sigma` is not symmetric, so it is no covariance")
    if covariance.diagonal().min() < 0:
        raise GanError(f"{path}: `sigma` has variances below zero, so it is no covariance")
