"""Contents of an archive without their bytes: names, digests, and provenance of its pictures."""

import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from posixpath import splitext

from gan.errors import GanError
from gan.params.data import ScrapeParams
from pipeline.console import count_noun, progress, say
from pipeline.crawl.archive.archive_file import (
    DAMAGED_ARCHIVE,
    ArchiveFile,
    Refusal,
    UnreadableError,
    printable,
)
from pipeline.crawl.archive.gallery_dl import ENDINGS, MAX_BYTES, Provenance, parse_sidecar
from pipeline.crawl.archive.walk import LINKED_FOLDER, TAR_ENDINGS, ZIP_ENDINGS, walk_files
from pipeline.crawl.image_check import describe_excess
from pipeline.crawl.storage.earlier_crawl import url_key

SIDECAR = ".json"
UNOPENED = (*TAR_ENDINGS, *ZIP_ENDINGS, ".7z", ".rar", ".cbz", ".cbr", ".cb7", ".tar.zst")


@dataclass(frozen=True)
class Contents:
    """The chosen pictures; 200 bytes of memory each, and 300 more with a sidecar.

    `positions` are by name; `digests` and `provenances` (packed) are by position. `sha256` is of
    all of it.
    """

    positions: dict[str, int]
    digests: list[bytes]
    provenances: list[bytes]
    sha256: str

    def provenance(self, position: int) -> Provenance:
        """The provenance of one picture."""
        return _unpack(self.provenances[position])


@dataclass(frozen=True, slots=True)
class FileContent:
    """A file's bytes, or the refusal why it brings no picture; the digest tells either apart."""

    digest: bytes
    data: bytes
    refusal: Refusal | None


def read_contents(path: Path, limits: ScrapeParams, limit: int | None) -> Contents:
    """List the archive, choose the first `limit` pictures by name, and read these.

    The caps are checked before any content is read. Raises GanError, also where there is no
    picture.
    """
    names = _choose_names(path, limits, limit)
    if not names:
        raise GanError(f"{path}: holds no {', '.join(sorted(ENDINGS))} file")
    positions = {name: position for position, name in enumerate(names)}
    reader = _ContentReader(path, positions)
    reader.run(limits)
    provenances = _keep_addresses_unique(reader.provenances)
    sha256 = _hash(names, reader.digests, provenances)
    return Contents(positions, reader.digests, provenances, sha256)


def _hash(names: list[str], digests: list[bytes], provenances: list[bytes]) -> str:
    total = hashlib.sha256()
    for name, digest, packed in zip(names, digests, provenances, strict=True):
        provenance = f"  {zlib.decompress(packed).decode()}" if packed else ""
        total.update(f"{digest.hex()}  {name!a}{provenance}\n".encode())
    return total.hexdigest()


def walk_pictures(path: Path, limits: ScrapeParams) -> Iterator[tuple[str, ArchiveFile]]:
    """The files that get a manifest entry, each with a name of its own (see _UniqueNames)."""
    names = _UniqueNames()
    for file in walk_files(path, limits):
        if gets_entry(file):
            yield names.name(file), file


def gets_entry(file: ArchiveFile) -> bool:
    """True for a picture, and for a damaged archive, whose entry stands for all that it held."""
    return is_picture(file.name) or file.refusal == DAMAGED_ARCHIVE


def is_picture(name: str) -> bool:
    """By its ending; a `._` file, which macOS puts beside every file of its zips, is none."""
    base = name.rpartition("/")[2]
    return splitext(base)[1].lower() in ENDINGS and not base.startswith("._")


def read_content(file: ArchiveFile, most: int) -> FileContent:
    """Read a file of at most `most` bytes; the digest is its sha256, or the reason against it."""
    refusal: Refusal | None = file.refusal
    if refusal is None and file.size > most:
        refusal = ("too_large", describe_excess(most))
    if refusal is None:
        try:
            data = file.read(most)
            return FileContent(hashlib.sha256(data).digest(), data, None)
        except UnreadableError as error:
            refusal = error.refusal
    return FileContent(f"{refusal[1]}; {file.size}".encode(), b"", refusal)


class _UniqueNames:
    """Gives each picture a printable name of its own: the second of one name ends in `#2`."""

    def __init__(self) -> None:
        self._uses: dict[str, int] = {}

    def name(self, file: ArchiveFile) -> str:
        name = printable(file.name)
        self._uses[name] = uses = self._uses.get(name, 0) + 1
        # No other file has this name: its own ends like a picture or an archive.
        return name if uses == 1 else f"{name}#{uses}"


def _choose_names(path: Path, limits: ScrapeParams, limit: int | None) -> list[str]:
    unique = _UniqueNames()
    names: list[str] = []
    damaged: list[str] = []
    left_out: Counter[tuple[str, str]] = Counter()
    for file in walk_files(path, limits):
        if file.refusal == LINKED_FOLDER:
            left_out["linked folder", "links are not followed"] += 1
        elif file.refusal == DAMAGED_ARCHIVE:
            damaged.append(unique.name(file))
            # Its own files came right before it.
            while names and names[-1].startswith(f"{damaged[-1]}/"):
                names.pop()
        elif is_picture(file.name):
            names.append(unique.name(file))
        elif file.name.lower().endswith(UNOPENED):
            left_out["packed file", "only tar and zip are opened, and none inside another"] += 1
    for name in damaged:
        _say(path, f"{name} is damaged: its pictures are left out, the others are taken")
    for (what, why), count in left_out.items():
        _say(path, f"{count_noun(count, what)} left out: {why}")
    return sorted(names + damaged)[:limit]


class _ContentReader:
    """Collects digests and provenances, in whatever order pictures and sidecars come."""

    def __init__(self, path: Path, positions: dict[str, int]) -> None:
        self._path, self._positions = path, positions
        self._of_file: dict[int, bytes] = {}
        self._of_stem: dict[int, bytes] = {}
        self._unreadable = 0
        self.digests = [b""] * len(positions)

    @property
    def provenances(self) -> list[bytes]:
        """By position; `a.jpg.json` is preferred to `a.json`."""
        chosen = self._of_stem | self._of_file
        return [chosen.get(position, b"") for position in range(len(self._positions))]

    def run(self, limits: ScrapeParams) -> None:
        names, done = _UniqueNames(), 0
        with progress("list", len(self._positions)) as advance:
            for file in walk_files(self._path, limits):
                if not gets_entry(file):
                    self._add_sidecar(file)
                elif (position := self._positions.get(names.name(file))) is not None:
                    self.digests[position] = read_content(file, limits.max_bytes).digest
                    done += 1
                    advance(done, "")
        if self._unreadable:
            _say(self._path, f"{count_noun(self._unreadable, 'sidecar')} left out: cannot be read")

    def _add_sidecar(self, file: ArchiveFile) -> None:
        owners = list(_find_owners(file.name, self._positions))
        if not owners:
            return
        packed = _read_sidecar(file)
        self._unreadable += packed is None
        for position, is_exact in owners:
            (self._of_file if is_exact else self._of_stem).setdefault(position, packed or b"")


def _find_owners(name: str, positions: dict[str, int]) -> Iterator[tuple[int, bool]]:
    """The pictures of a sidecar: of `a.jpg.json` a.jpg (True), of `a.json` any a.* (False)."""
    if not name.lower().endswith(SIDECAR):
        return
    stem = printable(name[: -len(SIDECAR)])
    if stem in positions:
        yield positions[stem], True
    for ending in sorted(ENDINGS):
        for picture in (stem + ending, stem + ending.upper()):
            if picture in positions:
                yield positions[picture], False


def _read_sidecar(file: ArchiveFile) -> bytes | None:
    """A sidecar's provenance, packed; None where it can't be read."""
    content = read_content(file, MAX_BYTES)
    try:
        return None if content.refusal else _pack(parse_sidecar(content.data))
    except ValueError:
        return None


def _keep_addresses_unique(provenances: list[bytes]) -> list[bytes]:
    """Where several pictures claim one address, the first by name keeps it."""
    seen: set[bytes] = set()
    for position, packed in enumerate(provenances):
        provenance = _unpack(packed)
        if not provenance.url:
            continue
        key = url_key(provenance.url)
        if key in seen:
            provenances[position] = _pack(replace(provenance, url=""))
        seen.add(key)
    return provenances


def _pack(provenance: Provenance) -> bytes:
    values = [getattr(provenance, field.name) for field in fields(provenance)]
    return zlib.compress(json.dumps(values, separators=(",", ":")).encode())


def _unpack(packed: bytes) -> Provenance:
    if not packed:
        return Provenance()
    url, page, tags, rating, source, licence = json.loads(zlib.decompress(packed))
    return Provenance(url, page, tuple(tags), rating, source, licence)


def _say(path: Path, text: str) -> None:
    say(f"{printable(path.name)}: {text}")
