"""The preprocess stage: raw snapshot to tensor cache, with exact duplicates out and a split.

Which images are in, and in which order, is decided here; bytes become pixels in images/.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np

from gan.cache import Images, Split, TensorCache
from gan.errors import GanError
from gan.params import Params, PreprocessParams
from pipeline.images.cache_writer import (
    ImageFile,
    publishing,
    refuse_file,
    write_index,
    write_meta,
)
from pipeline.images.contact_sheet import contact_sheet, save_png
from pipeline.images.decode import Geometry
from pipeline.images.pool import Decoded, decode_all, usable_cores
from pipeline.paths import Paths
from pipeline.progress import progress
from pipeline.snapshot.durable import write_text
from pipeline.snapshot.manifest import Row
from pipeline.snapshot.reader import Snapshot

SHEET_SIDE = 8


@dataclass(frozen=True)
class PreprocessSummary:
    """What came of the rows of a snapshot: read = bad + duplicates + train + holdout."""

    rows: int
    without_image: dict[str, int]  # rows that never had one, by status
    read: int
    bad: int
    duplicates: int  # equal files, and equal pixels after decoding
    upscaled: int  # kept, though smaller than the cache's images
    train: int
    holdout: int
    digest: str


@dataclass
class _Tally:
    """Row numbers of what was kept, in cache order, and of what was not."""

    kept: list[int] = field(default_factory=list)
    rejects: list[tuple[int, str]] = field(default_factory=list)  # row, reason
    duplicates: int = 0


def run(params: Params, paths: Paths, workers: int | None = None) -> PreprocessSummary:
    """Build cache/ and its reports from data/; the same bytes for any number of workers.

    Raises GanError if the snapshot is not whole, no image can be used, or the disk is full; the
    cache that was there stays then.
    """
    refuse_file(paths.reports)
    snapshot = Snapshot.open(paths.data)
    snapshot.verify()
    order, tally = _plan(snapshot.rows, params.preprocess.holdout)
    with publishing(paths.cache, len(order), params.preprocess.size) as folder:
        _write_cache(folder, params.preprocess, snapshot, order, tally, workers or usable_cores())
        summary = _summarise(snapshot.rows, tally, TensorCache.open(folder))
        _report(paths.reports, snapshot.rows, tally, summary, TensorCache.open(folder).images)
    return summary


def _write_cache(
    folder: Path,
    settings: PreprocessParams,
    snapshot: Snapshot,
    order: Sequence[int],
    tally: _Tally,
    workers: int,
) -> None:
    """Decode the rows in `order` into a cache in `folder`, filling in the tally."""
    rows, locations = snapshot.rows, snapshot.locations()
    red, green, blue = settings.background
    geometry = Geometry(settings.size, (red, green, blue), settings.max_pixels)
    places = [locations[rows[number].sha256] for number in order]
    with (folder / "images.npy").open("wb") as file:
        images = ImageFile(file, settings.size)
        with closing(decode_all(places, geometry, workers)) as decoded:
            _fill(images, order, decoded, tally)
        digests = [rows[number].sha256 for number in tally.kept]
        splits = [_split(digest, settings.holdout) for digest in digests]
        counts = _counts(splits, tally, rows)
        digest = images.close(settings.model_dump(), counts)
    write_index(folder, digests, tally.kept, splits)
    write_meta(folder, settings.model_dump(), counts, snapshot.digest, digest)


def _plan(rows: Sequence[Row], holdout: float) -> tuple[list[int], _Tally]:
    """Row numbers to decode, each file once: those of train, then those of holdout."""
    order: dict[Split, list[int]] = {"train": [], "holdout": []}
    seen: set[str] = set()
    tally = _Tally()
    for number, row in enumerate(rows):
        if row.status != "ok":
            continue
        if row.sha256 in seen:
            tally.duplicates += 1
            continue
        seen.add(row.sha256)
        order[_split(row.sha256, holdout)].append(number)
    return order["train"] + order["holdout"], tally


def _split(digest: str, holdout: float) -> Split:
    """Split of a file by its sha256 alone, so that it stays when images are added.

    The last 64 bits decide: collections are often cut by the first digits of a hash, and in such
    a part of one these are no longer evenly spread.
    """
    return "holdout" if int(digest[-16:], 16) / 2**64 < holdout else "train"


def _fill(
    images: ImageFile, order: Sequence[int], decoded: Iterable[Decoded], tally: _Tally
) -> None:
    """Append the good and new pictures; of equal ones the first in cache order is kept."""
    seen: set[bytes] = set()
    with progress("preprocess", len(order)) as advance:
        for done, (row, picture) in enumerate(zip(order, decoded, strict=True), start=1):
            advance(done, f"{len(tally.rejects)} bad, {tally.duplicates} duplicates")
            if isinstance(picture, str):
                tally.rejects.append((row, picture))
                continue
            digest = sha256(picture.data).digest()
            if digest in seen:
                tally.duplicates += 1
                continue
            seen.add(digest)
            images.append(picture)
            tally.kept.append(row)


def _counts(splits: Sequence[Split], tally: _Tally, rows: Sequence[Row]) -> dict[str, int]:
    counts = {"train": splits.count("train"), "holdout": splits.count("holdout")}
    if counts["train"]:
        return counts
    if counts["holdout"]:
        raise GanError(
            f"no image is left to train on, {counts['holdout']} are held out; lower "
            "preprocess.holdout or scrape more images"
        )
    if not tally.rejects:
        raise GanError("the snapshot holds no image at all; scrape again with another source")
    row, reason = min(tally.rejects)
    raise GanError(
        f"none of {len(tally.rejects)} images can be used; the first, "
        f"{_one_line(rows[row].url)}: {reason}; scrape again with another source"
    )


def _summarise(rows: Sequence[Row], tally: _Tally, cache: TensorCache) -> PreprocessSummary:
    statuses = Counter(row.status for row in rows)
    return PreprocessSummary(
        rows=len(rows),
        without_image={name: n for name, n in sorted(statuses.items()) if name != "ok"},
        read=statuses["ok"],
        bad=len(tally.rejects),
        duplicates=tally.duplicates,
        upscaled=sum(min(rows[n].width, rows[n].height) < cache.size for n in tally.kept),
        train=len(cache.split("train")),
        holdout=len(cache.split("holdout")),
        digest=cache.digest,
    )


def _report(
    folder: Path,
    rows: Sequence[Row],
    tally: _Tally,
    summary: PreprocessSummary,
    images: Images,
) -> None:
    shown = min(SHEET_SIDE**2, len(images))
    evenly = [i * len(images) // shown for i in range(shown)]
    save_png(contact_sheet(np.asarray(images[evenly]), SHEET_SIDE), folder / "contact_sheet.png")
    lines = [f"{n}\t{_one_line(rows[n].url)}\t{reason}\n" for n, reason in sorted(tally.rejects)]
    write_text(folder / "rejects.tsv", "row\turl\treason\n" + "".join(lines))
    write_text(folder / "preprocess.json", json.dumps(asdict(summary), indent=2) + "\n")


def _one_line(text: str) -> str:
    return " ".join(text.encode("utf-8", "backslashreplace").decode().split())
