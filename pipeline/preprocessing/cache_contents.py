"""Contents of a cache: its avatars, their statistics, columns of the index, meta.json."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gan.tensor_cache import cache_digest
from pipeline.dataset.reader import Dataset
from pipeline.preprocessing.cache_writer import (
    digest_column,
    hex_column,
    number_column,
    split_column,
)
from pipeline.preprocessing.measures import QUALITY_MEASURES
from pipeline.preprocessing.plan import Plan, digest_bytes

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's greyscale
BLOCK = 1 << 16  # lines of the index at a time, so that memory does not grow with them
CHANNELS = ("red", "green", "blue")
PERCENTILES = (5, 50, 95)
FACE = ("face_x", "face_y", "face_width", "face_height", "score")
MOST_LICENCES = 20  # in meta.json; some collections have one an artist

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class CacheContents:
    """All avatars, (n,) of AVATAR_DTYPE, and the numbers of those in the cache, train first.

    `settings` are those that decide the images, `counts` the images by split.
    """

    avatars: NDArray[np.void]
    held: Integers
    counts: Mapping[str, int]
    settings: Mapping[str, Any]

    @property
    def size(self) -> int:
        """Pixels of an image's side."""
        return int(self.settings["size"])

    @cached_property
    def digest(self) -> str:
        """Digest of pixels, settings and split, as in meta.json."""
        return cache_digest(self.avatars["digest"][self.held], self.settings, self.counts)

    @cached_property
    def statistics(self) -> dict[str, Any]:
        """Statistics of the images.

        mean, std: of R, G and B over all pixels, in levels of 0 to 255. Percentiles: brightness of
        an image, in levels, and side that was cut out for it, in pixels of the source picture.
        """
        pixels = len(self.held) * self.size**2
        means = self.avatars["total"][self.held].sum(axis=0) / pixels
        squares = self.avatars["squares"][self.held].sum(axis=0) / pixels
        return {
            "mean": [round(float(each), 3) for each in means],
            "std": [round(float(each), 3) for each in np.sqrt(squares - means**2)],
            "brightness": _percentiles(brightness(self.avatars["total"][self.held], self.size)),
            "side": _percentiles(self.side),
        }

    @property
    def side(self) -> NDArray[np.float64]:
        """Pixels of the source picture that the side of each image spans."""
        return np.asarray(self.avatars["side"][self.held])

    def index(self, plan: Plan, hashes: bool) -> Iterator[dict[str, pa.Array]]:
        """Columns of index.parquet, some lines at a time.

        row is the number of the manifest entry; sha256, width and height are of the source
        picture, before any turn by EXIF; side, and face_x to score, which are null without a
        face, in pixels of the upright one; pixels is the sha256 of the cached image. Without
        `hashes` there is no dhash.
        """
        for start in range(0, len(self.held), BLOCK):
            avatars = self.avatars[self.held[start : start + BLOCK]]
            train = min(max(self.counts["train"] - start, 0), len(avatars))
            split = {"train": train, "holdout": len(avatars) - train}
            yield _columns(avatars, split, plan, self.size, hashes)

    def meta(self, resampling: str, dataset: Dataset, licences: Counter[str]) -> dict[str, Any]:
        """Values of meta.json; `licences` are those of the pictures that preprocess was given."""
        return {
            "settings": self.settings,
            "filter": resampling,
            "snapshot": dataset.digest,
            "source": dataset.source,
            "licences": _most_common(licences),
            "counts": self.counts,
            "statistics": self.statistics,
            "digest": self.digest,
        }


def brightness(totals: NDArray[np.uint64], size: int) -> NDArray[np.float64]:
    """Mean luma, 0 to 255, by the (n,3) totals of images of `size` pixels."""
    channels = totals.astype(np.float64)
    red, green, blue = (channels[:, number] * share for number, share in enumerate(LUMA))
    return np.asarray((red + green + blue) / size**2)


def _columns(
    avatars: NDArray[np.void], split: dict[str, int], plan: Plan, size: int, hashes: bool
) -> dict[str, pa.Array]:
    picture = avatars["picture"]
    columns = {
        "row": number_column(plan.entry[picture]),
        "sha256": hex_column(digest_bytes(plan.digest[picture])),
        "split": split_column(split),
        "width": number_column(plan.width[picture]),
        "height": number_column(plan.height[picture]),
        "side": number_column(avatars["side"]),
    }
    columns |= {name: number_column(avatars["box"][:, place]) for place, name in enumerate(FACE)}
    levels = brightness(avatars["total"], size).astype(np.float32)
    columns["brightness"] = number_column(levels)
    columns |= {name: number_column(avatars[name]) for name in QUALITY_MEASURES}
    if hashes:
        columns["dhash"] = number_column(avatars["dhash"])
    return columns | {"pixels": digest_column(avatars["digest"])}


def flatten_statistics(statistics: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """`CacheContents.statistics` as single numbers: pixels/mean_red, pixels/brightness_p50, ..."""
    for name, values in statistics.items():
        parts = values if isinstance(values, dict) else dict(zip(CHANNELS, values, strict=True))
        yield from ((f"pixels/{name}_{part}", value) for part, value in parts.items())


def _percentiles(values: NDArray[np.float64]) -> dict[str, float]:
    found = np.percentile(values, PERCENTILES, method="lower")
    return {f"p{p:02d}": round(float(v), 2) for p, v in zip(PERCENTILES, found, strict=True)}


def _most_common(licences: Counter[str]) -> dict[str, int]:
    """The commonest licences and how many pictures have each; the rest as one number."""
    named = dict(licences.most_common(MOST_LICENCES))
    others = licences.total() - sum(named.values())
    return named | ({"others": others} if others else {})
