"""One entry of a feature store on disk: whole, absent or damaged, and the lock that guards it.

`<stem>.npy` holds features, `<stem>.npz` their statistics, with the hash of the former among its
labels. The second is written last, so that a kill at any moment leaves no entry that looks whole.
"""

import hashlib
import io
import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from gan.atomic import open_atomically
from gan.errors import GanError
from gan.features.extraction import Features, FeatureSet
from gan.features.statistics import Statistics, statistics_of
from gan.features.statistics_file import Labels, load_statistics, read_labels, save_statistics
from pipeline.features.lock import alone, alone_now, in_use

FEATURES_SHA256 = "features_sha256"
COPIED_AT_ONCE = 4096  # rows
STEM = re.compile(r"\.?([0-9a-f]{32})\.")


class DamagedError(Exception):
    """An entry that is not what was written; the text says why."""


@dataclass(frozen=True)
class Entry:
    """Where features with one key lie, or will."""

    folder: Path
    stem: str

    @property
    def features(self) -> Path:
        return self.folder / f"{self.stem}.npy"

    @property
    def statistics(self) -> Path:
        return self.folder / f"{self.stem}.npz"

    @property
    def _lock(self) -> Path:
        return self.folder / f"{self.stem}.lock"

    @property
    def _files(self) -> list[Path]:
        """All but the lock, also what a kill left; the statistics first."""
        found = [*self.folder.glob(f"{self.stem}.np?"), *self.folder.glob(f".{self.stem}.*")]
        return sorted(found, key=lambda path: path != self.statistics)

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return sum(path.stat().st_size for path in self._files)

    def read(self, key: str) -> FeatureSet | None:
        """The features, mapped read-only; None if there are none, or of another key.

        Reads every byte. Raises DamagedError.
        """
        if not self.statistics.exists():
            return None
        try:
            statistics, labels = load_statistics(self.statistics)
        except GanError as error:
            raise DamagedError(str(error)) from None
        if labels.get("key") != key:
            return None
        if _sha256(self.features) != labels.get(FEATURES_SHA256):
            raise DamagedError(f"{self.features}: absent, or not as it was written")
        return FeatureSet(statistics, _mapped(self.features))

    @contextmanager
    def drafted(self, count: int, dimensions: int) -> Iterator[Features]:
        """Rows to fill, on the disk; they are the features file when the block ends well.

        Their room is taken at once: where a mapped page finds the disk full, the process dies.
        Raises GanError if there is no room.
        """
        with open_atomically(self.features) as stream:
            stream.write(_header(count, dimensions))
            start, length = stream.tell(), 4 * count * dimensions
            _reserve(stream, length)
            shape = (count, dimensions)
            rows = np.memmap(stream.name, np.float32, mode="r+", offset=start, shape=shape)
            yield rows
            rows.flush()

    def copy(self, seen: FeatureSet, labels: Labels) -> None:
        """Write an entry of features that are known; equal content gives equal bytes."""
        rows = seen.vectors
        with open_atomically(self.features) as stream:
            stream.write(_header(*rows.shape))
            for start in range(0, len(rows), COPIED_AT_ONCE):
                stream.write(np.ascontiguousarray(rows[start : start + COPIED_AT_ONCE]).data)
        self._complete(seen.statistics, labels)

    def complete(self, labels: Labels) -> FeatureSet:
        """Write the statistics of the features that are there: from now on the entry is whole."""
        features = _mapped(self.features)
        statistics = statistics_of(features)
        self._complete(statistics, labels)
        return FeatureSet(statistics, features)

    def _complete(self, statistics: Statistics, labels: Labels) -> None:
        signed = {**labels, FEATURES_SHA256: _sha256(self.features)}
        save_statistics(self.statistics, statistics, signed)

    def clear(self) -> None:
        """Remove everything but the lock."""
        for path in self._files:
            path.unlink(missing_ok=True)

    def described(self) -> str:
        """What it is of, in a line for a reader."""
        try:
            labels = read_labels(self.statistics)
        except GanError:
            return "unfinished or damaged"
        return f"{labels.get('extractor')} of {labels.get('what')}"

    def alone(self) -> AbstractContextManager[None]:
        """Hold the entry for this process; waits for another one, and says so after a second.

        Raises OSError where no lock can be made.
        """
        return alone(self._lock, "features are being computed by another process; waiting for it")

    def in_use(self) -> bool:
        """Whether a process computes or looks for it right now."""
        return in_use(self._lock)

    def remove(self) -> bool:
        """Remove it, lock included; False if a process holds it."""
        with alone_now(self._lock) as mine:
            if mine:
                self.clear()
                self._lock.unlink()
        return mine


def entries(folder: Path) -> list[Entry]:
    """All that lies in a local store, also what was never finished."""
    names = (path.name for path in folder.iterdir()) if folder.is_dir() else ()
    stems = {match[1] for name in names if (match := STEM.match(name))}
    return [Entry(folder, stem) for stem in sorted(stems)]


def _header(count: int, dimensions: int) -> bytes:
    """The beginning of an .npy file of (count, dimensions) float32."""
    buffer = io.BytesIO()
    described = {"descr": "<f4", "fortran_order": False, "shape": (count, dimensions)}
    npy.write_array_header_1_0(buffer, described)
    return buffer.getvalue()


def _reserve(stream: IO[bytes], length: int) -> None:
    """Have `length` more bytes in the file, none of which can be refused later."""
    stream.flush()
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(stream.fileno(), stream.tell(), length)
        return
    for start in range(0, length, 1 << 20):
        stream.write(bytes(min(1 << 20, length - start)))
    stream.flush()


def _mapped(path: Path) -> Features:
    try:
        features: Features = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DamagedError(f"{path}: {error}") from None
    return features


def _sha256(path: Path) -> str:
    """Empty if the file can't be read."""
    with suppress(OSError), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
    return ""
