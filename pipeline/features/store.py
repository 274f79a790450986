"""Features of images that were looked at before: kept by content, safe under parallel runs.

Two places: `exported`, an artefact that the reference stage makes, and a local folder, where
whatever else is computed is kept until `gan clean --remove`. An entry's key is of the images and
of the extractor, never of a name; so an entry is valid for ever, and nothing needs to be told
when data change.
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
from pipeline.features.sources import ImageSource
from pipeline.features.stored import DamagedError, Entry

FORMAT = 1
STEM = 32  # hex digits of a key in a file's name
FULL = (errno.ENOSPC, errno.EDQUOT)

Wanted = Mapping[str, Extractor]
"""Extractors by the keys of their entries."""


class FeatureStore:
    """Gives features of a source, computing those that it has not got."""

    def __init__(self, folder: Path, exported: Path | None = None) -> None:
        """`folder` need not be there yet, nor be writable: then nothing is kept."""
        self._folder = folder
        self._exported = exported
        self._told = False

    def get(
        self, source: ImageSource, extractors: Sequence[Extractor], batch_size: int
    ) -> list[FeatureSet]:
        """What each extractor sees of a source's images; features are read-only.

        One pass over the images for all that must be computed, whatever their number. Raises
        GanError if a file that `gan reference` wrote is damaged, or if the disk is full.
        """
        found = {each.digest: self._from_exported(source, each) for each in extractors}
        missing = [each for each in extractors if found[each.digest] is None]
        computed = self._from_folder(source, missing, batch_size)
        known = {digest: seen for digest, seen in found.items() if seen is not None} | computed
        return [known[each.digest] for each in extractors]

    def export(
        self, source: ImageSource, extractors: Sequence[Extractor], batch_size: int
    ) -> list[Path]:
        """Write features and statistics of a source for others to find; returns the files.

        Equal images and extractors give files of equal bytes.
        """
        seen = self._from_folder(source, extractors, batch_size)
        written: list[Path] = []
        for extractor in extractors:
            entry = self._exported_entry(source, extractor)
            entry.copy(seen[extractor.digest], _labels(source, extractor))
            written += (entry.features, entry.statistics)
        return written

    def _exported_entry(self, source: ImageSource, extractor: Extractor) -> Entry:
        if self._exported is None:
            raise ValueError("this store has no place for exported features")
        precision = "" if extractor.precision == "float32" else f"-{extractor.precision}"
        return Entry(self._exported, f"{extractor.name}{precision}-{source.tag}")

    def _from_exported(self, source: ImageSource, extractor: Extractor) -> FeatureSet | None:
        if self._exported is None:
            return None
        entry = self._exported_entry(source, extractor)
        try:
            return entry.read(entry_key(source, extractor))
        except DamagedError as error:
            raise GanError(f"{error}; run `gan reference` again") from None

    def _from_folder(
        self, source: ImageSource, extractors: Sequence[Extractor], batch_size: int
    ) -> dict[str, FeatureSet]:
        """Read or computed, by the extractors' digests."""
        wanted = {entry_key(source, each): each for each in extractors}
        found = self._whole(wanted)
        missing = _without(wanted, found)
        if missing:
            found |= self._made(source, missing, batch_size)
        return {wanted[key].digest: seen for key, seen in found.items()}

    def _whole(self, wanted: Wanted, *, tell: bool = False) -> dict[str, FeatureSet]:
        """What is there of the wanted; with `tell` the damaged are told of."""
        found = {}
        for key in wanted:
            try:
                seen = self._entry(key).read(key)
            except DamagedError as error:
                seen = None
                if tell:
                    warn(f"{error}; computed again")
            if seen is not None:
                found[key] = seen
        return found

    def _made(
        self, source: ImageSource, missing: Wanted, batch_size: int
    ) -> dict[str, FeatureSet]:
        """Computed here, or by another process while this one waited for it."""
        with ExitStack() as locks:
            if not self._held(missing, locks):
                return _in_memory(source, missing, batch_size)
            found = self._whole(missing, tell=True)
            missing = _without(missing, found)
            return found | (self._computed(source, missing, batch_size) if missing else {})

    def _held(self, wanted: Wanted, locks: ExitStack) -> bool:
        """Lock the entries of the wanted; False if the folder can't be written."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for key in sorted(wanted):  # in one order, or two processes wait for each other
                locks.enter_context(self._entry(key).alone())
        except OSError as error:
            if error.errno in FULL:
                raise GanError(
                    f"{self._folder}: {error.strerror}; free some, perhaps by `gan clean --remove`"
                ) from None
            if not self._told:
                warn(f"{self._folder}: {error.strerror}; features are not kept")
            self._told = True
            return False
        return True

    def _computed(
        self, source: ImageSource, missing: Wanted, batch_size: int
    ) -> dict[str, FeatureSet]:
        with ExitStack() as drafts:
            rows = []
            for key, extractor in missing.items():
                self._entry(key).clear()
                draft = self._entry(key).drafted(len(source), extractor.dimensions)
                rows.append(drafts.enter_context(draft))
            _look(source, list(missing.values()), rows, batch_size)
        return {
            key: self._entry(key).complete(_labels(source, extractor))
            for key, extractor in missing.items()
        }

    def _entry(self, key: str) -> Entry:
        return Entry(self._folder, key[:STEM])


def entry_key(source: ImageSource, extractor: Extractor) -> str:
    """Hex digest of all that decides features: images, weights, protocol, and the code."""
    code = [_code("gan.features.extraction"), _code(type(extractor).__module__)]
    decides = [FORMAT, source.digest, len(source), extractor.digest, code]
    return hashlib.sha256(json.dumps(decides).encode()).hexdigest()


@cache
def _code(module: str) -> str:
    """Digest of what a module of this project reaches; a fix there must not meet old features."""
    return code_digest(module.replace(".", "/") + ".py") if module.startswith("gan.") else ""


def _labels(source: ImageSource, extractor: Extractor) -> Labels:
    return {
        "key": entry_key(source, extractor),
        "extractor": extractor.name,
        "extractor_digest": extractor.digest,
        "protocol": extractor.protocol,
        "what": source.what,
    }


def _without(wanted: Wanted, found: Mapping[str, FeatureSet]) -> Wanted:
    return {key: extractor for key, extractor in wanted.items() if key not in found}


def _in_memory(source: ImageSource, wanted: Wanted, batch_size: int) -> dict[str, FeatureSet]:
    rows = [allocate_features(len(source), extractor) for extractor in wanted.values()]
    _look(source, list(wanted.values()), rows, batch_size)
    for each in rows:
        each.flags.writeable = False
    return {
        key: FeatureSet(statistics_of(each), each) for key, each in zip(wanted, rows, strict=True)
    }


def _look(
    source: ImageSource,
    extractors: Sequence[Extractor],
    rows: Sequence[Features],
    batch_size: int,
) -> None:
    names = ", ".join(extractor.name for extractor in extractors)
    total = math.ceil(len(source) / batch_size)
    batches = track(source.batches(batch_size), f"{names}: {source.what}, batches", total)
    extract_features(batches, extractors, rows)
