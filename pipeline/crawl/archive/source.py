"""Source `archive:PATH`: pictures in a folder, tar, compressed tar or zip on this machine."""

import hashlib
import json
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Collection, Container, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from posixpath import splitext
from typing import Any, NamedTuple

from gan.errors import GanError
from gan.params.data import ScrapeParams
from pipeline.console import count_noun, progress, say
from pipeline.crawl.archive.gallery_dl import (
    MAX_BYTES,
    Provenance,
    is_animation,
    parse_caption,
    parse_sidecar,
)
from pipeline.crawl.archive.tag_table import MAX_BYTES as TABLE_BYTES
from pipeline.crawl.archive.tag_table import is_table, read_table
from pipeline.crawl.archive.walk import (
    DAMAGED_ARCHIVE,
    LINKED_FOLDER,
    PART,
    TAR_ENDINGS,
    ZIP_ENDINGS,
    ArchiveFile,
    UnreadableError,
    walk_files,
)
from pipeline.crawl.image_check import ListedImage
from pipeline.crawl.public_url import printable
from pipeline.crawl.request import RequestedSource
from pipeline.crawl.sink import Sink
from pipeline.crawl.storage.earlier_crawl import url_key
from pipeline.dataset.reader import Dataset
from pipeline.pictures.formats import FORMATS, SUFFIXES, identify

SIDECAR, CAPTION = ".json", ".txt"
WAIFUC = re.compile(r"((?:.*/)?)\.(.+)_meta\.json")
"""Names of waifuc's sidecars: that of a picture without its ending, with a dot before it."""
FRAME = re.compile(r"(.+\.zip)/(\d{6})\.\w+")
"""Names of the frames of an animation, packed as Pixiv does."""
MOST_FRAMES = 150
"""Pixiv takes no longer animation; a zip with more numbered pictures is a data set."""
KINDS_SHOWN = 6
ANIMATION = (".zip.json", ".zip/animation.json")
"""Names of files that may say that a zip is an animation."""
TAGS = "tags"
"""Name, without its ending, of a table that a user must have written for this."""
UNOPENED = (*TAR_ENDINGS, *ZIP_ENDINGS, ".7z", ".rar", ".cbz", ".cbr", ".cb7", ".tar.zst")


class Archive(RequestedSource):
    """Every picture file below `path`, by name; `limit` keeps the first ones.

    Provenance is read from gallery-dl's JSON files beside the pictures, or from a table. No rating
    is left out: the files on this machine were chosen already.

    The archive is walked three times: for its names, for digests of the pictures, for the
    pictures. So its identity is its content, and none of the bytes are kept in memory.
    """

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "source": f"archive:{printable(self.path.resolve().name)}",
            "sha256": self._sha256,
            "limit": self.request.limit,
            "licence": self.request.licence_note,
        }

    @property
    def total(self) -> int:
        return len(self._pictures)

    def continues(self, dataset: Dataset) -> bool:
        """True where the archive has only grown: it shares a picture, and none differs.

        Says how many pictures have other tags now, since the dataset keeps those that it has.
        """
        if not super().continues(dataset):
            return False
        pictures = {url_key(self._list(*each).url): each[1] for each in self._pictures.items()}
        shared, retagged = False, 0
        for entry in dataset.entries():
            picture = pictures.get(url_key(entry.url)) if entry.status == "ok" else None
            if picture is None:
                continue
            if picture.digest.hex() != entry.sha256:
                return False
            shared = True
            retagged += tuple(_unpack(picture.provenance).tags) != entry.tags
        if retagged:
            count = count_noun(retagged, "picture")
            _say(self.path, f"other tags than in data/ for {count}; --replace takes the new ones")
        return shared

    def fetch(self, sink: Sink) -> None:
        missing = dict(self._pictures)
        for name, file in _walk_named(self.path, self.policy.params):
            picture = missing.pop(name, None)
            if picture is None or sink.is_done(listed := self._list(name, picture)):
                continue
            try:
                data = file.read(self.policy.params.max_bytes)
            except UnreadableError as error:
                sink.reject(listed, *error.args)
                continue
            if hashlib.sha256(data).digest() == picture.digest:
                sink.add(listed, sink.check(listed, data), data)
            else:
                sink.reject(listed, "failed", "changed since the archive was listed")
        for name, picture in missing.items():
            if not sink.is_done(listed := self._list(name, picture)):
                sink.reject(listed, "failed", "gone since the archive was listed")

    @cached_property
    def _pictures(self) -> "dict[str, Picture]":
        return read_pictures(self.path, self.policy.params, self.request.limit)

    @cached_property
    def _sha256(self) -> str:
        total = hashlib.sha256()
        for name, (_, digest, packed) in self._pictures.items():
            provenance = f"  {zlib.decompress(packed).decode()}" if packed else ""
            total.update(f"{digest.hex()}  {name!a}{provenance}\n".encode())
        return total.hexdigest()

    def _list(self, name: str, picture: "Picture") -> ListedImage:
        url, page, tags, rating, source, licence = _unpack(picture.provenance)
        own, licence = f"archive:{name}", licence or self.request.licence_note
        origin = (page or own, url or own, tuple(tags), rating, source, licence)
        return ListedImage(picture.position, *origin)


class Picture(NamedTuple):
    """A chosen picture: 300 bytes of memory with its name, and 300 more with a sidecar.

    `digest` is of its content, or the reason against it; `provenance` is packed.
    """

    position: int
    digest: bytes
    provenance: bytes


def read_pictures(path: Path, limits: ScrapeParams, limit: int | None) -> dict[str, Picture]:
    """List the archive, choose the first `limit` pictures by name, and read these.

    The caps are checked before any content is read. Raises GanError, also where there is no
    picture.
    """
    names = _choose_names(path, limits)[:limit]
    if not names:
        raise GanError(f"{path}: holds no picture in {', '.join(FORMATS)}")
    digests = dict.fromkeys(names, b"")
    sidecars: dict[str, bytes | None] = {"": b""}
    lines: dict[str, bytes] = {}
    done = 0
    with progress("list", len(names)) as advance:
        for name, file in _walk_named(path, limits):
            if name in digests:
                digests[name] = _digest(file, limits.max_bytes)
                done += 1
                advance(done, "")
            elif is_table(file.name):
                lines |= _read_table(path, file, digests)
            elif not name and (stem := _find_stem(file.name, digests)) not in sidecars:
                sidecars[stem] = _read_sidecar(file, stem.endswith(CAPTION))
    if unreadable := sum(packed is None for packed in sidecars.values()):
        _say(path, f"{count_noun(unreadable, 'sidecar')} left out: cannot be read")
    found = zip(digests.items(), _assign(names, sidecars, lines), strict=True)
    return {
        name: Picture(position, digest, provenance)
        for position, ((name, digest), provenance) in enumerate(found)
    }


def _walk_named(path: Path, limits: ScrapeParams) -> Iterator[tuple[str, ArchiveFile]]:
    """The files, each with a printable name of its own: the second of one name ends in `#2`.

    The name is empty where a file can get no entry of the manifest. A damaged archive gets one,
    which stands for all that it held.
    """
    uses: Counter[str] = Counter()
    for file in walk_files(path, limits):
        name = ""
        if not _is_beside(file.name) or file.refusal == DAMAGED_ARCHIVE:
            name = printable(file.name)
            uses[name] += 1
            # No other file has this name: none ends like a picture and a number.
            name += f"#{uses[name]}" if uses[name] > 1 else ""
        yield name, file


def _is_beside(name: str) -> bool:
    """True for sidecars, tables, and the `._` files that macOS puts beside every file of a zip."""
    return (
        is_table(name)
        or name.lower().endswith((SIDECAR, CAPTION))
        or name.rpartition("/")[2].startswith("._")
    )


def _is_picture(name: str) -> bool:
    return splitext(name)[1].lower() in SUFFIXES


def _choose_names(path: Path, limits: ScrapeParams) -> list[str]:
    """All names that get an entry, sorted; says what is left out."""
    choice = _Choice()
    for name, file in _walk_named(path, limits):
        choice.take(name, file)
    names = choice.drop_frames()
    for line in choice.lines():
        _say(path, line)
    return sorted(names + choice.damaged)


@dataclass
class _Choice:
    """The pictures of a walk by their names, and counts of the other files."""

    names: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    animations: set[str] = field(default_factory=set)
    frames: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)

    def take(self, name: str, file: ArchiveFile) -> None:
        if file.refusal == LINKED_FOLDER:
            self.left_out["linked folder", "links to folders are not followed"] += 1
        elif file.refusal == DAMAGED_ARCHIVE:
            self.damaged.append(name)
            # Its own files came right before it.
            while self.names and self.names[-1].startswith(f"{name}/"):
                self.names.pop()
        elif file.name.lower().endswith(ANIMATION):
            if file.name.endswith(ANIMATION[1]) or is_animation(_read_small(file)):
                self.animations.add(printable(file.name[: file.name.lower().rindex(".zip") + 4]))
        elif file.name.lower().endswith(UNOPENED) or PART.fullmatch(file.name):
            why = "only tar and zip are opened, and none inside another"
            self.left_out["packed file", why] += 1
        elif name:
            self._take_by_content(name, file)

    def _take_by_content(self, name: str, file: ArchiveFile) -> None:
        if _is_picture(file.name) or (kind := identify(file.read_head())) in FORMATS:
            self.names.append(name)
        else:
            self.kinds[kind or splitext(file.name)[1].lower() or "unknown"] += 1

    def drop_frames(self) -> list[str]:
        """The names but those in animations: zips that say so, or look as Pixiv makes them."""
        numbers: defaultdict[str, list[int]] = defaultdict(list)
        mixed: set[str] = set()
        for name in self.names:
            if frame := FRAME.fullmatch(name):
                numbers[frame[1]].append(int(frame[2]))
            else:
                mixed.add(name.rpartition("/")[0])
        for zipped, found in numbers.items():
            counts_up = 1 < len(found) <= MOST_FRAMES and sorted(found) == [*range(len(found))]
            if counts_up and zipped not in mixed:
                self.animations.add(zipped)
        kept = [name for name in self.names if name.rpartition("/")[0] not in self.animations]
        self.frames = len(self.names) - len(kept)
        return kept

    def lines(self) -> Iterator[str]:
        """Sentences on what is left out."""
        for name in self.damaged:
            yield f"{name} is damaged: its pictures are left out, the others are taken"
        for (what, why), count in self.left_out.items():
            yield f"{count_noun(count, what)} left out: {why}"
        if self.frames:
            first = min(self.animations)
            zips = f"{count_noun(len(self.animations), 'animation')}, such as {first}"
            yield f"{count_noun(self.frames, 'frame')} of {zips} left out; unpack it to take them"
        if self.kinds:
            shown = [f"{count} {kind}" for kind, count in self.kinds.most_common(KINDS_SHOWN)]
            more = ["…"] if len(self.kinds) > KINDS_SHOWN else []
            files = count_noun(self.kinds.total(), "file")
            yield f"{files} left out, of kinds that are not read here: {', '.join(shown + more)}"


def _read_small(file: ArchiveFile) -> bytes:
    try:
        return file.read(MAX_BYTES)
    except UnreadableError:
        return b""


def _digest(file: ArchiveFile, most: int) -> bytes:
    """The sha256 of a file of at most `most` bytes, else the reason against it."""
    try:
        return hashlib.sha256(file.read(most)).digest()
    except UnreadableError as error:
        return f"{error.args[1]}; {file.size}".encode()


def _find_stem(name: str, pictures: Container[str]) -> str:
    """The name of a sidecar without its ending; empty where it belongs to no picture.

    `a.jpg.json` belongs to a.jpg, `a.json` and `.a_meta.json` to any a.*; of a caption, `a.txt`,
    the ending stays.
    """
    if not name.lower().endswith((SIDECAR, CAPTION)):
        return ""
    stem, ending = splitext(name)
    if waifuc := WAIFUC.fullmatch(name):
        stem = waifuc[1] + waifuc[2]
    stem = printable(stem)
    endings = ("", *SUFFIXES, *map(str.upper, SUFFIXES))
    belongs = any(stem + each in pictures for each in endings)
    return "" if not belongs else stem + CAPTION if ending.lower() == CAPTION else stem


def _read_sidecar(file: ArchiveFile, is_caption: bool) -> bytes | None:
    """A sidecar's provenance, packed; None where it can't be read."""
    parse = parse_caption if is_caption else parse_sidecar
    try:
        return _pack(parse(file.read(MAX_BYTES)))
    except (UnreadableError, ValueError):
        return None


def _read_table(path: Path, file: ArchiveFile, pictures: Collection[str]) -> dict[str, bytes]:
    """Packed provenance by picture, from a table; says how many pictures it names.

    GanError where a table of tags can't be read; one that another program may have written for
    something else is left out.
    """
    lines, strangers = {}, 0
    try:
        for name, provenance in read_table(file.name, file.read(TABLE_BYTES)):
            if name in pictures:
                lines[name] = _pack(provenance)
            else:
                strangers += 1
    except (UnreadableError, ValueError) as error:
        if PurePosixPath(file.name).stem.lower() == TAGS:
            raise GanError(f"{path}: {printable(file.name)}: {error.args[-1]}") from None
        _say(path, f"{printable(file.name)} left out: {error.args[-1]}")
        return {}
    folder = printable(file.name[: file.name.rfind("/") + 1])
    missing = sum(name.startswith(folder) for name in pictures) - len(lines)
    text = f"{printable(file.name)} has a line for {count_noun(len(lines), 'picture')}"
    text += f", none for {missing:,}" if missing else ""
    text += f"; {count_noun(strangers, 'line')} for others, left out" if strangers else ""
    _say(path, text)
    return lines


def _assign(
    names: list[str], sidecars: dict[str, bytes | None], lines: dict[str, bytes]
) -> Iterator[bytes]:
    """The provenance of each name, packed; `a.jpg.json` before `a.json`, `a.txt`, and a table.

    Where several pictures claim one address, the first by name keeps it.
    """
    seen: set[bytes] = set()
    for name in names:
        stem = splitext(name)[0] if _is_picture(name) else name
        beside = (name, stem, name + CAPTION, stem + CAPTION)
        packed = next(
            (found for each in beside if (found := sidecars.get(each))), lines.get(name, b"")
        )
        origin = _unpack(packed)
        key = url_key(origin.url)
        yield _pack(origin._replace(url="")) if origin.url and key in seen else packed
        seen.add(key)


def _pack(provenance: Provenance) -> bytes:
    return zlib.compress(json.dumps(provenance, separators=(",", ":")).encode())


def _unpack(packed: bytes) -> Provenance:
    return Provenance(*json.loads(zlib.decompress(packed))) if packed else Provenance()


def _say(path: Path, text: str) -> None:
    say(f"{printable(path.name)}: {text}")
