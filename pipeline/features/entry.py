"""One entry of a feature store on disk: its files, and the lock that guards them.

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
from pipeline.features.lock import hold_lock, is_locked, try_lock

FEATURES_SHA256 = "features_sha256"
COPY_CHUNK = 4096  # feature vectors
STEM = re.compile(r"\.?([0-9a-f]{32})\.")


class DamagedError(Exception):
    """An entry whose files are not as they were written; the text names the file and the fault."""


@dataclass(frozen=True)
class Entry:
    """Files of the features with one key, whether they exist yet or not."""

    folder: Path
    stem: str

    @property
    def features(self) -> Path:
        return self.folder / f"{self.stem}.npy"

    @property
    def statistics(self) -> Path:
        return self.folder / f"{self.stem}.npz"

    @property
    def _lock_file(self) -> Path:
        return self.folder / f"{self.stem}.lock"

    @property
    def _files(self) -> list[Path]:
        """All files but the lock, also partial ones that a kill left; the statistics first."""
        found = [*self.folder.glob(f"{self.stem}.np?"), *self.folder.glob(f".{self.stem}.*")]
        return sorted(found, key=lambda path: path != self.statistics)

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return sum(path.stat().st_size for path in self._files)

    def read(self, key: str) -> FeatureSet | None:
        """Map the features read-only; None if there are none, or those of another key.

        Verifies every byte. Raises DamagedError.
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
        return FeatureSet(statistics, _map(self.features))

    @contextmanager
    def create_features(self, count: int, dimensions: int) -> Iterator[Features]:
        """Yield a mapped array (count, dimensions) to fill; the features file if all goes well.

        Its bytes are allocated first: where a mapped page finds the disk full, the process dies.
        Raises GanError if the disk has no room.
        """
        with open_atomically(self.features) as stream:
            stream.write(_header(count, dimensions))
            start, length = stream.tell(), 4 * count * dimensions
            _reserve(stream, length)
            shape = (count, dimensions)
            array = np.memmap(stream.name, np.float32, mode="r+", offset=start, shape=shape)
            yield array
            array.flush()

    def write(self, features: FeatureSet, labels: Labels) -> None:
        """Write a whole entry; equal content gives equal bytes."""
        vectors = features.vectors
        with open_atomically(self.features) as stream:
            stream.write(_header(*vectors.shape))
            for start in range(0, len(vectors), COPY_CHUNK):
                stream.write(np.ascontiguousarray(vectors[start : start + COPY_CHUNK]).data)
        self._save_statistics(features.statistics, labels)

    def finish(self, labels: Labels) -> FeatureSet:
        """Write the statistics of the features file, which makes the entry whole."""
        features = _map(self.features)
        statistics = statistics_of(features)
        self._save_statistics(statistics, labels)
        return FeatureSet(statistics, features)

    def _save_statistics(self, statistics: Statistics, labels: Labels) -> None:
        signed = {**labels, FEATURES_SHA256: _sha256(self.features)}
        save_statistics(self.statistics, statistics, signed)

    def clear(self) -> None:
        """Remove everything but the lock."""
        for path in self._files:
            path.unlink(missing_ok=True)

    def describe(self) -> str:
        """Compose one line: extractor and images."""
        try:
            labels = read_labels(self.statistics)
        except GanError:
            return "unfinished or damaged"
        return f"{labels.get('extractor')} of {labels.get('what')}"

    def lock(self) -> AbstractContextManager[None]:
        """Hold the entry's lock; waits for another process, with a message after a second.

        Raises OSError where the lock file can't be created.
        """
        return hold_lock(
            self._lock_file, "features are being computed by another process; waiting for it"
        )

    def is_locked(self) -> bool:
        """Return whether a process is computing or reading the entry."""
        return is_locked(self._lock_file)

    def remove(self) -> bool:
        """Remove all files and the lock; False if a process holds the lock."""
        with try_lock(self._lock_file) as locked:
            if locked:
                self.clear()
                self._lock_file.unlink()
        return locked


def list_entries(folder: Path) -> list[Entry]:
    """List the entries of a local store, also unfinished ones."""
    names = (path.name for path in folder.iterdir()) if folder.is_dir() else ()
    stems = {match[1] for name in names if (match := STEM.match(name))}
    return [Entry(folder, stem) for stem in sorted(stems)]


def _header(count: int, dimensions: int) -> bytes:
    """Header of an .npy file of (count, dimensions) float32."""
    buffer = io.BytesIO()
    content = {"descr": "<f4", "fortran_order": False, "shape": (count, dimensions)}
    npy.write_array_header_1_0(buffer, content)
    return buffer.getvalue()


def _reserve(stream: IO[bytes], length: int) -> None:
    """Allocate `length` more bytes, so that no later write finds the disk full."""
    stream.flush()
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(stream.fileno(), stream.tell(), length)
        return
    for start in range(0, length, 1 << 20):
        stream.write(bytes(min(1 << 20, length - start)))
    stream.flush()


def _map(path: Path) -> Features:
    try:
        features: Features = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DamagedError(f"{path}: {error}") from None
    return features


def _sha256(path: Path) -> str:
    """Hex digest of a file, empty if it can't be read."""
    with suppress(OSError), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
    return ""
