"""Drawing of the clothed body below a head: torso, arms, legs.

In head units: shoulders at y = 62, waist at 134, hips at 170, knees near 285. It is longer than
any page, so that its lower end is always the edge of the picture.
"""

from pipeline.gallery.arms import Stance, draw_arms, draw_held
from pipeline.gallery.canvas import Canvas
from pipeline.gallery.clothes import Clothes, cloth_shade, clothes_of, seam
from pipeline.gallery.curves import Path, mirror, oval, quad, smooth, taper
from pipeline.gallery.design import Design
from pipeline.gallery.head import NECK, Head
from pipeline.gallery.lower_body import draw_legs, draw_lower
from pipeline.gallery.outfit import draw_collar
from pipeline.gallery.palette import INK, WHITE, Colour, mix


def _torso(design: Design) -> Path:
    top = {"dress": 58.0, "choker": 57.0, "kimono": 54.0}.get(design.outfit, 52.5)
    loose = 4.5 if design.outfit in ("hoodie", "kimono") else 0.0
    half: Path = [(9.5, top), (17, top + 3), (29, 60), (35, 68), (32 + loose * 0.3, 88)]
    half += [(31 + loose, 105), (24 + loose * 1.6, 132)]
    half += (
        [(28, 150)] if design.outfit == "sailor" else [(27 + loose, 148), (34 + loose * 0.5, 170)]
    )
    right = smooth(half, steps=5)
    return [*mirror(right)[::-1], *right]


def draw_body(canvas: Canvas, head: Head, stance: Stance) -> None:
    """Draw everything below the neck, from back to front, leaning as `stance` says."""
    design = head.design
    clothes = clothes_of(design)
    pose = design.pose
    canvas.stand(pose.x, pose.y, pose.zoom, stance.lean, NECK)
    draw_arms(canvas, design, stance, clothes.upper, clothes.sleeve, behind=True)
    draw_legs(canvas, design, clothes)
    covers = clothes.cut in ("gown", "wrap")
    tucked = covers or (clothes.cut != "trousers" and design.outfit not in ("hoodie", "sailor"))
    if not tucked:
        draw_lower(canvas, design, clothes)
    _draw_torso(canvas, design, clothes)
    if tucked:
        draw_lower(canvas, design, clothes)
    if design.outfit == "kimono":
        _draw_obi(canvas, design)
    draw_arms(canvas, design, stance, clothes.upper, clothes.sleeve, behind=False)
    if design.outfit == "shirt":
        _draw_tie(canvas, design)
    if design.outfit != "kimono":
        draw_collar(canvas, head)
    draw_held(canvas, design, stance)


def _draw_torso(canvas: Canvas, design: Design, clothes: Clothes) -> None:
    outline, colour = _torso(design), clothes.upper
    line, shade = seam(design.cloth), cloth_shade(colour)
    canvas.grade(
        outline, ((60.0, mix(colour, WHITE, 0.14)), (165.0, mix(colour, INK, 0.05))), line
    )
    side = design.light_side
    with canvas.clip(outline):
        edge = smooth([(side * 30, 60), (side * 22, 88), (side * 25, 106), (side * 14, 140)])
        canvas.fill([*edge, (side * 20, 180), (side * 60, 180), (side * 60, 60)], shade, 0.85)
        canvas.fill(oval(side * 4, 54, 28, 12), shade)
        for x, y, bend in ((-23, 128, 10), (22, 131, -9), (-24, 140, 8)):
            fold = quad((x, y), (x + bend, y + 2.5), (x + bend * 1.7, y + 1))
            canvas.fill(taper(fold, 0.9), line)
    _draw_details(canvas, design, colour, line)


def _draw_details(canvas: Canvas, design: Design, colour: Colour, line: Colour) -> None:
    match design.outfit:
        case "shirt":
            canvas.line([(0, 66), (0, 168)], mix(line, colour, 0.45), 0.7)
            for y in (122.0,):
                canvas.fill(oval(2.5, y, 1.3, 1.3, steps=10), mix(line, colour, 0.2))
        case "choker":
            _draw_print(canvas, design)
        case "hoodie":
            _draw_hoodie(canvas, design, line)
        case "turtleneck":
            for x in (-14, -7, 0, 7, 14):
                rib = quad((x, 62), (x * 0.95, 100), (x * 0.8, 132))
                canvas.line(rib, cloth_shade(colour), 0.7)
        case "sailor":
            hem: Path = [(-27.6, 145), (27.6, 145), (28.2, 150), (-28.2, 150)]
            canvas.fill(hem, design.cloth)
        case _:
            pass


def _draw_print(canvas: Canvas, design: Design) -> None:
    """Draw stripes or a heart on a T-shirt."""
    pale = mix(design.accent, WHITE, 0.45)
    if design.jitter % 2:
        with canvas.clip(_torso(design)):
            for y in range(72, 168, 16):
                canvas.line(quad((-44, y), (0, y + 7), (44, y)), pale, 3.2)
        return
    heart = smooth([(0, 94), (6, 87), (12, 92), (8, 101), (0, 110)], steps=4)
    canvas.fill([*heart, *mirror(heart)[::-1]], pale)


def _draw_hoodie(canvas: Canvas, design: Design, line: Colour) -> None:
    pocket: Path = [(-16, 128), (16, 128), (24, 156), (-24, 156)]
    canvas.shape(pocket, mix(design.cloth, WHITE, 0.1), line, 0.8)
    for side in (-1, 1):
        cord = smooth([(side * 6, 63), (side * 8, 78), (side * 7, 92)])
        canvas.line(cord, mix(design.cloth, WHITE, 0.8), 1.8)
    band: Path = [(-36.5, 161), (36.5, 161), (36, 172), (-36, 172)]
    canvas.shape(band, mix(design.cloth, INK, 0.18), line, 0.8)


def _draw_tie(canvas: Canvas, design: Design) -> None:
    path: Path = [(-4.4, 74), (4.4, 74), (6.4, 104), (0, 112), (-6.4, 104)]
    canvas.shape(path, design.accent, seam(design.accent), 0.8)
    for y in (83, 94):
        stripe: Path = [(-7, y + 4), (7, y - 3), (7, y), (-7, y + 7)]
        with canvas.clip(path):
            canvas.fill(stripe, mix(design.accent, WHITE, 0.55))


def _draw_obi(canvas: Canvas, design: Design) -> None:
    line = seam(design.cloth)
    for side, colour in ((1, design.accent), (-1, mix(design.accent, WHITE, 0.35))):
        band: Path = [(side * 11, 45), (side * 20, 54), (side * -10, 118), (side * -20, 112)]
        canvas.shape(band, colour, line, 0.8)
    sash: Path = [*quad((-33, 106), (0, 112), (33, 106)), *quad((34, 140), (0, 146), (-34, 140))]
    canvas.shape(sash, design.accent, seam(design.accent))
    cord = quad((-33.5, 123), (0, 129), (33.5, 123))
    canvas.line(cord, mix(design.accent, WHITE, 0.7), 3.0)
    canvas.shape(oval(0, 126, 4, 3.4, steps=14), WHITE, seam(design.accent), 0.6)
