"""What preprocess tells: counts that add up, what was left out and why, sheets to look at."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from gan.cache import Images, TensorCache
from gan.durable import write_atomically
from pipeline.images.contact_sheet import contact_sheet, save_png
from pipeline.images.face_box import Box
from pipeline.images.face_rules import NO_FACE, NOT_LISTED, UNREADABLE
from pipeline.images.rejects import Rejected, count_reasons, rejects_sheet, rejects_table
from pipeline.snapshot.manifest import Row

SHEET_SIDE = 8


@dataclass(frozen=True)
class PreprocessSummary:
    """What came of the rows of a snapshot.

    rows = without_image + read; read = bad + duplicate_files + pictures;
    faces = faces_rejected + duplicate_pixels + train + holdout.
    """

    rows: int
    without_image: dict[str, int]  # rows that never had one, by status
    read: int
    bad: int  # pictures that cannot be decoded
    duplicate_files: int  # rows whose file came before
    pictures: int
    without_face: int  # pictures in which none was found
    faces: int  # found; without a detector each picture counts as one
    faces_rejected: int
    duplicate_pixels: int  # equal to one that came before, after decoding
    upscaled: int  # kept, though smaller than the cache's images
    train: int
    holdout: int
    rejects: dict[str, int]  # by reason: bad + without_face + faces_rejected
    digest: str


@dataclass(frozen=True, slots=True)
class Kept:
    """Where a cached image is from: manifest row, the face's box, pixels of the side cut out."""

    row: int
    box: Box | None
    side: float


@dataclass
class Tally:
    """What became of the rows: what was kept, in cache order, and what was not."""

    kept: list[Kept] = field(default_factory=list)
    rejects: list[Rejected] = field(default_factory=list)
    faces: int = 0
    duplicate_files: int = 0
    duplicate_pixels: int = 0


def summarise(rows: Sequence[Row], tally: Tally, cache: TensorCache) -> PreprocessSummary:
    """Count what became of the rows."""
    statuses = Counter(row.status for row in rows)
    rejects = count_reasons(tally.rejects)
    bad = rejects.get(UNREADABLE, 0)
    without_face = rejects.get(NO_FACE, 0) + rejects.get(NOT_LISTED, 0)
    return PreprocessSummary(
        rows=len(rows),
        without_image={name: n for name, n in sorted(statuses.items()) if name != "ok"},
        read=statuses["ok"],
        bad=bad,
        duplicate_files=tally.duplicate_files,
        pictures=statuses["ok"] - bad - tally.duplicate_files,
        without_face=without_face,
        faces=tally.faces,
        faces_rejected=len(tally.rejects) - bad - without_face,
        duplicate_pixels=tally.duplicate_pixels,
        upscaled=sum(kept.side < cache.size for kept in tally.kept),
        train=len(cache.split("train")),
        holdout=len(cache.split("holdout")),
        rejects=rejects,
        digest=cache.digest,
    )


def report(
    folder: Path,
    rejects: Sequence[Rejected],
    summary: PreprocessSummary,
    images: Images,
    load: Callable[[int], Image.Image | None],
) -> None:
    """Write the reports into `folder`; `load` gives the full picture of a row, if it has one."""
    shown = min(SHEET_SIDE**2, len(images))
    evenly = [i * len(images) // shown for i in range(shown)]
    save_png(contact_sheet(np.asarray(images[evenly]), SHEET_SIDE), folder / "contact_sheet.png")
    in_order = sorted(rejects, key=lambda each: each.row)
    save_png(rejects_sheet(in_order, load), folder / "rejects.png")
    write_atomically(folder / "rejects.tsv", rejects_table(in_order))
    write_atomically(folder / "preprocess.json", json.dumps(asdict(summary), indent=2) + "\n")
