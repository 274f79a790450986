"""Contents of a cache: its avatars, their statistics, columns of the index, meta.json."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan.attributes import Labels
from gan.tensor_cache import cache_digest
from pipeline.dataset.reader import Dataset
from pipeline.preprocessing.decoding.avatars import Recipe
from pipeline.preprocessing.labels import AvatarLabels
from pipeline.preprocessing.measures import QUALITY_MEASURES
from pipeline.preprocessing.plan import Plan, digest_bytes

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's greyscale
BLOCK = 1 << 16  # lines of the index at a time, so that memory does not grow with them
CHANNELS = ("red", "green", "blue")
PERCENTILES = (5, 50, 95)
FACE = ("face_x", "face_y", "face_width", "face_height", "score")
MOST_LICENCES = 20  # in meta.json; some collections have one an artist


@dataclass(frozen=True)
class CacheContents:
    """All avatars, (n,) of AVATAR_DTYPE, and the numbers of those in the cache, train first.

    `counts` are the images by split, `attributes` the labels of all avatars.
    """

    avatars: NDArray[np.void]
    held: NDArray[np.int64]
    counts: Mapping[str, int]
    recipe: Recipe
    attributes: AvatarLabels

    @property
    def size(self) -> int:
        """Pixels of an image's side."""
        return self.recipe.settings.size

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The settings that decide the images: of a detector's file, the content."""
        values = self.recipe.settings.model_dump(exclude={"attributes"})
        faces = values.pop("faces")
        if self.recipe.detector is None:
            return values
        del faces["detector"], faces["file"]
        return values | {"faces": self.recipe.detector.describe() | faces}

    def take(self, name: str) -> NDArray[Any]:
        """A field of the avatars in the cache; a copy of all their fields would take far more."""
        return np.asarray(self.avatars[name][self.held])

    @cached_property
    def labels(self) -> Labels:
        """(N,A) labels of the images."""
        return self.attributes.labels[self.held]

    @cached_property
    def digest(self) -> str:
        """Digest of pixels, settings and split, as in meta.json."""
        return cache_digest(self.take("digest"), self.settings, self.counts)

    @cached_property
    def statistics(self) -> dict[str, Any]:
        """Statistics of the images.

        mean, std: of R, G and B over all pixels, in levels of 0 to 255. Percentiles: brightness of
        an image, in levels, and side that was cut out for it, in pixels of the source picture.
        """
        pixels = len(self.held) * self.size**2
        means = self.take("total").sum(axis=0) / pixels
        squares = self.take("squares").sum(axis=0) / pixels
        return {
            "mean": [round(float(each), 3) for each in means],
            "std": [round(float(each), 3) for each in np.sqrt(squares - means**2)],
            "brightness": _percentiles(_brightness(self.take("total"), self.size)),
            "side": _percentiles(self.take("side")),
        }

    def index(self, plan: Plan) -> Iterator[dict[str, Any]]:
        """Columns of index.parquet, some lines at a time.

        row is the number of the manifest entry; sha256, width and height are of the source
        picture, before any turn by EXIF; side, and face_x to score, which are null without a
        face, in pixels of the upright one; pixels is the sha256 of the cached image. Where
        near-duplicates stay there is no dhash.
        """
        for start in range(0, len(self.held), BLOCK):
            avatars = self.avatars[self.held[start : start + BLOCK]]
            train = min(max(self.counts["train"] - start, 0), len(avatars))
            picture, numbers = avatars["picture"], list(QUALITY_MEASURES)
            if self.recipe.settings.duplicates.near:
                numbers.append("dhash")
            columns = {
                "row": plan.entries["entry"][picture],
                "sha256": [each.tobytes().hex() for each in digest_bytes(plan.digest[picture])],
                "split": ["train"] * train + ["holdout"] * (len(avatars) - train),
                "width": plan.entries["width"][picture].astype(np.int32),
                "height": plan.entries["height"][picture].astype(np.int32),
                "side": avatars["side"],
            }
            columns |= {name: avatars["box"][:, i] for i, name in enumerate(FACE)}
            columns["brightness"] = _brightness(avatars["total"], self.size).astype(np.float32)
            columns |= {name: avatars[name] for name in numbers}
            yield columns | {"pixels": [each.tobytes() for each in avatars["digest"]]}

    def meta(self, dataset: Dataset, licences: Counter[str]) -> dict[str, Any]:
        """Values of meta.json; `licences` are those of the pictures that preprocess was given."""
        named = dict(licences.most_common(MOST_LICENCES))
        others = licences.total() - sum(named.values())
        return {
            "settings": self.settings,
            "filter": self.recipe.resampling,
            "snapshot": dataset.digest,
            "source": dataset.source,
            "licences": named | ({"others": others} if others else {}),
            "counts": self.counts,
            "statistics": self.statistics,
            "digest": self.digest,
            "attributes": self.attributes.meta(self.recipe.settings.attributes, self.labels),
        }


def _brightness(totals: NDArray[np.uint64], size: int) -> NDArray[np.float64]:
    """Mean luma, 0 to 255, by the (n,3) totals of images of `size` pixels."""
    red, green, blue = (totals[:, i] * share for i, share in enumerate(LUMA))
    return np.asarray((red + green + blue) / size**2)


def _percentiles(values: NDArray[np.float64]) -> dict[str, float]:
    found = np.percentile(values, PERCENTILES, method="lower")
    return {f"p{p:02d}": round(float(v), 2) for p, v in zip(PERCENTILES, found, strict=True)}


def flatten_statistics(statistics: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """`CacheContents.statistics` as single numbers: pixels/mean_red, pixels/brightness_p50, ..."""
    for name, values in statistics.items():
        parts = values if isinstance(values, dict) else dict(zip(CHANNELS, values, strict=True))
        yield from ((f"pixels/{name}_{part}", value) for part, value in parts.items())
