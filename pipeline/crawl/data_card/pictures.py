"""A sample of a dataset's pictures: chosen evenly, decoded small, laid out on a sheet."""

import io
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.dataset.layout import EXTENSIONS
from pipeline.dataset.reader import Dataset
from pipeline.dataset.shards import Location
from pipeline.pictures.contact_sheet import contact_sheet
from pipeline.pictures.orientation import exif_turn

TILE = 96
COLUMNS = 8
WHITE = (255, 255, 255)
GREY = (208, 208, 208)  # the tile of a picture that can't be decoded


def choose(dataset: Dataset, count: int, most_bytes: int | None = None) -> list[Location]:
    """Up to `count` pictures, evenly spaced in the order of their sha256.

    With `most_bytes` fewer, so that their files have about that at most; one at least.
    """
    index = dataset.index()
    if most_bytes is not None and len(index):
        count = min(count, max(1, int(most_bytes / max(1.0, float(index.size.mean())))))
    order = np.argsort(index.digests, kind="stable")
    count = min(count, len(order))
    return [index.location(order[i * len(order) // count]) for i in range(count)]


def shrink(data: bytes, side: int) -> Image.Image:
    """Decode a file to small RGB, over white and turned as EXIF says, by box filters alone.

    The longer side comes to at least `side` pixels and less than twice that, or stays as it is
    where it is smaller. Of an animation the first frame is taken. Raises whatever Pillow raises
    on damaged files.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data), formats=tuple(EXTENSIONS)) as image:
            image.draft(None, (side, side))
            image.load()
            turn = exif_turn(image)
            small = _flatten(_reduce(image, side))
    return small if turn is None else small.transpose(turn)


def sheet(dataset: Dataset, count: int = 64) -> Image.Image:
    """A contact sheet of up to `count` pictures, each whole on a white tile of 96x96.

    Smaller pictures keep their size; a grey tile is a picture that can't be decoded.
    """
    chosen = choose(dataset, count)
    tiles = [_tile(location.read()) for location in chosen] or [_blank(GREY)]
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
        return _blank(GREY)
    image.thumbnail((TILE, TILE), Image.Resampling.LANCZOS)
    tile = Image.new("RGB", (TILE, TILE), WHITE)
    tile.paste(image, ((TILE - image.width) // 2, (TILE - image.height) // 2))
    return np.asarray(tile)


def _blank(colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    return np.full((TILE, TILE, 3), colour, dtype=np.uint8)
