"""Painter: the anime face of a seed, drawn with Pillow, the same on every machine."""

import io

from PIL import Image

from pipeline.gallery import backdrop, extras, eyes, face, hair, headwear, outfit
from pipeline.gallery.back_hair import back_hair
from pipeline.gallery.canvas import Canvas
from pipeline.gallery.curves import Path
from pipeline.gallery.design import Design, design
from pipeline.gallery.fringe import front
from pipeline.gallery.head import NECK, Head
from pipeline.gallery.tagging import tags_of

PAINTER_VERSION: int = 1
_JPEG_QUALITY = 95
_THROUGH_HAIR = 0.3
_EYES_AND_BROWS: Path = [(-36, -20), (36, 24)]


def stand_at_head(canvas: Canvas, traits: Design) -> None:
    """Draw in head units from now on."""
    pose = traits.pose
    canvas.stand(pose.x, pose.y, pose.zoom, pose.tilt, NECK)


def draw(canvas: Canvas, traits: Design) -> None:
    """Draw the whole picture of a design, from back to front."""
    head, bangs = Head(traits), front(Head(traits))
    mass, pose = back_hair(head), traits.pose
    backdrop.draw_backdrop(canvas, traits)
    stand_at_head(canvas, traits)
    hair.draw_back(canvas, head, mass.behind)
    canvas.stand(pose.x, pose.y, pose.zoom)
    face.draw_neck(canvas, head)
    outfit.draw_outfit(canvas, head)
    stand_at_head(canvas, traits)
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
    extras.cast_light(canvas, head)


def paint(seed: int, size: int = 128) -> Image.Image:
    """The face with this seed as an RGB picture of `size` x `size` pixels."""
    canvas = Canvas(size)
    draw(canvas, design(seed))
    return canvas.finish()


def encode_jpeg(picture: Image.Image) -> bytes:
    """JPEG bytes of quality 95, 4:4:4, without metadata, equal for equal pictures."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling="4:4:4")
    return buffer.getvalue()


def paint_jpeg(seed: int, size: int = 128) -> bytes:
    """The face with this seed as JPEG bytes."""
    return encode_jpeg(paint(seed, size))


def tags(seed: int) -> list[str]:
    """Booru-style tags of the face with this seed, such as blue_hair, twintails, glasses."""
    return tags_of(design(seed))
