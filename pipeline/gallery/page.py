"""Pages: the illustration of a seed, with one to three characters in a scene."""

import io
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from random import Random

from PIL import Image

from pipeline.gallery import interiors, scenery, venues
from pipeline.gallery.arms import draw_arm
from pipeline.gallery.back_hair import Mass, back_hair
from pipeline.gallery.backdrop import draw_backdrop
from pipeline.gallery.body import draw_body
from pipeline.gallery.canvas import Canvas
from pipeline.gallery.clothes import clothes_of
from pipeline.gallery.curves import Path
from pipeline.gallery.design import Design
from pipeline.gallery.extras import cast_light_from
from pipeline.gallery.furniture import box
from pipeline.gallery.head import NECK, Head
from pipeline.gallery.layout import Actor, Layout, Panel, face_square, layout
from pipeline.gallery.painter import draw_figure
from pipeline.gallery.palette import INK, WHITE
from pipeline.gallery.skies import Scene, frame
from pipeline.gallery.tagging import appearance_tags, backdrop_tag

_JPEG_QUALITY = 92
_SUPERSAMPLE = 3
_SCENES: dict[str, tuple[Scene, str]] = {
    "meadow": (scenery.draw_meadow, "field"),
    "sea": (scenery.draw_sea, "beach"),
    "town": (venues.draw_town, "cityscape"),
    "grove": (scenery.draw_grove, "tree"),
    "snow": (scenery.draw_snow, "snow"),
    "festival": (venues.draw_festival, "lantern"),
    "room": (interiors.draw_room, "indoors"),
    "library": (interiors.draw_library, "library"),
    "classroom": (interiors.draw_classroom, "classroom"),
    "stage": (venues.draw_stage, "stage"),
    "card": (venues.draw_card, "simple_background"),
}
_BLURRED = ("room", "library", "classroom", "town", "grove", "meadow")
_LONG_BELOW = 30.0
_GROWTH = {"long": 2.1, "wavy": 2.0, "twintails": 1.7, "ponytail": 1.7, "side_ponytail": 1.5}


def page_size(seed: int, size: int) -> tuple[int, int]:
    """Width and height in pixels of the page with this seed; `size` is the shorter one."""
    plan = layout(seed)
    return (int(plan.wide * size / 100 + 0.5), int(plan.high * size / 100 + 0.5))


def face_boxes(seed: int, size: int) -> list[tuple[int, int, int, int]]:
    """Where the faces are, hairline to chin: (x, y, width, height) in pixels of the page."""
    boxes, unit = [], size / 100
    for actor in layout(seed).actors:
        (x, y), side = face_square(actor.traits)
        left, top, wide = (int(unit * part) for part in (x - side / 2, y - side / 2, side))
        boxes.append((left, top, wide, wide))
    return boxes


def paint_page(seed: int, size: int = 256) -> Image.Image:
    """The page with this seed as an RGB picture whose shorter side is `size` pixels."""
    plan = layout(seed)
    canvas = Canvas(size, page_size(seed, size), _SUPERSAMPLE)
    if plan.gutter:
        canvas.fill(frame(plan.wide, plan.high), WHITE)
    for panel in plan.panels:
        _draw_panel(canvas, panel, plan)
    return canvas.finish()


def paint_page_jpeg(seed: int, size: int = 256) -> bytes:
    """The page as JPEG bytes: quality 92, 4:4:4, no metadata, equal for equal arguments."""
    buffer = io.BytesIO()
    paint_page(seed, size).save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling="4:4:4")
    return buffer.getvalue()


def page_tags(seed: int) -> list[str]:
    """Booru-style tags of the page: number of characters, appearance of each, scene."""
    plan = layout(seed)
    count = len(plan.actors)
    tags = ["1girl", "solo"] if count == 1 else [f"{count}girls", "multiple_girls"]
    tags += ["upper_body", *(["comic"] if plan.gutter else [])]
    for actor in plan.actors:
        tags += appearance_tags(actor.traits)
    tags += [_SCENES[p.scene][1] for p in plan.panels if p.scene != "backdrop"]
    tags += [backdrop_tag(p.actors[0].traits) for p in plan.panels if p.scene == "backdrop"]
    return list(dict.fromkeys(tags))


def _draw_panel(canvas: Canvas, panel: Panel, plan: Layout) -> None:
    edge = box(panel.left, panel.top, panel.left + panel.wide, panel.top + panel.high)
    canvas.stand()
    with canvas.clip(edge) if plan.gutter else nullcontext():
        _draw_scene(canvas, panel)
        for actor in panel.actors:
            _draw_actor(canvas, actor)
        light = panel.actors[-1].traits
        if light.light != "none":
            canvas.stand()
            x = panel.left + panel.wide * (0.5 - light.light_side * 0.5)
            cast_light_from(canvas, light, x, panel.top + panel.high * 0.15, panel.high * 0.75)
    if plan.gutter:
        canvas.stand()
        canvas.line(edge, INK, 0.8, closed=True)


def _draw_scene(canvas: Canvas, panel: Panel) -> None:
    first = panel.actors[0].traits
    if panel.scene == "backdrop":
        span = max(panel.wide, panel.high)
        corner = (panel.left + (panel.wide - span) / 2, panel.top + (panel.high - span) / 2)
        canvas.stand(*corner, zoom=span / 100)
        draw_backdrop(canvas, first)
    else:
        canvas.stand(panel.left, panel.top)
        rng = Random(panel.jitter)
        _SCENES[panel.scene][0](canvas, rng, panel.wide, panel.high)
        if panel.scene in _BLURRED:
            canvas.soften(rng.choice((0.25, 0.45, 0.7)))
    canvas.stand()
    for actor in panel.actors:
        pose = actor.traits.pose
        reach = 105 * pose.zoom
        canvas.glow(pose.x, pose.y + 20 * pose.zoom, reach, reach * 1.2, WHITE, 0.3)


def _draw_actor(canvas: Canvas, actor: Actor) -> None:
    traits = actor.traits
    head = Head(traits)
    dress = partial(draw_body, stance=actor.stance)
    draw_figure(canvas, head, _lengthen(back_hair(head), traits), dress)
    clothes = clothes_of(traits)
    canvas.stand(traits.pose.x, traits.pose.y, traits.pose.zoom, actor.stance.lean, NECK)
    for side in (-1, 1):
        if actor.stance.arm(side) == "wave":
            draw_arm(canvas, traits, side, "wave", clothes.upper, clothes.sleeve)


def _lengthen(mass: Mass, traits: Design) -> Mass:
    """Lengthen long hair to suit the body; on avatars its ends are outside of the picture."""
    factor = _GROWTH.get(traits.back, 1.0)

    def grow(path: Path) -> Path:
        return [(x, y + max(0.0, y - _LONG_BELOW) * (factor - 1)) for x, y in path]

    return replace(
        mass,
        behind=tuple(grow(path) for path in mass.behind),
        beside=tuple(grow(path) for path in mass.beside),
    )
