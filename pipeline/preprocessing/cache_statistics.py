"""What is known of the images of a cache: numbers over all, and a row of the index for each."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.preprocessing.cache_writer import digests, hex_digests, numbers, words
from pipeline.preprocessing.measures import LOOKS
from pipeline.preprocessing.plan import Plan, raw

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's greyscale
BLOCK = 1 << 16  # rows of the index at a time, so that memory does not grow with them
CHANNELS = ("red", "green", "blue")
PERCENTILES = (5, 50, 95)
FACE = ("face_x", "face_y", "face_width", "face_height", "score")


@dataclass(frozen=True)
class Cached:
    """What a cache holds: bench.AVATARS, and which of them are its rows, in order, train first."""

    avatars: NDArray[np.void]
    rows: NDArray[np.int64]
    counts: dict[str, int]  # by split
    size: int
    digest: str

    @property
    def statistics(self) -> dict[str, Any]:
        """In levels of 0 to 255, and in pixels of the source pictures.

        mean, std: of R, G and B over all pixels; brightness of an avatar, and side that was cut
        out for it: percentiles.
        """
        pixels = len(self.rows) * self.size**2
        means = self.avatars["total"][self.rows].sum(axis=0) / pixels
        squares = self.avatars["squares"][self.rows].sum(axis=0) / pixels
        return {
            "mean": [round(float(each), 3) for each in means],
            "std": [round(float(each), 3) for each in np.sqrt(squares - means**2)],
            "brightness": _percentiles(brightness(self.avatars["total"][self.rows], self.size)),
            "side": _percentiles(self.side),
        }

    @property
    def side(self) -> NDArray[np.float64]:
        """Pixels of the source picture that the side of each image spans."""
        return np.asarray(self.avatars["side"][self.rows])

    def columns(self, plan: Plan, hashes: bool) -> Iterator[dict[str, pa.Array]]:
        """The columns of index.parquet, some rows at a time.

        row, sha256, width and height are of the source picture, before any turn by EXIF; side,
        and face_x to score, which are null without a face, in pixels of the upright one; pixels
        is the sha256 of the cached image. Without `hashes` there is no dhash.
        """
        for start in range(0, len(self.rows), BLOCK):
            avatars = self.avatars[self.rows[start : start + BLOCK]]
            train = min(max(self.counts["train"] - start, 0), len(avatars))
            split = {"train": train, "holdout": len(avatars) - train}
            yield _columns(avatars, split, plan, self.size, hashes)


def brightness(totals: NDArray[np.uint64], size: int) -> NDArray[np.float64]:
    """Mean luma, 0 to 255, by the (n,3) totals of images of `size` pixels."""
    channels = totals.astype(np.float64)
    red, green, blue = (channels[:, number] * share for number, share in enumerate(LUMA))
    return np.asarray((red + green + blue) / size**2)


def _columns(
    avatars: NDArray[np.void], split: dict[str, int], plan: Plan, size: int, hashes: bool
) -> dict[str, pa.Array]:
    entry = avatars["entry"]
    columns = {
        "row": numbers(plan.row[entry]),
        "sha256": hex_digests(raw(plan.digest[entry])),
        "split": words(split),
        "width": numbers(plan.width[entry]),
        "height": numbers(plan.height[entry]),
        "side": numbers(avatars["side"]),
    }
    columns |= {name: numbers(avatars["box"][:, place]) for place, name in enumerate(FACE)}
    columns["brightness"] = numbers(brightness(avatars["total"], size).astype(np.float32))
    columns |= {name: numbers(avatars[name]) for name in LOOKS}
    if hashes:
        columns["dhash"] = numbers(avatars["dhash"])
    return columns | {"pixels": digests(avatars["digest"])}


def named(statistics: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """`Cached.statistics` as single numbers: pixels/mean_red, pixels/brightness_p50, ..."""
    for name, values in statistics.items():
        parts = values if isinstance(values, dict) else dict(zip(CHANNELS, values, strict=True))
        yield from ((f"pixels/{name}_{part}", value) for part, value in parts.items())


def _percentiles(values: NDArray[np.float64]) -> dict[str, float]:
    found = np.percentile(values, PERCENTILES, method="lower")
    return {f"p{p:02d}": round(float(v), 2) for p, v in zip(PERCENTILES, found, strict=True)}
