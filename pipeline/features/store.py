"""Features of real images that were computed before: keyed by content, safe under parallel runs.

Two folders: `exported`, an artefact of the reference stage, and a local one, where all others are
kept until `gan clean --remove`. An entry's key is a digest of the images and of the extractor,
never a name; so an entry stays valid for ever, and changed data need no invalidation.

`<stem>.npy` holds features, `<stem>.npz` their statistics, with the hash of the former among its
labels. The second is written last, so that a kill at any moment leaves no entry that looks whole.
"""

import errno
import hashlib
import json
import math
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from numpy.lib import format as npy

from gan.atomic import open_atomically
from gan.errors import GanError
from gan.features.extraction import extract_features
from gan.features.extractor import Extractor
from gan.features.statistics import (
    Features,
    FeatureSet,
    Labels,
    load_statistics,
    read_labels,
    save_statistics,
    statistics_of,
)
from pipeline.code_digest import code_digest
from pipeline.console import say, track, warn
from pipeline.features.sources import ImageSource
from pipeline.paths import sha256_of

FORMAT = 1
FEATURES_SHA256 = "features_sha256"
STEM = re.compile(r"\.?([0-9a-f]{32})\.")
SILENT_S = 1.0  # of waiting for another process, before a message
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


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
    def _lock(self) -> FileLock:
        return FileLock(self.folder / f"{self.stem}.lock", thread_local=False)

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

        Verifies every byte. Raises GanError, naming the file, if one is not as it was written.
        """
        if not self.statistics.exists():
            return None
        statistics, labels = load_statistics(self.statistics)
        if labels.get("key") != key:
            return None
        try:
            whole = sha256_of(self.features) == labels.get(FEATURES_SHA256)
        except OSError:
            whole = False
        if not whole:
            raise GanError(f"{self.features}: absent, or not as it was written")
        return FeatureSet(statistics, np.load(self.features, mmap_mode="r"))

    def finish(self, labels: Labels) -> FeatureSet:
        """Write the statistics of the features file, which makes the entry whole."""
        features: Features = np.load(self.features, mmap_mode="r")
        statistics = statistics_of(features)
        signed = {**labels, FEATURES_SHA256: sha256_of(self.features)}
        save_statistics(self.statistics, statistics, signed)
        return FeatureSet(statistics, features)

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

    @contextmanager
    def lock(self, *, wait: bool = True) -> Iterator[bool]:
        """Hold the entry's lock; yields whether it was free, if `wait` is false.

        Waits for another process with a message after a second.
        """
        with ExitStack() as held:
            try:
                held.enter_context(self._lock.acquire(SILENT_S if wait else 0))
            except Timeout:
                if not wait:
                    yield False
                    return
                say("features are being computed by another process; waiting for it")
                held.enter_context(self._lock.acquire())
            yield True

    def remove(self) -> bool:
        """Remove all files and the lock; False if a process computes or reads the entry."""
        with self.lock(wait=False) as free:
            if free:
                self.clear()
                Path(self._lock.lock_file).unlink()
        return free

    def is_locked(self) -> bool:
        """Return whether a process is computing or reading the entry."""
        if not Path(self._lock.lock_file).exists():
            return False
        with self.lock(wait=False) as free:
            return not free


def list_entries(folder: Path) -> list[Entry]:
    """List the entries of a local store, also unfinished ones."""
    names = (path.name for path in folder.iterdir()) if folder.is_dir() else ()
    stems = {match[1] for name in names if (match := STEM.match(name))}
    return [Entry(folder, stem) for stem in sorted(stems)]


class FeatureStore:
    """Reads the features of a source, and computes those that are missing."""

    def __init__(self, folder: Path, exported: Path) -> None:
        """`folder` is created when needed; one in its place goes with the process if it can't."""
        self._folder = folder
        self._exported = exported

    def get(
        self, source: ImageSource, extractors: Sequence[Extractor], batch_size: int
    ) -> list[FeatureSet]:
        """Return the features of a source's images by each extractor, read-only.

        One pass over the images computes all that are missing, whatever their number. Raises
        GanError if a file that `gan reference` wrote is damaged, or if the disk is full.
        """
        found = {}
        for each in extractors:
            try:
                features = self._entry_to_export(source, each).read(entry_key(source, each))
            except GanError as error:
                raise GanError(f"{error}; run `gan reference` again") from None
            if features:
                found[each.digest] = features
        rest = [each for each in extractors if each.digest not in found]
        found |= self._get_local(source, rest, batch_size)
        return [found[each.digest] for each in extractors]

    def export(
        self, source: ImageSource, extractors: Sequence[Extractor], batch_size: int
    ) -> list[Path]:
        """Write features and statistics of a source to the exported folder; returns the files.

        Equal images and extractors give files of equal bytes.
        """
        self._get_local(source, extractors, batch_size)
        files: list[Path] = []
        for extractor in extractors:
            entry = self._entry_to_export(source, extractor)
            with (
                self._entry(entry_key(source, extractor)).features.open("rb") as kept,
                open_atomically(entry.features) as copy,
            ):
                shutil.copyfileobj(kept, copy)
            entry.finish(_labels(source, extractor))
            files += (entry.features, entry.statistics)
        return files

    def _entry_to_export(self, source: ImageSource, extractor: Extractor) -> Entry:
        precision = "" if extractor.precision == "float32" else f"-{extractor.precision}"
        return Entry(self._exported, f"{extractor.name}{precision}-{source.tag}")

    def _entry(self, key: str) -> Entry:
        return Entry(self._folder, key[:32])

    def _get_local(
        self, source: ImageSource, extractors: Sequence[Extractor], batch_size: int
    ) -> dict[str, FeatureSet]:
        """Read or compute features; returns them by the extractors' digests."""
        wanted = {entry_key(source, each): each for each in extractors}
        self._make_folder()
        found: dict[str, FeatureSet] = {}
        with ExitStack() as locks:
            for key in sorted(wanted):  # in one order, or two processes wait for each other
                entry = self._entry(key)
                locks.enter_context(entry.lock())
                try:
                    features = entry.read(key)
                except GanError as error:
                    warn(f"{error}; computed again")
                    features = None
                if features:
                    found[wanted[key].digest] = features
            missing = {key: each for key, each in wanted.items() if each.digest not in found}
            return found | (self._compute(source, missing, batch_size) if missing else {})

    def _make_folder(self) -> None:
        """Create the folder; GanError if the disk is full."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._folder):
                pass
        except OSError as error:
            if error.errno in DISK_FULL:
                raise GanError(
                    f"{self._folder}: {error.strerror}; free some, perhaps by `gan clean --remove`"
                ) from None
            warn(f"{self._folder}: {error.strerror}; features are not kept")
            self._temporary = tempfile.TemporaryDirectory(prefix="gan-features-")
            self._folder = Path(self._temporary.name)

    def _compute(
        self, source: ImageSource, missing: Mapping[str, Extractor], batch_size: int
    ) -> dict[str, FeatureSet]:
        extractors = list(missing.values())
        with ExitStack() as files:
            arrays = []
            for key, each in missing.items():
                self._entry(key).clear()
                file = _create_features(self._entry(key).features, (len(source), each.dimensions))
                arrays.append(files.enter_context(file))
            title = f"{', '.join(each.name for each in extractors)}: {source.description}, batches"
            total = math.ceil(len(source) / batch_size)
            extract_features(track(source.batches(batch_size), title, total), extractors, arrays)
        return {
            each.digest: self._entry(key).finish(_labels(source, each))
            for key, each in missing.items()
        }


def entry_key(source: ImageSource, extractor: Extractor) -> str:
    """Return a hex digest of all that decides features: images, weights, protocol, and code."""
    code = [_digest_code("gan.features.extraction"), _digest_code(type(extractor).__module__)]
    decides = [FORMAT, source.digest, len(source), extractor.digest, code]
    return hashlib.sha256(json.dumps(decides).encode()).hexdigest()


@cache
def _digest_code(module: str) -> str:
    """Digest all that a module of this project imports: a fix there invalidates features."""
    return code_digest(module.replace(".", "/") + ".py") if module.startswith("gan.") else ""


def _labels(source: ImageSource, extractor: Extractor) -> Labels:
    return {
        "key": entry_key(source, extractor),
        "extractor": extractor.name,
        "extractor_digest": extractor.digest,
        "protocol": extractor.protocol,
        "what": source.description,
    }


@contextmanager
def _create_features(path: Path, shape: tuple[int, int]) -> Iterator[Features]:
    """Yield a mapped array (images, features) to fill; the file if all goes well.

    Its bytes are allocated first: where a mapped page finds the disk full, the process dies.
    Raises GanError if the disk has no room.
    """
    with open_atomically(path) as stream:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(stream, header)
        start = stream.tell()
        for _ in range(shape[0]):
            stream.write(bytes(4 * shape[1]))
        stream.flush()
        array = np.memmap(stream.name, np.float32, mode="r+", offset=start, shape=shape)
        yield array
        array.flush()
