import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch_fidelity.metric_prc import calculate_precision_recall_full

from gan.errors import GanError
from gan.metrics import nearest_neighbours as distances
from gan.metrics.precision_recall import precision_recall


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(distances, "BLOCK_ROWS", 64)
    monkeypatch.setattr(distances, "BLOCK_COLUMNS", 100)


def draw(seed, count, dimensions=8, centre=0.0, scale=1.0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(count, dimensions)) * scale + centre).astype(np.float32)


def radii(features, k):
    return np.sort(cdist(features, features), axis=1)[:, k]  # column 0 is the image itself


def brute(real, fake):
    real, fake = real.astype(np.float64), fake.astype(np.float64)
    apart = cdist(fake, real)
    around_fake = radii(fake, 3)[:, None]
    return dict(
        precision=(apart <= radii(real, 3)).any(axis=1).mean(),
        recall=(apart <= around_fake).any(axis=0).mean(),
        density=(apart <= radii(real, 5)).sum() / (5 * len(fake)),
        coverage=(apart <= radii(real, 5)).any(axis=0).mean(),
    )


@pytest.mark.parametrize(
    ("reals", "fakes", "shift", "scale"),
    [(300, 300, 0.0, 1.0), (500, 170, 0.6, 1.0), (90, 350, 0.2, 0.5), (200, 200, 0.0, 2.0)],
)
def test_numbers_are_those_of_brute_force(reals, fakes, shift, scale):
    real, fake = draw(1, reals), draw(2, fakes, centre=shift, scale=scale)
    found, expected = precision_recall(real, fake), brute(real, fake)
    assert found == pytest.approx(expected, rel=1e-12)
    assert 0 < found["precision"] < 1 or scale == 0.5


def test_precision_and_recall_equal_torch_fidelity():
    real, fake = draw(3, 400), draw(4, 250, centre=0.4)
    sides = (torch.from_numpy(side.astype(np.float64)) for side in (fake, real))
    found = precision_recall(real, fake)
    assert (found["precision"], found["recall"]) == pytest.approx(
        calculate_precision_recall_full(*sides)
    )


def test_equal_sets_are_wholly_inside_each_other():
    real = draw(5, 300)
    found = precision_recall(real, real.copy())
    assert (found["precision"], found["recall"], found["coverage"]) == (1.0, 1.0, 1.0)
    # each image lies in its own ball, and each ball holds its 5 nearest, the last on its surface
    assert found["density"] == pytest.approx(6 / 5)


def test_neither_blocks_nor_offsets_change_a_number(monkeypatch):
    real, fake = draw(17, 300), draw(18, 250, centre=0.3)
    before = precision_recall(real, fake)
    assert precision_recall(
        np.round(real * 64) / 64 + 4096, np.round(fake * 64) / 64 + 4096
    ) == precision_recall(np.round(real * 64) / 64, np.round(fake * 64) / 64)
    monkeypatch.undo()
    assert precision_recall(real, fake) == before


def test_too_few_images_are_refused():
    with pytest.raises(GanError, match="5 images are too few; give at least 6"):
        precision_recall(draw(1, 5), draw(2, 9))
    with pytest.raises(GanError, match="3 images are too few; give at least 4"):
        precision_recall(draw(1, 9), draw(2, 3))
