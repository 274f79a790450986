"""Canvas for vector shapes in picture units, supersampled."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from PIL import Image, ImageDraw

from pipeline.gallery.curves import Path
from pipeline.gallery.palette import Colour

SUPERSAMPLE = 4
UNITS = 100.0
Stops = Sequence[tuple[float, Colour]]
Box = tuple[int, int, int, int]
_ROWS = 40
_RADIAL = Image.radial_gradient("L").point([max(0, 255 - 2 * level) for level in range(256)])


class Canvas:
    """A square picture in units of 1/100 of `size`, origin top left until `stand` moves it.

    Coordinates are cut to 1/100 pixel, so that the last bits of libm never reach the bytes.
    """

    def __init__(self, size: int) -> None:
        pixels = size * SUPERSAMPLE
        self.unit = pixels / UNITS
        self.stand()
        self._take(Image.new("RGB", (pixels, pixels)), (0, 0))

    def _take(self, image: Image.Image, corner: tuple[int, int]) -> None:
        """Draw on `image` from now on; its top left is at `corner` of the picture."""
        self.image = image
        self._corner = corner
        self._solid = ImageDraw.Draw(image)
        self._sheer = ImageDraw.Draw(image, "RGBA")

    def stand(
        self,
        x: float = 0.0,
        y: float = 0.0,
        zoom: float = 1.0,
        tilt: float = 0.0,
        pivot: float = 0.0,
    ) -> None:
        """Put the origin at (x, y), scale by `zoom`, rotate by `tilt` degrees about (0, pivot)."""
        cos = round(math.cos(math.radians(tilt)), 6) * zoom
        sin = round(math.sin(math.radians(tilt)), 6) * zoom
        left = x + sin * pivot
        top = y + zoom * pivot - cos * pivot
        self.zoom = zoom
        self._matrix = (cos * self.unit, sin * self.unit, left * self.unit, top * self.unit)

    def place(self, path: Path) -> Path:
        """The path in pixels of the current image, with two decimals."""
        # int() and a product: round(number, 2) goes through text and takes four times as long.
        cos, sin, left, top = (100 * part for part in self._matrix)
        left -= 100 * self._corner[0]
        top -= 100 * self._corner[1]
        return [
            (int(cos * x - sin * y + left) / 100, int(sin * x + cos * y + top) / 100)
            for x, y in path
        ]

    def fill(self, path: Path, colour: Colour, alpha: float = 1.0) -> None:
        """Fill a polygon."""
        if alpha >= 1:
            self._solid.polygon(self.place(path), fill=colour)
        else:
            self._sheer.polygon(self.place(path), fill=(*colour, int(alpha * 255)))

    def line(self, path: Path, colour: Colour, width: float, closed: bool = False) -> None:
        """Draw an opaque line of even width."""
        points = self.place(path)
        self._pen(points + points[:2] if closed else points, colour, width)

    def _pen(self, points: Path, colour: Colour, width: float) -> None:
        self._solid.line(points, fill=colour, width=max(1, round(width * self.zoom * self.unit)))

    def shape(self, path: Path, colour: Colour, line: Colour, width: float = 0.9) -> None:
        """Fill a polygon and draw its outline."""
        points = self.place(path)
        self._solid.polygon(points, fill=colour)
        self._pen(points + points[:2], line, width)

    def grade(
        self, path: Path, stops: Stops, line: Colour | None = None, width: float = 0.9
    ) -> None:
        """Fill a polygon with a vertical gradient; `stops` are (y, colour) from top to bottom."""
        points = self.place(path)
        box = self._box(points)
        if box is None:
            return
        mask = _mask(points, box)
        placed = [(self.place([(0.0, y)])[0][1], colour) for y, colour in stops]
        self.image.paste(_gradient(mask.size, box[1], placed), box[:2], mask)
        if line is not None:
            self._pen(points + points[:2], line, width)

    def _box(self, points: Path) -> Box | None:
        """The part of the current image that holds the points."""
        wide, high = self.image.size
        xs = [point[0] for point in points]
        ys = [point[1] for point in points]
        left, top = max(0, int(min(xs))), max(0, int(min(ys)))
        right, bottom = min(wide, int(max(xs)) + 2), min(high, int(max(ys)) + 2)
        return (left, top, right, bottom) if right > left and bottom > top else None

    def glow(
        self, x: float, y: float, width: float, height: float, colour: Colour, alpha: float
    ) -> None:
        """A soft oval: full strength in the middle, nothing at the half axes."""
        ((px, py),) = self.place([(x, y)])
        wide, high = width * self.zoom * self.unit, height * self.zoom * self.unit
        box = self._box([(px - wide, py - high), (px + wide, py + high)])
        if box is None:
            return
        scale_x, scale_y = 128 / wide, 128 / high
        source = (
            max(0.0, 128 + (box[0] - px) * scale_x),
            max(0.0, 128 + (box[1] - py) * scale_y),
            min(256.0, 128 + (box[2] - px) * scale_x),
            min(256.0, 128 + (box[3] - py) * scale_y),
        )
        if source[2] <= source[0] or source[3] <= source[1]:
            return
        faint = _RADIAL.point([int(level * alpha) for level in range(256)])
        size = (box[2] - box[0], box[3] - box[1])
        self.image.paste(colour, box, faint.resize(size, Image.Resampling.NEAREST, source))

    @contextmanager
    def clip(self, path: Path, within: Path | None = None) -> Iterator[None]:
        """Limit drawing in the block to the polygon `path`.

        `within` bounds what the block draws, which saves time where `path` is large.
        """
        points = self.place(path)
        box = self._box(points if within is None else self.place(within))
        if box is None:
            yield
            return
        under, corner = self.image, self._corner
        self._take(under.crop(box), (corner[0] + box[0], corner[1] + box[1]))
        yield
        over = self.image
        self._take(under, corner)
        under.paste(over, box[:2], _mask(points, box))

    def finish(self) -> Image.Image:
        """The picture at its own size."""
        return self.image.reduce(SUPERSAMPLE)


def _mask(points: Path, box: Box) -> Image.Image:
    mask = Image.new("1", (box[2] - box[0], box[3] - box[1]))
    inner = [(x - box[0], y - box[1]) for x, y in points]
    ImageDraw.Draw(mask).polygon(inner, fill=1)
    return mask


def _gradient(size: tuple[int, int], top: int, stops: Stops) -> Image.Image:
    """Rows coloured by interpolation between stops; `stops` in pixels, ascending."""
    wide, high = size
    rows = max(2, min(high, _ROWS))
    strip = Image.new("RGB", (1, rows))
    strip.putdata([_colour_at(stops, top + high * (row + 0.5) / rows) for row in range(rows)])
    tall = strip.resize((1, high), Image.Resampling.BILINEAR)
    return tall.resize((wide, high), Image.Resampling.NEAREST)


def _colour_at(stops: Stops, y: float) -> Colour:
    above = stops[0]
    for below in stops:
        if y < below[0]:
            share = (y - above[0]) / ((below[0] - above[0]) or 1.0) if below is not above else 0.0
            red, green, blue = (
                int(a + (b - a) * share) for a, b in zip(above[1], below[1], strict=True)
            )
            return (red, green, blue)
        above = below
    return above[1]
