"""Reports of preprocess: counts that add up, tables of what was left out, sheets of pictures."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gan.atomic import write_atomically
from pipeline.dataset.attributes import count_labels, find_pairs
from pipeline.preprocessing.cache_contents import CacheContents
from pipeline.preprocessing.faces.rules import NO_FACE, NOT_LISTED, UNREADABLE
from pipeline.preprocessing.outcome import Outcome, Rejected, count_reasons, rejects_table


@dataclass(frozen=True)
class PreprocessSummary:
    """Counts of manifest entries, pictures, faces and avatars.

    rows = without_image + read; read = duplicate_files + bad + refused + pictures;
    faces_found = faces_rejected + filtered + duplicate_pixels + near_duplicates + train + holdout.
    """

    rows: int  # manifest entries
    without_image: dict[str, int]  # entries that never had one, by status
    read: int  # entries with an image
    duplicate_files: int  # entries whose file came before
    bad: int  # pictures that cannot be decoded
    refused: int  # pictures too small or of a wrong shape
    pictures: int  # distinct and decoded
    without_face: int  # pictures in which no face was found
    # without a detector each picture counts as one; DVC's tables would take `faces` for the dep
    faces_found: int
    faces_rejected: int
    filtered: int  # avatars that a quality filter left out
    duplicate_pixels: int  # equal to one that is kept
    near_duplicates: int  # near to one that is kept
    upscaled: int  # kept, but cut out smaller than the cache's images
    train: int
    holdout: int
    rejects: dict[str, int]  # by reason: bad + refused + without_face + faces_rejected + filtered
    statistics: dict[str, Any]
    digest: str
    attributes: list[dict[str, Any]]  # images of the cache by value of each attribute
    attributes_left_out: dict[str, int]  # training images of values that are too rare
    together: list[list[Any]]  # value, value, images with both, and expected with both


def summarise(
    outcome: Outcome, rejected: Sequence[Rejected], contents: CacheContents
) -> PreprocessSummary:
    """Count kept, rejected and duplicate entries."""
    statuses, rejects = outcome.plan.statuses, outcome.decoded.rejects
    reasons = Counter(reject.reason for _, reject in rejects if reject.box is None)
    bad = reasons[UNREADABLE]
    without_face = reasons[NO_FACE] + reasons[NOT_LISTED]
    refused = reasons.total() - bad - without_face
    faces_rejected = len(rejects) - reasons.total()
    same_files = len(outcome.plan.same_files)
    return PreprocessSummary(
        rows=statuses.total(),
        without_image={name: n for name, n in sorted(statuses.items()) if name != "ok"},
        read=statuses["ok"],
        duplicate_files=same_files,
        bad=bad,
        refused=refused,
        pictures=statuses["ok"] - same_files - bad - refused,
        without_face=without_face,
        faces_found=len(outcome.decoded.avatars) + faces_rejected,
        faces_rejected=faces_rejected,
        filtered=int(np.count_nonzero(outcome.selection.fault)),
        duplicate_pixels=len(outcome.selection.same_pixels),
        near_duplicates=len(outcome.selection.near),
        upscaled=int(np.count_nonzero(contents.take("side") < contents.size)),
        train=contents.counts["train"],
        holdout=contents.counts["holdout"],
        rejects=count_reasons(rejected),
        statistics=contents.statistics,
        digest=contents.digest,
        attributes=count_labels(contents.attributes.vocabulary, contents.labels),
        attributes_left_out=dict(contents.attributes.left_out),
        together=find_pairs(contents.attributes.vocabulary, contents.labels),
    )


def describe_summary(summary: PreprocessSummary, *, faces: bool) -> str:
    """One line of counts of all pictures and, if avatars are faces, of all faces; both add up."""
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
        left_out = _join(same_files | alike | filtered | unreadable)
        return f"{summary.read:,} pictures: {avatars}; left out: {left_out}"
    without_face = {"filtered": summary.refused, "without a face": summary.without_face}
    pictures = _join(same_files | without_face | unreadable)
    rejected = {"unfit": summary.faces_rejected, "filtered": summary.filtered}
    return (
        f"{summary.read:,} pictures: {summary.pictures - summary.without_face:,} with faces; "
        f"left out: {pictures}. "
        f"{summary.faces_found:,} faces: {avatars}; left out: {_join(alike | rejected)}"
    )


def _join(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def write_reports(
    folder: Path,
    summary: PreprocessSummary,
    outcome: Outcome,
    rejected: Sequence[Rejected],
    sheets: Mapping[str, Future[bytes]],
) -> None:
    """Write all reports into `folder`; `sheets` are PNG files by name.

    Raises GanError where they can't be written.
    """
    for name, sheet in sheets.items():
        write_atomically(folder / f"{name}.png", sheet.result())
    write_atomically(folder / "rejects.tsv", rejects_table(rejected))
    write_atomically(folder / "duplicates.tsv", "".join(outcome.duplicates_table()))
    write_atomically(folder / "preprocess.json", json.dumps(asdict(summary), indent=2) + "\n")
