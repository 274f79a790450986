"""What preprocess tells: counts that add up, tables of what was left out, sheets to look at."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gan.atomic import write_atomically
from pipeline.preprocessing.cache_statistics import Cached
from pipeline.preprocessing.faces.rules import NO_FACE, NOT_LISTED, UNREADABLE
from pipeline.preprocessing.outcome import Outcome
from pipeline.preprocessing.sheets.duplicates import duplicates_table
from pipeline.preprocessing.sheets.rejects import Rejected, count_reasons, rejects_table


@dataclass(frozen=True)
class PreprocessSummary:
    """What came of the rows of a dataset.

    rows = without_image + read; read = duplicate_files + bad + refused + pictures;
    faces_found = faces_rejected + filtered + duplicate_pixels + near_duplicates + train + holdout.
    """

    rows: int
    without_image: dict[str, int]  # rows that never had one, by status
    read: int
    duplicate_files: int  # rows whose file came before
    bad: int  # pictures that cannot be decoded
    refused: int  # pictures too small or of a wrong shape
    pictures: int
    without_face: int  # pictures in which none was found
    # without a detector each picture counts as one; DVC's tables would take `faces` for the dep
    faces_found: int
    faces_rejected: int
    filtered: int  # avatars that were left out for their looks
    duplicate_pixels: int  # equal to one that is kept
    near_duplicates: int  # so like one that is kept that they count as the same
    upscaled: int  # kept, though smaller than the cache's images
    train: int
    holdout: int
    rejects: dict[str, int]  # by reason: bad + refused + without_face + faces_rejected + filtered
    statistics: dict[str, Any]
    digest: str


def summarise(outcome: Outcome, rejected: Sequence[Rejected], cached: Cached) -> PreprocessSummary:
    """Count what became of the rows."""
    statuses, left_out = outcome.plan.statuses, outcome.left_out
    reasons = Counter(each.reason for _, each in left_out if each.box is None)
    bad = reasons[UNREADABLE]
    without_face = reasons[NO_FACE] + reasons[NOT_LISTED]
    refused = reasons.total() - bad - without_face
    same_files = len(outcome.plan.same_files.row)
    return PreprocessSummary(
        rows=statuses.total(),
        without_image={name: n for name, n in sorted(statuses.items()) if name != "ok"},
        read=statuses["ok"],
        duplicate_files=same_files,
        bad=bad,
        refused=refused,
        pictures=statuses["ok"] - same_files - bad - refused,
        without_face=without_face,
        faces_found=outcome.found,
        faces_rejected=len(left_out) - bad - refused - without_face,
        filtered=int(np.count_nonzero(outcome.choice.fault)),
        duplicate_pixels=len(outcome.choice.same_pixels),
        near_duplicates=len(outcome.choice.near),
        upscaled=int(np.count_nonzero(cached.side < cached.size)),
        train=cached.counts["train"],
        holdout=cached.counts["holdout"],
        rejects=count_reasons(rejected),
        statistics=cached.statistics,
        digest=cached.digest,
    )


def describe(summary: PreprocessSummary, *, faces: bool) -> str:
    """Say what became of all pictures and, where avatars are faces, of all faces; both add up."""
    kept = summary.train + summary.holdout
    avatars = f"{kept:,} avatars ({summary.train:,} to train on, {summary.holdout:,} held out)"
    same_files = {"equal files": summary.duplicate_files}
    alike = {
        "equal pixels": summary.duplicate_pixels,
        "near-duplicates": summary.near_duplicates,
    }
    unreadable = {"unreadable": summary.bad}
    if not faces:
        filtered = {"filtered": summary.refused + summary.filtered}
        left_out = _listed(same_files | alike | filtered | unreadable)
        return f"{summary.read:,} pictures: {avatars}; left out: {left_out}"
    faceless = {"filtered": summary.refused, "without a face": summary.without_face}
    pictures = _listed(same_files | faceless | unreadable)
    unfit = {"unfit": summary.faces_rejected, "filtered": summary.filtered}
    return (
        f"{summary.read:,} pictures: {summary.pictures - summary.without_face:,} with faces; "
        f"left out: {pictures}. "
        f"{summary.faces_found:,} faces: {avatars}; left out: {_listed(alike | unfit)}"
    )


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def write(
    folder: Path,
    summary: PreprocessSummary,
    outcome: Outcome,
    rejected: Sequence[Rejected],
    sheets: Mapping[str, Future[bytes]],
) -> None:
    """Write all reports into `folder`; GanError where they can't be written."""
    for name, sheet in sheets.items():
        write_atomically(folder / f"{name}.png", sheet.result())
    write_atomically(folder / "rejects.tsv", rejects_table(rejected))
    write_atomically(folder / "duplicates.tsv", "".join(duplicates_table(outcome.duplicates())))
    write_atomically(folder / "preprocess.json", json.dumps(asdict(summary), indent=2) + "\n")
