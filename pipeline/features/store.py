"""Features of real images that were computed before: keyed by content, safe under parallel runs.

Two folders: `exported`, an artefact of the reference stage, and a local one, where all others are
kept until `gan clean --remove`. An entry's key is a digest of the images and of the extractor,
never a name; so an entry stays valid for ever, and changed data need no invalidation.
"""

import errno
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from gan.errors import GanError
from gan.features.extraction import Features, FeatureSet, allocate_features, extract_features
from gan.features.extractor import Extractor
from gan.features.statistics import statistics_of
from gan.features.statistics_file import Labels
from pipeline.code_digest import code_digest
from pipeline.console import track, warn
from pipeline.features.entry import DamagedError, Entry
from pipeline.features.sources import ImageSource

FORMAT = 1
STEM_DIGITS = 32
"""Hex digits of a key in a file's name."""

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)

KeyedExtractors = Mapping[str, Extractor]
"""Extractors by the keys of their entries."""


class FeatureStore:
    """Reads the features of a source, and computes those that are missing."""

    def __init__(self, folder: Path, exported: Path | None = None) -> None:
        """`folder` is created when needed; if it isn't writable, features stay in memory."""
        self._folder = folder
        self._exported = exported
        self._warned = False

    def get(
        self, source: ImageSource, extractors: Sequence[Extractor], batch_size: int
    ) -> list[FeatureSet]:
        """Return the features of a source's images by each extractor, read-only.

        One pass over the images computes all that are missing, whatever their number. Raises
        GanError if a file that `gan reference` wrote is damaged, or if the disk is full.
        """
        exported = {each.digest: self._read_exported(source, each) for each in extractors}
        missing = [each for each in extractors if exported[each.digest] is None]
        local = self._get_local(source, missing, batch_size)
        features = {key: each for key, each in exported.items() if each is not None} | local
        return [features[each.digest] for each in extractors]

    def export(
        self, source: ImageSource, extractors: Sequence[Extractor], batch_size: int
    ) -> list[Path]:
        """Write features and statistics of a source to the exported folder; returns the files.

        Equal images and extractors give files of equal bytes.
        """
        features = self._get_local(source, extractors, batch_size)
        files: list[Path] = []
        for extractor in extractors:
            entry = self._entry_to_export(source, extractor)
            entry.write(features[extractor.digest], _labels(source, extractor))
            files += (entry.features, entry.statistics)
        return files

    def _entry_to_export(self, source: ImageSource, extractor: Extractor) -> Entry:
        if self._exported is None:
            raise ValueError("this store has no folder for exported features")
        precision = "" if extractor.precision == "float32" else f"-{extractor.precision}"
        return Entry(self._exported, f"{extractor.name}{precision}-{source.tag}")

    def _read_exported(self, source: ImageSource, extractor: Extractor) -> FeatureSet | None:
        if self._exported is None:
            return None
        entry = self._entry_to_export(source, extractor)
        try:
            return entry.read(entry_key(source, extractor))
        except DamagedError as error:
            raise GanError(f"{error}; run `gan reference` again") from None

    def _get_local(
        self, source: ImageSource, extractors: Sequence[Extractor], batch_size: int
    ) -> dict[str, FeatureSet]:
        """Read or compute features; returns them by the extractors' digests."""
        keyed = {entry_key(source, each): each for each in extractors}
        features = self._read(keyed)
        missing = _without(keyed, features)
        if missing:
            features |= self._compute_or_wait(source, missing, batch_size)
        return {keyed[key].digest: each for key, each in features.items()}

    def _read(
        self, keyed: KeyedExtractors, *, warn_of_damage: bool = False
    ) -> dict[str, FeatureSet]:
        """Read the whole entries among the keyed ones."""
        features = {}
        for key in keyed:
            try:
                entry = self._entry(key).read(key)
            except DamagedError as error:
                entry = None
                if warn_of_damage:
                    warn(f"{error}; computed again")
            if entry is not None:
                features[key] = entry
        return features

    def _compute_or_wait(
        self, source: ImageSource, missing: KeyedExtractors, batch_size: int
    ) -> dict[str, FeatureSet]:
        """Compute features, or read those that another process computed meanwhile."""
        with ExitStack() as locks:
            if not self._lock(missing, locks):
                return _compute_in_memory(source, missing, batch_size)
            features = self._read(missing, warn_of_damage=True)
            missing = _without(missing, features)
            return features | (self._compute(source, missing, batch_size) if missing else {})

    def _lock(self, keyed: KeyedExtractors, locks: ExitStack) -> bool:
        """Lock the entries; False if the folder can't be written."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for key in sorted(keyed):  # in one order, or two processes wait for each other
                locks.enter_context(self._entry(key).lock())
        except OSError as error:
            if error.errno in DISK_FULL:
                raise GanError(
                    f"{self._folder}: {error.strerror}; free some, perhaps by `gan clean --remove`"
                ) from None
            if not self._warned:
                warn(f"{self._folder}: {error.strerror}; features are not kept")
            self._warned = True
            return False
        return True

    def _compute(
        self, source: ImageSource, missing: KeyedExtractors, batch_size: int
    ) -> dict[str, FeatureSet]:
        with ExitStack() as files:
            arrays = []
            for key, extractor in missing.items():
                self._entry(key).clear()
                file = self._entry(key).create_features(len(source), extractor.dimensions)
                arrays.append(files.enter_context(file))
            _extract(source, list(missing.values()), arrays, batch_size)
        return {
            key: self._entry(key).finish(_labels(source, extractor))
            for key, extractor in missing.items()
        }

    def _entry(self, key: str) -> Entry:
        return Entry(self._folder, key[:STEM_DIGITS])


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


def _without(keyed: KeyedExtractors, features: Mapping[str, FeatureSet]) -> KeyedExtractors:
    return {key: extractor for key, extractor in keyed.items() if key not in features}


def _compute_in_memory(
    source: ImageSource, keyed: KeyedExtractors, batch_size: int
) -> dict[str, FeatureSet]:
    arrays = [allocate_features(len(source), extractor) for extractor in keyed.values()]
    _extract(source, list(keyed.values()), arrays, batch_size)
    for each in arrays:
        each.flags.writeable = False
    return {
        key: FeatureSet(statistics_of(each), each) for key, each in zip(keyed, arrays, strict=True)
    }


def _extract(
    source: ImageSource,
    extractors: Sequence[Extractor],
    arrays: Sequence[Features],
    batch_size: int,
) -> None:
    names = ", ".join(extractor.name for extractor in extractors)
    total = math.ceil(len(source) / batch_size)
    batches = track(source.batches(batch_size), f"{names}: {source.description}, batches", total)
    extract_features(batches, extractors, arrays)
