"""Outcome of a preprocess run: what is kept, what is rejected, what is a duplicate of what."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gan.errors import GanError
from pipeline.console import one_line
from pipeline.dataset.reader import Dataset
from pipeline.preprocessing.duplicates.leaders import NOT_COMPUTED
from pipeline.preprocessing.faces.box import Box
from pipeline.preprocessing.faces.rules import Reject
from pipeline.preprocessing.filters import NO_LIMITS, QUALITY_REASONS, FilterRules, describe_fault
from pipeline.preprocessing.plan import Plan
from pipeline.preprocessing.selection import Selection
from pipeline.preprocessing.tables import NEAR, SAME_FILE, SAME_PIXELS, Duplicate, Rejected
from pipeline.preprocessing.workers.tasks import Decoded

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Outcome:
    """A plan, the avatars decoded from it, and the selection among them."""

    dataset: Dataset
    plan: Plan
    decoded: Decoded
    selection: Selection

    def split(self) -> tuple[Integers, Integers]:
        """Slots of the avatars that are kept, ascending: train and hold-out."""
        avatars, kept = self.decoded.avatars, self.selection.kept
        slot, in_train = avatars["slot"][kept], avatars["picture"][kept] < self.plan.train
        return slot[in_train], slot[~in_train]

    def list_rejected(self, filters: FilterRules) -> list[Rejected]:
        """Pictures, faces and avatars that are rejected, by manifest entry; no duplicates."""
        rejects: list[tuple[int, Reject, int | None]]
        rejects = [(picture, reject, None) for picture, reject in self.decoded.rejects]
        for number in np.flatnonzero(self.selection.fault).tolist():
            picture = int(self.decoded.avatars["picture"][number])
            rejects.append((picture, self._reject_avatar(number, filters), number))
        entry, offset = self.plan.entry, self.plan.manifest_offset
        urls = self._read_urls(int(offset[picture]) for picture, _, _ in rejects)
        rejected = [
            Rejected(int(entry[picture]), urls[int(offset[picture])], reject, number)
            for picture, reject, number in rejects
        ]
        return sorted(rejected, key=lambda each: each.entry)

    def list_duplicates(self) -> list[Duplicate]:
        """Entries that are left out because of an equal file, equal pixels or a near-duplicate."""
        pairs = [*self._pair_files(), *self._pair_avatars()]
        entry, offset = self.plan.entry, self.plan.manifest_offset
        urls = self._read_urls(
            place for pair in pairs for place in (pair.offset, int(offset[pair.kept]))
        )
        return [
            Duplicate(
                kept_entry=int(entry[pair.kept]),
                entry=pair.entry,
                kept_url=urls[int(offset[pair.kept])],
                url=urls[pair.offset],
                kind=pair.kind,
                dhash=pair.dhash,
                phash=pair.phash,
            )
            for pair in pairs
        ]

    def _pair_files(self) -> Iterator["_Pair"]:
        same = self.plan.same_files
        kept = self._find_kept(same.picture)
        for number in range(len(same.entry)):
            entry, offset = int(same.entry[number]), int(same.manifest_offset[number])
            yield _Pair(entry, offset, int(kept[number]), SAME_FILE)

    def _pair_avatars(self) -> Iterator["_Pair"]:
        selection, pictures = self.selection, self.decoded.avatars["picture"]
        for number in (*selection.same_pixels.tolist(), *selection.near.tolist()):
            picture, kept = int(pictures[number]), int(pictures[selection.leader[number]])
            entry = int(self.plan.entry[picture])
            offset = int(self.plan.manifest_offset[picture])
            dhash, phash = int(selection.dhash[number]), int(selection.phash[number])
            if dhash == NOT_COMPUTED:
                yield _Pair(entry, offset, kept, SAME_PIXELS)
            else:
                confirmed = None if phash == NOT_COMPUTED else phash
                yield _Pair(entry, offset, kept, NEAR, dhash, confirmed)

    def _find_kept(self, pictures: Integers) -> Integers:
        """For each picture that of the leader of its first avatar; itself if there is none."""
        avatars = self.decoded.avatars
        if not len(avatars):
            return pictures
        first = np.minimum(np.searchsorted(avatars["picture"], pictures), len(avatars) - 1)
        leader = self.selection.leader[first]
        has_leader = (avatars["picture"][first] == pictures) & (leader >= 0)
        return np.where(has_leader, avatars["picture"][leader], pictures)

    def _reject_avatar(self, number: int, filters: FilterRules) -> Reject:
        """The reject of an avatar with a fault."""
        avatar, fault = self.decoded.avatars[number], int(self.selection.fault[number]) - 1
        box = avatar["box"]
        face = None if np.isnan(box[0]) else Box(*(float(each) for each in box))
        return Reject(QUALITY_REASONS[fault], describe_fault(avatar, fault, filters), face)

    def _read_urls(self, offsets: Iterable[int]) -> dict[int, str]:
        """Read the URLs of the manifest entries at these offsets."""
        wanted = sorted(set(offsets))
        entries = self.dataset.entries_at(wanted)
        return {offset: entry.url for offset, entry in zip(wanted, entries, strict=True)}


@dataclass(frozen=True, slots=True)
class _Pair:
    """A manifest entry, by number and offset, and the picture that is kept instead of it."""

    entry: int
    offset: int
    kept: int
    kind: str
    dhash: int | None = None
    phash: int | None = None


def refuse_empty(outcome: Outcome, train: Integers, holdout: Integers) -> None:
    """Raise GanError if no image is left to train on; it names the setting to change."""
    if len(train):
        return
    if len(holdout):
        raise GanError(
            f"no image is left to train on, {len(holdout)} are held out; lower "
            "preprocess.holdout or scrape more images"
        )
    if len(outcome.decoded.avatars):
        raise GanError(
            f"preprocess.filters leaves out all {len(outcome.decoded.avatars)} avatars; lower its "
            "limits, one after the other, and look at reports/filters.png"
        )
    if not outcome.decoded.rejects:
        raise GanError("the dataset holds no image at all; scrape again with another source")
    first = min(outcome.list_rejected(NO_LIMITS), key=lambda each: each.entry)
    reason = f"{first.reject.reason} {first.reject.detail}".rstrip()
    pictures = {picture for picture, _ in outcome.decoded.rejects}
    raise GanError(
        f"none of {len(pictures)} images can be used; the first, "
        f"{one_line(first.url)}: {one_line(reason)}; scrape again with another source, or change "
        "preprocess.filters or preprocess.faces"
    )
