"""The file that holds an extractor's statistics of the real images, and what they belong to."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan.durable import replacing
from gan.errors import GanError
from gan.metrics.statistics import Statistics

ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
LABELS = ("extractor", "extractor_digest", "cache_digest")


@dataclass(frozen=True)
class Reference:
    """Statistics of each split of one tensor cache, seen by one extractor."""

    extractor: str
    extractor_digest: str
    cache_digest: str
    splits: Mapping[str, Statistics]

    def save(self, path: Path) -> None:
        """Write an .npz file at once or not at all; equal content gives equal bytes."""
        arrays: dict[str, NDArray[Any]] = {key: np.array(getattr(self, key)) for key in LABELS}
        arrays["splits"] = np.array(sorted(self.splits))
        for split, statistics in sorted(self.splits.items()):
            arrays[f"{split}.mean"] = statistics.mean
            arrays[f"{split}.covariance"] = statistics.covariance
            arrays[f"{split}.count"] = np.array(statistics.count, dtype=np.int64)
        _write_npz(path, arrays)

    @classmethod
    def load(cls, path: Path) -> "Reference":
        """Read a file that `save` wrote; GanError if it is absent or damaged."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                labels = {key: str(arrays[key]) for key in LABELS}
                names = [str(name) for name in arrays["splits"]]
                return cls(**labels, splits={name: _statistics(arrays, name) for name in names})
        except FileNotFoundError:
            raise GanError(f"{path}: no such file; run `gan reference`") from None
        except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            problem = " ".join(str(error).split())
            raise GanError(f"{path}: damaged ({problem}); run `gan reference` again") from None

    def check(self, cache_digest: str, extractor_digest: str) -> None:
        """Raise GanError unless these are statistics of that cache by that extractor."""
        for what, mine, theirs in (
            ("tensor cache", self.cache_digest, cache_digest),
            ("feature extractor", self.extractor_digest, extractor_digest),
        ):
            if mine != theirs:
                raise GanError(
                    f"{self.extractor}: the reference statistics are of another {what} "
                    f"({mine[:8]}, now {theirs[:8]}); run `gan reference` again"
                )


def _statistics(arrays: Mapping[str, NDArray[Any]], split: str) -> Statistics:
    mean, covariance = arrays[f"{split}.mean"], arrays[f"{split}.covariance"]
    if mean.ndim != 1 or covariance.shape != (mean.size, mean.size):
        raise ValueError(f"shapes {mean.shape} and {covariance.shape} do not match")
    return Statistics(mean, covariance, int(arrays[f"{split}.count"]))


def _write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    with replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
        for key, array in arrays.items():
            # np.savez leaves the date of an entry to zipfile, which may write today's
            entry = zipfile.ZipInfo(f"{key}.npy", ZIP_EPOCH)
            with archive.open(entry, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
