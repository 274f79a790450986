"""Labels of avatars: those of their pictures, in the vocabulary that enough of them fill."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gan.attributes import UNKNOWN, Attribute, Labels, Vocabulary, labels_digest, to_json
from gan.params.data import AttributesParams
from pipeline.dataset.attributes import define_vocabulary
from pipeline.preprocessing.outcome import Outcome


@dataclass(frozen=True)
class AvatarLabels:
    """Labels (n, A) of all avatars; `left_out` are training images of values that are too rare."""

    vocabulary: Vocabulary
    labels: Labels
    left_out: Mapping[str, int]

    def describe_left_out(self, settings: AttributesParams) -> str:
        """One line on values that are left out; empty if none is."""
        if not self.left_out:
            return ""
        counts = ", ".join(f"{name} {count:,}" for name, count in self.left_out.items())
        return (
            f"attributes left out, fewer than least_count = {settings.least_count} training "
            f"images: {counts}"
        )

    def meta(self, settings: AttributesParams, rows: Labels) -> dict[str, Any]:
        """The part of meta.json about labels; `rows` are those of the cache."""
        return {
            "vocabulary": to_json(self.vocabulary),
            "digest": labels_digest(rows, self.vocabulary),
            "left_out": dict(self.left_out),
            "settings": settings.model_dump(),
        }


def label_avatars(outcome: Outcome, settings: AttributesParams) -> AvatarLabels:
    """Label all avatars.

    Tags are of a whole picture: of one with several faces all is unknown. A value that has fewer
    training images than settings.least_count is left out, and unknown where it was; so is an
    attribute of which fewer than two values stay. Where no tag says anything none is left out.
    """
    pictures = outcome.decoded.avatars["picture"]
    labels = outcome.plan.labels[pictures]
    several = np.bincount(pictures, minlength=len(outcome.plan)) > 1
    labels[several[pictures]] = UNKNOWN
    in_train = outcome.selection.kept & (pictures < outcome.plan.train)
    kept, columns = [], []
    left_out: dict[str, int] = {}
    for column, attribute in zip(labels.T, define_vocabulary(settings), strict=True):
        counts = np.bincount(column[in_train] - UNKNOWN, minlength=len(attribute.values) + 1)[1:]
        stays = counts >= settings.least_count
        names = attribute.values
        if attribute.kind == "independent":
            names = tuple(f"{attribute.name}: {value}" for value in attribute.values)
        left_out |= {
            name: int(count)
            for name, count, stay in zip(names, counts, stays, strict=True)
            if not stay
        }
        if np.count_nonzero(stays) > 1:
            # the last one is for UNKNOWN, -1
            codes = np.append(np.where(stays, np.cumsum(stays) - 1, UNKNOWN), UNKNOWN)
            columns.append(codes.astype(np.int8)[column])
            values = tuple(np.array(attribute.values)[stays].tolist())
            kept.append(Attribute(attribute.name, attribute.kind, values))
    found = np.stack(columns, axis=1) if columns else labels[:, :0]
    return AvatarLabels(tuple(kept), found, left_out if (labels != UNKNOWN).any() else {})
