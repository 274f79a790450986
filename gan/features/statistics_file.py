"""Statistics of features as a file that pytorch-fid reads, and the reading of files it wrote."""

import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from gan.atomic import open_atomically
from gan.errors import GanError
from gan.features.statistics import Statistics

ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
SYMMETRIC = 1e-5  # of the largest entry: what float32 sums may differ by

DAMAGE = (EOFError, KeyError, TypeError, ValueError, RuntimeError, MemoryError)
"""What numpy and zipfile raise on damaged files, beside OSError and errors of their own."""

Labels = Mapping[str, str | int]


def save_statistics(path: Path, statistics: Statistics, labels: Labels | None = None) -> None:
    """Write `mu` (D,) and `sigma` (D, D), at once or not at all; equal content, equal bytes.

    `count`, if it is known, and `labels` stand beside them; pytorch-fid overlooks both. Raises
    GanError where the file can't be written.
    """
    arrays: dict[str, NDArray[Any]] = {"mu": statistics.mean, "sigma": statistics.covariance}
    if statistics.count is not None:
        arrays["count"] = np.array(statistics.count, dtype=np.int64)
    if labels:
        arrays["labels"] = np.array(json.dumps(dict(labels), sort_keys=True))
    with open_atomically(path) as file, zipfile.ZipFile(file, "w") as archive:
        for key, array in arrays.items():
            # np.savez leaves the date of an entry to zipfile, which may write today's
            entry = zipfile.ZipInfo(f"{key}.npy", ZIP_EPOCH)
            with archive.open(entry, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def load_statistics(path: Path) -> tuple[Statistics, Labels]:
    """Read statistics in float64, and the labels they were saved with, if any.

    A file of pytorch-fid has neither count (None then) nor labels. Raises GanError, one line,
    if the file is absent, not such an archive, or holds what no features can have.
    """
    with _opened(path) as arrays:
        mean, covariance = (_numbers(path, arrays, name) for name in ("mu", "sigma"))
        count, labels = _count(arrays), _labels(arrays)
    _check(path, mean, covariance)
    return Statistics(mean, covariance, count), labels


def read_labels(path: Path) -> Labels:
    """The labels alone, without reading the matrix; GanError as `load_statistics`."""
    with _opened(path) as arrays:
        return _labels(arrays)


@contextmanager
def _opened(path: Path) -> Iterator[NpzFile]:
    """An archive of arrays; what goes wrong while it is read is one line."""
    try:
        if not zipfile.is_zipfile(path):
            path.open("rb").close()  # absent, a folder or unreadable: the error says which
            raise GanError(f"{path}: not an .npz file of statistics, or cut off")
        with np.load(path, allow_pickle=False) as arrays:
            yield arrays
    except OSError as error:
        problem = error.strerror or " ".join(str(error).split())
        raise GanError(f"{path}: statistics cannot be read: {problem}") from None
    except (*DAMAGE, zipfile.BadZipFile, zlib.error) as error:
        problem = " ".join(str(error).split()) or type(error).__name__
        raise GanError(f"{path}: damaged statistics: {problem}") from None


def _numbers(path: Path, arrays: NpzFile, name: str) -> NDArray[np.float64]:
    if name not in arrays.files:
        there = ", ".join(sorted(arrays.files)) or "nothing"
        raise GanError(
            f"{path}: no array `{name}`, only {there}; give a file that "
            "`python -m pytorch_fid --save-stats` wrote"
        )
    array = arrays[name]
    if array.dtype.kind not in "fiu":
        raise GanError(f"{path}: `{name}` holds {array.dtype}, not numbers")
    return np.ascontiguousarray(array, dtype=np.float64)


def _count(arrays: NpzFile) -> int | None:
    """None also where another program means something else by the name."""
    count = _optional(arrays, "count")
    known = count.ndim == 0 and count.dtype.kind in "iu" and int(count) >= 2
    return int(count) if known else None


def _labels(arrays: NpzFile) -> Labels:
    try:
        labels = json.loads(str(_optional(arrays, "labels")))
    except json.JSONDecodeError:  # labels of another program
        return {}
    return labels if isinstance(labels, dict) else {}


def _optional(arrays: NpzFile, name: str) -> NDArray[Any]:
    """Zero where there is none, or one that only pickle could read."""
    try:
        found: NDArray[Any] = arrays[name]
    except (KeyError, ValueError):
        return np.array(0)
    return found


def _check(path: Path, mean: NDArray[np.float64], covariance: NDArray[np.float64]) -> None:
    if mean.ndim != 1 or mean.size == 0 or covariance.shape != (mean.size, mean.size):
        raise GanError(
            f"{path}: `mu` {mean.shape} and `sigma` {covariance.shape} are not a mean (D,) and "
            "its covariance (D, D)"
        )
    for name, array in (("mu", mean), ("sigma", covariance)):
        if not np.isfinite(array).all():
            raise GanError(f"{path}: `{name}` holds numbers that are not finite")
    if np.abs(covariance - covariance.T).max() > SYMMETRIC * np.abs(covariance).max():
        raise GanError(f"{path}: `sigma` is not symmetric, so it is no covariance")
    if covariance.diagonal().min() < 0:
        raise GanError(f"{path}: `sigma` has variances below zero, so it is no covariance")
