"""What became of everything: all facts of one run, and what was left out on which account."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.dataset.reader import Dataset
from pipeline.preprocessing.duplicates.leaders import NOT_ASKED
from pipeline.preprocessing.faces.box import Box
from pipeline.preprocessing.faces.rules import Reject
from pipeline.preprocessing.filters import LOOKS, FilterRules, detail
from pipeline.preprocessing.plan import Plan
from pipeline.preprocessing.selection import Choice
from pipeline.preprocessing.sheets.duplicates import NEAR, SAME_FILE, SAME_PIXELS, Duplicate
from pipeline.preprocessing.sheets.rejects import Rejected

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Outcome:
    """What came of a plan: bench.AVATARS and the choice among them.

    `left_out` are pictures and faces, by entry, of which no avatar was made; `found` faces.
    """

    dataset: Dataset
    plan: Plan
    avatars: NDArray[np.void]
    choice: Choice
    left_out: list[tuple[int, Reject]]
    found: int

    def rejected(self, rules: FilterRules) -> list[Rejected]:
        """What was left out on its own account, in the order of the rows."""
        filtered = np.flatnonzero(self.choice.fault)
        entries = [entry for entry, _ in self.left_out]
        entries += self.avatars["entry"][filtered].tolist()
        rejects: list[tuple[Reject, int | None]] = [(each, None) for _, each in self.left_out]
        rejects += [(self._looks(number, rules), number) for number in filtered.tolist()]
        urls = self._urls(self.plan.place[entries] if entries else ())
        listed = [
            Rejected(int(self.plan.row[entry]), urls[int(self.plan.place[entry])], reject, number)
            for entry, (reject, number) in zip(entries, rejects, strict=True)
        ]
        return sorted(listed, key=lambda each: each.row)

    def in_slots(self, slots: Integers) -> Integers:
        """Numbers of the avatars that lie in these slots."""
        order = np.argsort(self.avatars["slot"])
        return order[np.searchsorted(self.avatars["slot"], slots, sorter=order)]

    def duplicates(self) -> Iterator[Duplicate]:
        """What was left out for the sake of another one."""
        plan, choice, same = self.plan, self.choice, self.plan.same_files
        pixels, near = choice.same_pixels, choice.near
        left_out = np.concatenate((pixels, near))
        entry = self.avatars["entry"]
        rows = np.concatenate((same.row, plan.row[entry[left_out]]))
        places = np.concatenate((same.place, plan.place[entry[left_out]]))
        kept = np.concatenate((self._standing(same.entry), entry[choice.leader[left_out]]))
        kinds = [SAME_FILE] * len(same.row) + [SAME_PIXELS] * len(pixels) + [NEAR] * len(near)
        exact: list[tuple[int | None, int | None]] = [(None, None)] * (len(rows) - len(near))
        distances = [
            (int(choice.dhash[number]), _asked(int(choice.phash[number]))) for number in near
        ]
        urls = self._urls(np.concatenate((places, plan.place[kept])))
        for row, place, other, kind, (dhash, phash) in zip(
            *(rows.tolist(), places.tolist(), kept.tolist(), kinds, [*exact, *distances]),
            strict=True,
        ):
            url, kept_url = urls[place], urls[int(plan.place[other])]
            yield Duplicate(int(plan.row[other]), row, kept_url, url, kind, dhash, phash)

    def _standing(self, entries: Integers) -> Integers:
        """For each entry the one that is kept for its first avatar; itself if it has none."""
        if not len(self.avatars):
            return entries
        numbers = np.searchsorted(self.avatars["entry"], entries)
        numbers = np.minimum(numbers, len(self.avatars) - 1)
        leader = self.choice.leader[numbers]
        stands = (self.avatars["entry"][numbers] == entries) & (leader >= 0)
        return np.where(stands, self.avatars["entry"][leader], entries)

    def _looks(self, number: int, rules: FilterRules) -> Reject:
        """Why an avatar was left out for its looks."""
        fact, which = self.avatars[number], int(self.choice.fault[number]) - 1
        box = fact["box"]
        face = None if np.isnan(box[0]) else Box(*(float(each) for each in box))
        return Reject(LOOKS[which], detail(fact, which, rules), face)

    def _urls(self, places: Iterable[int]) -> dict[int, str]:
        """URLs of the manifest's rows at these places."""
        wanted = sorted({int(place) for place in places})
        rows = self.dataset.entries_at(wanted)
        return {place: row.url for place, row in zip(wanted, rows, strict=True)}


def _asked(distance: int) -> int | None:
    return None if distance == NOT_ASKED else distance
