"""What an archive holds, without its bytes: names, a mark for each content, and provenance."""

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
from pipeline.console import counted, progress, say
from pipeline.crawl.archive.gallery_dl import ENDINGS, LARGEST, Provenance, parse_sidecar
from pipeline.crawl.archive.member import (
    DAMAGED_ARCHIVE,
    Member,
    Refusal,
    UnreadableError,
    printable,
)
from pipeline.crawl.archive.walk import LINKED_FOLDER, TAR_ENDINGS, ZIP_ENDINGS, members_of
from pipeline.crawl.image_check import over_bytes
from pipeline.crawl.storage.earlier_crawl import url_key

SIDECAR = ".json"
UNOPENED = (*TAR_ENDINGS, *ZIP_ENDINGS, ".7z", ".rar", ".cbz", ".cbr", ".cb7", ".tar.zst")


@dataclass(frozen=True)
class Contents:
    """The chosen pictures, by name; 200 bytes each, and 300 more with a sidecar.

    `marks` tell contents apart, `notes` are packed provenance, and `sha256` stands for all of it.
    """

    places: dict[str, int]
    marks: list[bytes]
    notes: list[bytes]
    sha256: str

    def provenance(self, place: int) -> Provenance:
        return _unpack(self.notes[place])


@dataclass(frozen=True, slots=True)
class Look:
    """A member as it was found: its mark, its bytes, and why it brings no picture, if so."""

    mark: bytes
    data: bytes
    refusal: Refusal | None


def read_contents(path: Path, limits: ScrapeParams, limit: int | None) -> Contents:
    """List the archive, choose the first `limit` pictures by name, and read these.

    The caps are held before any content is read. Raises GanError, also where there is no picture.
    """
    names = _choose_names(path, limits, limit)
    if not names:
        raise GanError(f"{path}: holds no {', '.join(sorted(ENDINGS))} file")
    places = {name: place for place, name in enumerate(names)}
    reading = _Reading(path, places)
    reading.run(limits)
    notes = _keep_addresses_unique(reading.notes)
    return Contents(places, reading.marks, notes, _hash(names, reading.marks, notes))


def _hash(names: list[str], marks: list[bytes], notes: list[bytes]) -> str:
    digest = hashlib.sha256()
    for name, mark, note in zip(names, marks, notes, strict=True):
        provenance = f"  {zlib.decompress(note).decode()}" if note else ""
        digest.update(f"{mark.hex()}  {name!a}{provenance}\n".encode())
    return digest.hexdigest()


def named_pictures(path: Path, limits: ScrapeParams) -> Iterator[tuple[str, Member]]:
    """What gets a row, with its recorded name; the second of one name gets `#2` behind it."""
    naming = _Naming()
    for member in members_of(path, limits):
        if has_entry(member):
            yield naming.name(member), member


def has_entry(member: Member) -> bool:
    """True for a picture file, and for a damaged archive: its row stands for all that it held."""
    return is_picture(member.name) or member.refusal == DAMAGED_ARCHIVE


def is_picture(name: str) -> bool:
    """By its ending; macOS puts a `._` twin beside every file of its zips, which is none."""
    file = name.rpartition("/")[2]
    return splitext(file)[1].lower() in ENDINGS and not file.startswith("._")


def look(member: Member, most: int) -> Look:
    """Read a member of at most `most` bytes; its mark is its sha256, or why it isn't read."""
    refusal: Refusal | None = member.refusal
    if refusal is None and member.size > most:
        refusal = ("too_large", over_bytes(most))
    if refusal is None:
        try:
            data = member.read(most)
            return Look(hashlib.sha256(data).digest(), data, None)
        except UnreadableError as error:
            refusal = error.refusal
    return Look(f"{refusal[1]}; {member.size}".encode(), b"", refusal)


class _Naming:
    """Gives each picture a name that is printable and its own."""

    def __init__(self) -> None:
        self._uses: dict[str, int] = {}

    def name(self, member: Member) -> str:
        name = printable(member.name)
        self._uses[name] = uses = self._uses.get(name, 0) + 1
        # It can't meet another member's name: that one ends like a picture or an archive.
        return name if uses == 1 else f"{name}#{uses}"


def _choose_names(path: Path, limits: ScrapeParams, limit: int | None) -> list[str]:
    naming = _Naming()
    names: list[str] = []
    damaged: list[str] = []
    left_out: Counter[tuple[str, str]] = Counter()
    for member in members_of(path, limits):
        if member.refusal == LINKED_FOLDER:
            left_out["linked folder", "links are not followed"] += 1
        elif member.refusal == DAMAGED_ARCHIVE:
            damaged.append(naming.name(member))
            # Its own files came right before it.
            while names and names[-1].startswith(f"{damaged[-1]}/"):
                names.pop()
        elif is_picture(member.name):
            names.append(naming.name(member))
        elif member.name.lower().endswith(UNOPENED):
            left_out["packed file", "only tar and zip are opened, and none inside another"] += 1
    for name in damaged:
        _say(path, f"{name} is damaged: its pictures are left out, the others are taken")
    for (what, why), count in left_out.items():
        _say(path, f"{counted(count, what)} left out: {why}")
    return sorted(names + damaged)[:limit]


class _Reading:
    """Fills in marks and notes, whichever order pictures and sidecars come in."""

    def __init__(self, path: Path, places: dict[str, int]) -> None:
        self._path, self._places = path, places
        self._exact: dict[int, bytes] = {}
        self._loose: dict[int, bytes] = {}
        self._broken = 0
        self.marks = [b""] * len(places)

    @property
    def notes(self) -> list[bytes]:
        """`a.jpg.json` counts before `a.json`."""
        chosen = self._loose | self._exact
        return [chosen.get(place, b"") for place in range(len(self._places))]

    def run(self, limits: ScrapeParams) -> None:
        naming, done = _Naming(), 0
        with progress("list", len(self._places)) as advance:
            for member in members_of(self._path, limits):
                if not has_entry(member):
                    self._take_sidecar(member)
                elif (place := self._places.get(naming.name(member))) is not None:
                    self.marks[place] = look(member, limits.max_bytes).mark
                    done += 1
                    advance(done, "")
        if self._broken:
            _say(self._path, f"{counted(self._broken, 'sidecar')} left out: cannot be read")

    def _take_sidecar(self, member: Member) -> None:
        owners = list(_owners(member.name, self._places))
        if not owners:
            return
        note = _read_note(member)
        self._broken += note is None
        for place, is_exact in owners:
            (self._exact if is_exact else self._loose).setdefault(place, note or b"")


def _owners(name: str, places: dict[str, int]) -> Iterator[tuple[int, bool]]:
    """Places of the pictures whose sidecar this is: of `a.jpg.json` a.jpg, of `a.json` any a.*."""
    if not name.lower().endswith(SIDECAR):
        return
    stem = printable(name[: -len(SIDECAR)])
    if stem in places:
        yield places[stem], True
    for ending in sorted(ENDINGS):
        for picture in (stem + ending, stem + ending.upper()):
            if picture in places:
                yield places[picture], False


def _read_note(member: Member) -> bytes | None:
    """A sidecar's provenance, packed; None where it is none that can be read."""
    found = look(member, LARGEST)
    try:
        return None if found.refusal else _pack(parse_sidecar(found.data))
    except ValueError:
        return None


def _keep_addresses_unique(notes: list[bytes]) -> list[bytes]:
    """Where several pictures claim one address, the first by name has it."""
    seen: set[bytes] = set()
    for place, note in enumerate(notes):
        provenance = _unpack(note)
        if not provenance.url:
            continue
        key = url_key(provenance.url)
        if key in seen:
            notes[place] = _pack(replace(provenance, url=""))
        seen.add(key)
    return notes


def _pack(provenance: Provenance) -> bytes:
    values = [getattr(provenance, field.name) for field in fields(provenance)]
    return zlib.compress(json.dumps(values, separators=(",", ":")).encode())


def _unpack(note: bytes) -> Provenance:
    if not note:
        return Provenance()
    url, page, tags, rating, source, licence = json.loads(zlib.decompress(note))
    return Provenance(url, page, tuple(tags), rating, source, licence)


def _say(path: Path, text: str) -> None:
    say(f"{printable(path.name)}: {text}")
