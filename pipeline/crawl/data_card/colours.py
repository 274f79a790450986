"""Colours of a dataset: mean, spread, brightness, saturation and hue of evenly chosen pictures.

Every picture weighs the same, whatever its size. Brightness is luma (ITU-R BT.601), saturation
and hue are those of HSV.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.crawl.data_card.pictures import choose, shrink
from pipeline.dataset.reader import Dataset

PICTURES = 2000
MAX_FILE_BYTES = 2**30  # of files to decode; 2,000 large PNGs would take minutes
SIDE = 64
BINS = 8
HUES = (
    "red",
    "orange",
    "yellow",
    "yellow-green",
    "green",
    "spring green",
    "cyan",
    "azure",
    "blue",
    "violet",
    "magenta",
    "rose",
)
"""Names of the hues around the circle, each 30 degrees wide, red centred on 0."""

COLOURED = 51  # a pixel has a hue from this saturation and HSV value on, of 255
GREY_SPREAD = 16  # largest difference of R, G and B in a grey pixel; JPEG brings some
GREY_SHARE = 0.99  # of the pixels of a greyscale picture


@dataclass(frozen=True)
class _PictureColours:
    """One picture's moments, and the shares of its pixels in each bin."""

    mean: NDArray[np.float64]
    square: NDArray[np.float64]
    brightness: NDArray[np.float64]
    saturation: NDArray[np.float64]
    hues: NDArray[np.float64]
    grey: bool


def measure_colours(dataset: Dataset) -> dict[str, Any]:
    """Colour statistics of up to 2,000 pictures, as shares of 1 and levels of 255.

    Shares of hues are of the pixels that have one. All but the counts is None or empty where no
    picture could be decoded.
    """
    chosen = choose(dataset, PICTURES, MAX_FILE_BYTES)
    measured = [_measure(image) for image in _decode(chosen)]
    counts = {"pictures": len(measured), "unreadable": len(chosen) - len(measured)}
    return {"at_most": PICTURES} | counts | (_summarise(measured) if measured else _NOTHING)


_NOTHING: dict[str, Any] = {
    "mean_rgb": None,
    "std_rgb": None,
    "greyscale": None,
    "coloured_pixels": None,
    "brightness": [],
    "saturation": [],
    "hues": [],
}


def _decode(chosen: list[Any]) -> Iterator[Image.Image]:
    for location in chosen:
        try:
            image = shrink(location.read(), SIDE)
        except Exception:  # Pillow's plugins raise nearly anything on damaged files
            continue
        yield image


def _measure(image: Image.Image) -> _PictureColours:
    rgb = np.asarray(image).reshape(-1, 3)
    hue, saturation, value = np.asarray(image.convert("HSV")).reshape(-1, 3).T.astype(np.int64)
    coloured = (saturation >= COLOURED) & (value >= COLOURED)
    # Half a bin further round, so that red is not cut in two at 0.
    sector = (hue * len(HUES) * 2 // 255 + 1) // 2 % len(HUES)
    grey = np.ptp(rgb, axis=1) <= GREY_SPREAD
    return _PictureColours(
        rgb.mean(axis=0, dtype=np.float64),
        np.square(rgb, dtype=np.float64).mean(axis=0),
        _shares(np.asarray(image.convert("L")).ravel().astype(np.int64) * BINS // 256, BINS),
        _shares(saturation * BINS // 256, BINS),
        _shares(sector[coloured], len(HUES), len(rgb)),
        bool(grey.mean() >= GREY_SHARE),
    )


def _shares(bins: NDArray[np.int64], count: int, whole: int | None = None) -> NDArray[np.float64]:
    """The share of `whole`, or of all, that falls into each of `count` bins."""
    return np.bincount(bins, minlength=count) / (whole or len(bins))


def _summarise(measured: list[_PictureColours]) -> dict[str, Any]:
    mean = np.mean([each.mean for each in measured], axis=0)
    square = np.mean([each.square for each in measured], axis=0)
    hues = np.mean([each.hues for each in measured], axis=0)
    coloured = hues.sum()
    return {
        "mean_rgb": _round(mean, 1),
        "std_rgb": _round(np.sqrt(np.maximum(square - np.square(mean), 0)), 1),
        "greyscale": sum(each.grey for each in measured),
        "coloured_pixels": round(float(coloured), 4),
        "brightness": _round(np.mean([each.brightness for each in measured], axis=0)),
        "saturation": _round(np.mean([each.saturation for each in measured], axis=0)),
        "hues": [list(each) for each in zip(HUES, _round(hues / (coloured or 1)), strict=True)],
    }


def _round(values: NDArray[np.float64], digits: int = 4) -> list[float]:
    """Round away the last bits, which differ between processors."""
    return [round(float(value), digits) for value in values]
