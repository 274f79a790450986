"""Painter: the anime face of a seed, drawn with Pillow, the same on every machine."""

import io
from collections.abc import Callable

from PIL import Image

from pipeline.gallery import backdrop, extras, eyes, face, hair, headwear, outfit
from pipeline.gallery.back_hair import Mass, back_hair
from pipeline.gallery.canvas import Canvas
from pipeline.gallery.curves import Path
from pipeline.gallery.design import Design, design
from pipeline.gallery.fringe import front
from pipeline.gallery.head import NECK, Head
from pipeline.gallery.tagging import tags_of

PAINTER_VERSION: int = 1
Dress = Callable[[Canvas, Head], None]
_JPEG_QUALITY = 95
_THROUGH_HAIR = 0.3
_EYES_AND_BROWS: Path = [(-36, -20), (36, 24)]


def _face_the_head(canvas: Canvas, traits: Design) -> None:
    pose = traits.pose
    canvas.stand(pose.x, pose.y, pose.zoom, pose.tilt, NECK)


def _stand_upright(canvas: Canvas, traits: Design) -> None:
    pose = traits.pose
    canvas.stand(pose.x, pose.y, pose.zoom)


def draw(canvas: Canvas, traits: Design) -> None:
    """Draw the whole picture of a design, from back to front."""
    head = Head(traits)
    backdrop.draw_backdrop(canvas, traits)
    draw_figure(canvas, head, back_hair(head), outfit.draw_outfit)
    extras.cast_light(canvas, head)


def draw_figure(canvas: Canvas, head: Head, mass: Mass, dress: Dress) -> None:
    """Draw a character where its pose says; `dress` draws the clothes, upright under the head."""
    traits, bangs = head.design, front(head)
    _face_the_head(canvas, traits)
    hair.draw_back(canvas, head, mass.behind)
    _stand_upright(canvas, traits)
    face.draw_neck(canvas, head)
    dress(canvas, head)
    _face_the_head(canvas, traits)
    if traits.back == "braids":
        hair.draw_beads(canvas, head, mass)
    else:
        hair.draw_back(canvas, head, mass.beside)
    face.draw_ears(canvas, head)
    face.draw_face(canvas, head, bangs.outline)
    face.draw_blush(canvas, head)
    face.draw_nose(canvas, head)
    face.draw_mouth(canvas, head)
    eyes.draw_eyes(canvas, head)
    face.draw_brows(canvas, head, 1.0)
    headwear.draw_animal(canvas, head)
    hair.draw_under(canvas, head, bangs)
    hair.draw_front(canvas, head, bangs)
    with canvas.clip(bangs.outline, _EYES_AND_BROWS):
        eyes.draw_lids(canvas, head, _THROUGH_HAIR)
        face.draw_brows(canvas, head, _THROUGH_HAIR * 2)
    hair.draw_ahoge(canvas, head, bangs)
    for x, y in mass.ties:
        hair.draw_tie(canvas, x, y, traits.accent)
    extras.draw_glasses(canvas, head)
    extras.draw_pin(canvas, head)
    headwear.draw_headwear(canvas, head)


def paint(seed: int, size: int = 128) -> Image.Image:
    """The face with this seed as an RGB picture of `size` x `size` pixels."""
    canvas = Canvas(size)
    draw(canvas, design(seed))
    return canvas.finish()


def paint_jpeg(seed: int, size: int = 128) -> bytes:
    """The face as JPEG bytes: quality 95, 4:4:4, no metadata, equal for equal arguments."""
    buffer = io.BytesIO()
    paint(seed, size).save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling="4:4:4")
    return buffer.getvalue()


def tags(seed: int) -> list[str]:
    """Booru-style tags of the face with this seed, such as blue_hair, twintails, glasses."""
    return tags_of(design(seed))
