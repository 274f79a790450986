"""Pages: one to three avatars of different sizes on a plain ground, for face detectors."""

from dataclasses import dataclass
from random import Random

from PIL import Image

from pipeline.gallery.canvas import SUPERSAMPLE, Canvas
from pipeline.gallery.design import design
from pipeline.gallery.head import Head
from pipeline.gallery.painter import encode_jpeg, paint, stand_at_head
from pipeline.gallery.palette import ACCENTS, WHITE, Colour, mix
from pipeline.gallery.tagging import appearance_tags

PAGE_VERSION: int = 2
_COUNTS, _WEIGHTS = (1, 2, 3), (60, 30, 10)
_FACE = 0.64
"""Side of a face's box, from hairline to chin, as a share of an avatar's that is not zoomed."""


@dataclass(frozen=True)
class Place:
    """A place on a page, in pixels, for the avatar with this seed."""

    seed: int
    left: int
    top: int
    side: int


@dataclass(frozen=True)
class Page:
    """A page of `shape` (width, height) in pixels, its ground, and its avatars."""

    shape: tuple[int, int]
    ground: Colour
    places: tuple[Place, ...]


def lay_out(seed: int, size: int) -> Page:
    """The page with this seed, its shorter side `size` pixels; its first avatar is the seed's."""
    rng = Random(seed ^ 0x9A6E0000)
    length = int(size * rng.uniform(1.26, 1.52) + 0.5)
    upright, count = rng.random() < 0.6, rng.choices(_COUNTS, _WEIGHTS)[0]
    slot = length // count
    places = []
    for index in range(count):
        side = int(min(slot, size) * rng.uniform(0.68, 0.86))
        along = index * slot + int((slot - side) * rng.uniform(0.3, 0.7))
        across = int((size - side) * rng.uniform(0.3, 0.7))
        left, top = (across, along) if upright else (along, across)
        places.append(Place(rng.getrandbits(31) if index else seed, left, top, side))
    ground = mix(rng.choice(ACCENTS), WHITE, rng.uniform(0.4, 0.8))
    shape = (size, length) if upright else (length, size)
    return Page(shape, ground, tuple(places))


def face_boxes(seed: int, size: int) -> list[tuple[int, int, int, int]]:
    """Where the faces are, hairline to chin: (x, y, width, height) in pixels of the page."""
    return [_face_box(place) for place in lay_out(seed, size).places]


def _face_box(place: Place) -> tuple[int, int, int, int]:
    traits, canvas = design(place.seed), Canvas(place.side)
    stand_at_head(canvas, traits)
    ((x, y),) = canvas.place([Head(traits).on_face(0, 8)])
    wide = int(_FACE * traits.pose.zoom * place.side)
    left, top = int(x / SUPERSAMPLE - wide / 2), int(y / SUPERSAMPLE - wide / 2)
    return (place.left + left, place.top + top, wide, wide)


def paint_page(seed: int, size: int = 256) -> Image.Image:
    """The page with this seed as an RGB picture whose shorter side is `size` pixels."""
    page = lay_out(seed, size)
    picture = Image.new("RGB", page.shape, page.ground)
    for place in page.places:
        picture.paste(paint(place.seed, place.side), (place.left, place.top))
    return picture


def paint_page_jpeg(seed: int, size: int = 256) -> bytes:
    """The page as JPEG bytes."""
    return encode_jpeg(paint_page(seed, size))


def page_tags(seed: int) -> list[str]:
    """Booru-style tags of the page: number of characters, and appearance of each."""
    places = lay_out(seed, 100).places
    count = len(places)
    tags = ["1girl", "solo"] if count == 1 else [f"{count}girls", "multiple_girls"]
    for place in places:
        tags += appearance_tags(design(place.seed))
    return list(dict.fromkeys([*tags, "simple_background"]))
