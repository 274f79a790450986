"""A sample of a dataset's pictures: chosen evenly, decoded small, on a sheet, and its colours.

In the colours every picture weighs the same, whatever its size. Brightness is luma (ITU-R BT.601),
saturation and hue are those of HSV.
"""

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.dataset.reader import Dataset
from pipeline.pictures.contact_sheet import contact_sheet
from pipeline.pictures.formats import open_image
from pipeline.pictures.orientation import exif_turn

TILE = 96
COLUMNS = 8
WHITE = (255, 255, 255)
GREY_TILE = np.full((TILE, TILE, 3), 208, dtype=np.uint8)
"""The tile of a picture that can't be decoded."""

PICTURES = 2000
MAX_FILE_BYTES = 2**30  # of files to decode; 2,000 large PNGs would take minutes
SIDE = 64
BINS = 8
HUES = ["red", "orange", "yellow", "yellow-green", "green", "spring green"]
HUES += ["cyan", "azure", "blue", "violet", "magenta", "rose"]
"""Names of the hues around the circle, each 30 degrees wide, red centred on 0."""

COLOURED = 51  # a pixel has a hue from this saturation and HSV value on, of 255
GREY_SPREAD = 16  # largest difference of R, G and B in a grey pixel; JPEG brings some
GREY_SHARE = 0.99  # of the pixels of a greyscale picture


def choose(
    dataset: Dataset, count: int, most_bytes: int | None = None
) -> Iterator[Callable[[], bytes]]:
    """Readers of the files of up to `count` pictures, evenly spaced in the order of their sha256.

    With `most_bytes` fewer, so that their files have about that at most; one at least.
    """
    index = dataset.index()
    if most_bytes is not None and len(index):
        count = min(count, max(1, int(most_bytes / max(1.0, float(index.size.mean())))))
    order = np.argsort(index.digests, kind="stable")
    count = min(count, len(order))
    return (partial(index.read_image, order[i * len(order) // count]) for i in range(count))


def shrink(data: bytes, side: int) -> Image.Image:
    """Decode a file to small RGB, over white and turned as EXIF says, by box filters alone.

    The longer side comes to at least `side` pixels and less than twice that, or stays as it is
    where it is smaller. Of an animation the first frame is taken. Raises whatever Pillow raises
    on damaged files.
    """
    with (
        warnings.catch_warnings(action="ignore"),
        open_image(data) as image,
    ):
        image.draft(None, (side, side))
        image.load()
        turn = exif_turn(image)
        small = _flatten(_reduce(image, side))
    return small if turn is None else small.transpose(turn)


def sheet(dataset: Dataset, count: int = 64) -> Image.Image:
    """A contact sheet of up to `count` pictures, each whole on a white tile of 96x96.

    Smaller pictures keep their size; a grey tile is a picture that can't be decoded.
    """
    tiles = [_tile(read()) for read in choose(dataset, count)] or [GREY_TILE]
    return contact_sheet(np.stack(tiles), min(COLUMNS, len(tiles)))


def _reduce(image: Image.Image, side: int) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey, which convert() would clip
        levels = np.asarray(image).astype(np.int64) >> 8
        image = Image.fromarray(levels.clip(0, 255).astype(np.uint8))
    even = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return even.reduce(max(1, max(even.size) // side))


def _flatten(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    under = Image.new("RGBA", image.size, (*WHITE, 255))
    return Image.alpha_composite(under, image).convert("RGB")


def _tile(data: bytes) -> NDArray[np.uint8]:
    try:
        image = shrink(data, 2 * TILE)
    except Exception:  # Pillow's plugins raise nearly anything on damaged files
        return GREY_TILE
    image.thumbnail((TILE, TILE), Image.Resampling.LANCZOS)
    tile = Image.new("RGB", (TILE, TILE), WHITE)
    tile.paste(image, ((TILE - image.width) // 2, (TILE - image.height) // 2))
    return np.asarray(tile)


def measure_colours(dataset: Dataset) -> dict[str, Any]:
    """Colour statistics of up to 2,000 pictures, as shares of 1 and levels of 255.

    Shares of hues are of the pixels that have one. All but the counts is None or empty where no
    picture could be decoded.
    """
    measured, unreadable = [], 0
    for read in choose(dataset, PICTURES, MAX_FILE_BYTES):
        try:
            image = shrink(read(), SIDE)
        except Exception:  # Pillow's plugins raise nearly anything on damaged files
            unreadable += 1
        else:
            measured.append(_measure(image))
    counts = {"pictures": len(measured), "unreadable": unreadable}
    return {"at_most": PICTURES} | counts | (_summarise(measured) if measured else _NOTHING)


_NOTHING: dict[str, Any] = {
    **dict.fromkeys(("mean_rgb", "std_rgb", "greyscale", "coloured_pixels")),
    **{key: [] for key in ("brightness", "saturation", "hues")},
}


def _measure(image: Image.Image) -> dict[str, Any]:
    """One picture's moments, and the shares of its pixels in each bin."""
    rgb = np.asarray(image).reshape(-1, 3)
    hue, saturation, value = np.asarray(image.convert("HSV")).reshape(-1, 3).T.astype(np.int64)
    luma = np.asarray(image.convert("L")).ravel().astype(np.int64)
    coloured = (saturation >= COLOURED) & (value >= COLOURED)
    # Half a bin further round, so that red is not cut in two at 0.
    sector = (hue * len(HUES) * 2 // 255 + 1) // 2 % len(HUES)
    grey = np.ptp(rgb, axis=1) <= GREY_SPREAD
    return {
        "mean": rgb.mean(axis=0, dtype=np.float64),
        "square": np.square(rgb, dtype=np.float64).mean(axis=0),
        "brightness": np.bincount(luma * BINS // 256, minlength=BINS) / len(rgb),
        "saturation": np.bincount(saturation * BINS // 256, minlength=BINS) / len(rgb),
        "hues": np.bincount(sector[coloured], minlength=len(HUES)) / len(rgb),
        "grey": grey.mean() >= GREY_SHARE,
    }


def _summarise(measured: list[dict[str, Any]]) -> dict[str, Any]:
    means = {key: np.mean([each[key] for each in measured], axis=0) for key in measured[0]}
    variance = np.maximum(means["square"] - np.square(means["mean"]), 0)
    coloured = means["hues"].sum()
    return {
        "mean_rgb": _round(means["mean"], 1),
        "std_rgb": _round(np.sqrt(variance), 1),
        "greyscale": sum(bool(each["grey"]) for each in measured),
        "coloured_pixels": round(float(coloured), 4),
        "brightness": _round(means["brightness"]),
        "saturation": _round(means["saturation"]),
        "hues": [
            list(each) for each in zip(HUES, _round(means["hues"] / (coloured or 1)), strict=True)
        ],
    }


def _round(values: NDArray[np.float64], digits: int = 4) -> list[float]:
    """Round away the last bits, which differ between processors."""
    return [round(float(value), digits) for value in values]
