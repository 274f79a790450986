"""The sheet of the fakes that are nearest to training images."""

from dataclasses import replace

import numpy as np
import pytest

from gan.metrics.memorisation import Closest, Memorisation
from pipeline.evaluation.evaluate_subject import Pair
from pipeline.evaluation.outputs import BORDER, COLUMNS, closest_sheet
from pipeline.pictures.captions import CAPTION, GAP, TILE, TITLE

MEMORY = Memorisation(0.0123, 0.01, 0.4, False, ())


def pairs(count, size=32, mirrored=False):
    random = np.random.default_rng(0)
    images = random.integers(0, 100, (count, 2, size, size, 3), dtype=np.uint8)
    return [
        Pair(Closest(n, 100 + n, mirrored, 1.0, n / 20), *both) for n, both in enumerate(images)
    ]


def crop_tiles(sheet, place):
    """Crop the two tiles of the pair at a place, each (TILE, TILE, 3)."""
    line, column = divmod(place, COLUMNS)
    top = 2 * TITLE + GAP + line * (TILE + 2 * BORDER + CAPTION + GAP) + BORDER
    left = GAP + column * (2 * TILE + 2 * BORDER + GAP) + BORDER
    both = np.asarray(sheet)[top : top + TILE, left : left + 2 * TILE]
    return both[:, :TILE], both[:, TILE:]


@pytest.mark.parametrize("mirrored", [False, True])
def test_each_fake_is_left_of_its_training_image_mirrored_if_that_is_nearer(mirrored):
    given = pairs(16, mirrored=mirrored)
    sheet = closest_sheet(given, MEMORY)
    for place, pair in enumerate(given):
        fake, real = crop_tiles(sheet, place)
        expected = pair.real[:, ::-1] if mirrored else pair.real
        assert np.array_equal(fake, pair.fake.repeat(4, 0).repeat(4, 1))
        assert np.array_equal(real, expected.repeat(4, 0).repeat(4, 1))


def test_captions_name_mirrored_pairs_and_the_title_the_verdict():
    plain, mirrored = (np.asarray(closest_sheet(pairs(1, mirrored=m), MEMORY)) for m in (0, 1))
    below = 2 * TITLE + GAP + TILE + 2 * BORDER
    assert not np.array_equal(plain[below:], mirrored[below:])
    alarm = np.asarray(closest_sheet(pairs(1), replace(MEMORY, suspicious=True)))
    assert not np.array_equal(plain[:TITLE, : plain.shape[1]], alarm[:TITLE, : plain.shape[1]])


@pytest.mark.parametrize(("count", "size"), [(0, 1), (1, 96), (5, 256), (16, 40)])
def test_any_size_and_count_fits(count, size):
    sheet = closest_sheet(pairs(count, size), MEMORY if count else None)
    lines, line = -(-count // COLUMNS), TILE + 2 * BORDER + CAPTION + GAP
    assert sheet.height == (2 * TITLE + GAP + lines * line if count else TITLE)
    assert sheet.width >= GAP + min(count, COLUMNS) * (2 * TILE + 2 * BORDER + GAP)
    assert np.asarray(sheet).min() < 128  # without a test there is a line of text
