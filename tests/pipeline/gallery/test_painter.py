"""Painter: faces are reproducible, distinct, of the given size, and as their tags say."""

import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pipeline.gallery import design as tables
from pipeline.gallery import painter
from pipeline.gallery.canvas import SUPERSAMPLE, Canvas
from pipeline.gallery.design import Design, design
from pipeline.gallery.fringe import front
from pipeline.gallery.head import Head
from pipeline.gallery.palette import EYE_COLOURS, HAIR_COLOURS, HairColour
from pipeline.gallery.tagging import tags_of

STYLES = {
    "back": tables.BACK_HAIR,
    "fringe": tables.FRINGES,
    "sidelocks": tables.SIDELOCKS,
    "lids": tables.LIDS,
    "pupil": tables.PUPILS,
    "blush": tables.BLUSHES,
    "nose": tables.NOSES,
    "glasses": tables.GLASSES,
    "headwear": tables.HEADWEAR,
    "pin": tables.PINS,
    "outfit": tables.OUTFITS,
    "backdrop": tables.BACKDROP_KINDS,
    "light": tables.LIGHTS,
}
_DIGEST = """
import hashlib
from pipeline.gallery.painter import paint_jpeg
print(hashlib.sha256(b"".join(paint_jpeg(seed, 48) for seed in range(30))).hexdigest(), end="")
"""


def _plain(seed: int, **traits: object) -> Design:
    """A design with nothing in front of eyes and crown."""
    bare = {"headwear": "none", "glasses": "none", "lids": "open", "light": "none", "pin": "none"}
    return replace(design(seed), **{**bare, "tips": None, **traits})  # type: ignore[arg-type]


def _patch(traits: Design, point: tuple[float, float], reach: int = 2) -> np.ndarray:
    """The pixels of the finished picture around a point of the head."""
    canvas = Canvas(128)
    painter.draw(canvas, traits)
    painter.stand_at_head(canvas, traits)
    x, y = (int(part / SUPERSAMPLE) for part in canvas.place([point])[0])
    pixels = np.asarray(canvas.finish(), dtype=float)
    return pixels[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]


def test_distinct_seeds_give_distinct_bytes_in_any_order_and_process() -> None:
    forward = [painter.paint_jpeg(seed, 48) for seed in range(30)]
    assert len(set(forward)) == 30
    assert forward[::-1] == [painter.paint_jpeg(seed, 48) for seed in reversed(range(30))]
    there = subprocess.check_output([sys.executable, "-c", _DIGEST], text=True)
    assert there == hashlib.sha256(b"".join(forward)).hexdigest()


def test_a_seed_gives_the_same_face_at_every_size() -> None:
    small = np.asarray(painter.paint(8, 64), dtype=float)
    large = np.asarray(painter.paint(8, 128).resize((64, 64), Image.Resampling.BOX), dtype=float)
    assert np.abs(small - large).mean() < 6


@pytest.mark.parametrize("trait", STYLES)
def test_every_style_can_be_painted_and_shows(trait: str) -> None:
    painted = []
    for value, _ in STYLES[trait]:
        canvas = Canvas(48)
        painter.draw(canvas, replace(_plain(11), **{trait: value}))  # type: ignore[arg-type]
        painted.append(canvas.finish().tobytes())
    assert len(set(painted)) == len(painted)


def test_tags_follow_the_traits() -> None:
    traits = _plain(1, eyes=("red_eyes", "blue_eyes"), back="twintails", mouth="open")
    wanted = {"red_eyes", "blue_eyes", "heterochromia", "twintails", "open_mouth"}
    assert wanted <= set(tags_of(traits))
    assert "red_eyes" not in tags_of(replace(traits, lids="closed"))


def test_every_trait_occurs_and_tags_are_general_and_unique() -> None:
    seen: set[str] = set()
    for seed in range(1500):
        found = painter.tags(seed)
        assert found[0] == "1girl"
        assert len(found) == len(set(found))
        assert all(tag == tag.lower() and " " not in tag for tag in found)
        seen |= set(found)
    assert {colour.tag for colour in HAIR_COLOURS} | set(EYE_COLOURS) <= seen
    assert {"ponytail", "twin_braids", "double_bun", "wavy_hair", "cat_ears", "beret"} <= seen
    assert {design(seed).ahoge for seed in range(200)} == {name for name, _ in tables.AHOGE}


@pytest.mark.parametrize("colour", HAIR_COLOURS, ids=lambda colour: colour.tag)
def test_the_dome_shows_the_tagged_hair_colour(colour: HairColour) -> None:
    traits = _plain(11, hair=colour, ahoge="none", back="short", tufted=False)
    middle = np.median(_patch(traits, (0, -42), 4).reshape(-1, 3), axis=0)
    nearest = sorted(HAIR_COLOURS, key=lambda other: np.abs(middle - other.base).sum())
    assert colour.tag in {other.tag for other in nearest[:3]}


@pytest.mark.parametrize("name", ["blue_eyes", "red_eyes", "green_eyes", "yellow_eyes"])
@pytest.mark.parametrize("seed", [2, 23])
def test_irises_show_the_tagged_colour_on_both_sides(name: str, seed: int) -> None:
    traits = _plain(seed, eyes=(name, name))
    head = Head(traits)
    for side in (-1, 1):
        x, y = head.eye(side)
        patch = _patch(traits, (x, y + traits.eye_form.height * 0.45), 2).reshape(-1, 3)
        shares = patch.mean(axis=0) - patch.mean()
        wanted = np.array(EYE_COLOURS[name], dtype=float)
        assert np.dot(shares, wanted - wanted.mean()) > 0


def test_no_fringe_hides_an_eye() -> None:
    for seed in range(60):
        traits = _plain(seed)
        head = Head(traits)
        covered = Canvas(128)
        covered.stand(50, 50)
        covered.fill(front(head).outline, (255, 255, 255))
        for side in (-1, 1):
            x, y = head.eye(side)
            ((px, py),) = covered.place([(x, y + traits.eye_form.height * 0.5)])
            assert covered.image.getpixel((int(px), int(py))) == (0, 0, 0), f"seed {seed}"
