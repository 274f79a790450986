"""Outcome of a preprocess run: what is kept, what is rejected, what is a duplicate of what."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gan.errors import GanError
from gan.params.data import FilterParams
from pipeline.console import one_line
from pipeline.dataset.reader import Dataset
from pipeline.faces.box import Box
from pipeline.preprocessing.faces.rules import Reject
from pipeline.preprocessing.filters import QUALITY_LIMITS, describe_fault
from pipeline.preprocessing.near_duplicates import NOT_COMPUTED
from pipeline.preprocessing.plan import Integers, Plan
from pipeline.preprocessing.selection import Selection
from pipeline.preprocessing.workers.worker import Decoded


class Rejected(NamedTuple):
    """A rejected picture or face, by its picture in the plan, and its manifest entry's URL.

    `avatar` is its number among the avatars if an avatar was made of it and a filter rejected it.
    """

    picture: int
    entry: int
    url: str
    reject: Reject
    avatar: int | None = None


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

    def list_rejected(self, filters: FilterParams) -> list[Rejected]:
        """Pictures, faces and avatars that are rejected, by manifest entry; no duplicates."""
        rejects: list[tuple[int, Reject, int | None]]
        rejects = [(picture, reject, None) for picture, reject in self.decoded.rejects]
        for number in np.flatnonzero(self.selection.fault).tolist():
            avatar = self.decoded.avatars[number]
            fault = QUALITY_LIMITS[self.selection.fault[number] - 1]
            box = None if np.isnan(avatar["box"][0]) else Box(*avatar["box"].tolist())
            reject = Reject(fault.reason, describe_fault(avatar, fault, filters), box)
            rejects.append((int(avatar["picture"]), reject, number))
        entries = self.plan.entries
        rejects.sort(key=lambda each: entries["entry"][each[0]])
        offsets = [int(entries["offset"][picture]) for picture, _, _ in rejects]
        listed = self.dataset.entries_at(offsets)
        return [
            Rejected(picture, int(entries["entry"][picture]), entry.url, reject, number)
            for (picture, reject, number), entry in zip(rejects, listed, strict=True)
        ]

    def duplicates_table(self) -> Iterator[str]:
        """Lines of duplicates.tsv, by kept entry and entry, and a header.

        Entries that are left out because of an equal file, equal pixels or a near-duplicate.
        """
        entries, selection = self.plan.entries, self.selection
        same_files, same, near = self.plan.same_files, selection.same_pixels, selection.near
        pictures, left_out = self.decoded.avatars["picture"], np.concatenate((same, near))
        dropped = np.concatenate((same_files, entries[pictures[left_out]]))
        kept_avatars = pictures[selection.leader[left_out]]
        kept = entries[np.concatenate((self._find_kept(self.plan.same_pictures), kept_avatars))]
        kinds = ["same file"] * len(same_files)
        kinds += ["same pixels"] * len(same) + ["near"] * len(near)
        unknown = np.full(len(kept) - len(near), NOT_COMPUTED, np.int16)
        dhash = np.concatenate((unknown, selection.dhash[near]))
        phash = np.concatenate((unknown, selection.phash[near]))
        order = np.lexsort((dropped["entry"], kept["entry"]))
        offsets = np.stack((kept["offset"], dropped["offset"]), axis=1)[order]
        urls = (entry.url for entry in self.dataset.entries_at(offsets.ravel().tolist()))
        yield "kept_row\trow\tkept_url\turl\tkind\tdhash\tphash\n"
        for number in order.tolist():
            rows = (kept["entry"][number], dropped["entry"][number])
            names = (one_line(next(urls)), one_line(next(urls)))
            distances = (each[number] for each in (dhash, phash))
            known = ("" if each == NOT_COMPUTED else each for each in distances)
            yield "\t".join(map(str, (*rows, *names, kinds[number], *known))) + "\n"

    def _find_kept(self, pictures: Integers) -> Integers:
        """For each picture that of the leader of its first avatar; itself if there is none."""
        avatars = self.decoded.avatars
        first = np.minimum(np.searchsorted(avatars["picture"], pictures), len(avatars) - 1)
        leader = self.selection.leader[first]
        has_leader = (avatars["picture"][first] == pictures) & (leader >= 0)
        return np.where(has_leader, avatars["picture"][leader], pictures)


def count_reasons(rejects: Sequence[Rejected]) -> dict[str, int]:
    """Number of rejects by reason, most frequent first."""
    counts = Counter(each.reject.reason for each in rejects)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def rejects_table(rejects: Sequence[Rejected]) -> str:
    """Lines of rejects.tsv: a header, then one for each reject."""
    lines = [
        f"{each.entry}\t{one_line(each.url)}\t{each.reject.reason}\t{one_line(each.reject.detail)}\n"
        for each in rejects
    ]
    return "row\turl\treason\tdetail\n" + "".join(lines)


def refuse_empty(outcome: Outcome, rejected: Sequence[Rejected]) -> None:
    """Raise GanError if no image is left to train on; it names the setting to change."""
    train, holdout = outcome.split()
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
    reason = f"{rejected[0].reject.reason} {rejected[0].reject.detail}".rstrip()
    raise GanError(
        f"none of {len({each.picture for each in rejected})} images can be used; the first, "
        f"{one_line(rejected[0].url)}: {one_line(reason)}; scrape again with another source, or "
        "change preprocess.filters or preprocess.faces"
    )
