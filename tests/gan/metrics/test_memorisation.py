"""On faces of ellipses: who is caught, who is not, and whether the test is exact."""

from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist

from gan.errors import GanError
from gan.metrics.memorisation import (
    ALARM,
    CLOSEST_PAIRS,
    MIN_HOLDOUT,
    NEIGHBOURS,
    _p_value,
    memorisation,
)
from gan.metrics.thumbnails import VIEWS, Thumbnails, mirror_columns

SIZE = 32


def ellipse(random, count, centre, spread, radius):
    """(count, SIZE, SIZE, 1): soft masks around a place that varies."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    cx, cy = (np.array(centre)[:, None] + spread * random.normal(size=(2, count)))[..., None, None]
    rx, ry = (radius * random.uniform(0.7, 1.4, (2, count)))[..., None, None]
    far = np.sqrt(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2)
    return np.clip((1 - far) * 8, 0, 1)[..., None]


def faces(count, seed):
    """(count, SIZE, SIZE, 3) uint8: a background, hair, a face, two eyes and a mouth."""
    random = np.random.default_rng(seed)
    images = random.uniform(0, 255, (count, 1, 1, 3)) * np.linspace(0.6, 1, SIZE)[:, None, None]
    images = np.broadcast_to(images, (count, SIZE, SIZE, 3))
    parts = [((0.45, 0.4), 0.06, 0.36), ((0.5, 0.55), 0.05, 0.25), ((0.4, 0.55), 0.03, 0.07)]
    for centre, spread, radius in [*parts, ((0.6, 0.55), 0.03, 0.07), ((0.5, 0.7), 0.03, 0.06)]:
        mask = ellipse(random, count, centre, spread, radius)
        images = images * (1 - mask) + mask * random.uniform(0, 255, (count, 1, 1, 3))
    return np.rint(images).astype(np.uint8)


def noisy(images, deviation, seed=0):
    noise = np.random.default_rng(seed).normal(0, deviation, images.shape)
    return np.clip(np.rint(images + noise), 0, 255).astype(np.uint8)


def extract(images):
    return Thumbnails()(torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)).numpy()


TRAIN, HOLDOUT, NEW = faces(800, 1), faces(200, 2), faces(300, 3)
TRAIN_FEATURES, HOLDOUT_FEATURES = extract(TRAIN), extract(HOLDOUT)


def measure(fakes, train=TRAIN_FEATURES, holdout=HOLDOUT_FEATURES):
    return memorisation(train, holdout, extract(fakes), VIEWS, mirror_columns())


@pytest.mark.parametrize("deviation", [0, 2, 10, 20, 40])
@pytest.mark.parametrize("mirrored", [False, True])
def test_training_images_with_noise_are_caught(deviation, mirrored):
    copies = TRAIN[:300, :, ::-1] if mirrored else TRAIN[:300]
    found = measure(noisy(copies, deviation))
    assert found.suspicious
    assert found.share > 0.95
    assert found.p_value < 1e-9
    assert all(each.row == each.fake and each.mirrored == mirrored for each in found.closest)


def test_other_small_changes_are_caught():
    shifted = np.roll(TRAIN[:300], 1, axis=2)
    brighter = np.clip(TRAIN[:300] * 0.9 + 20, 0, 255).astype(np.uint8)
    blurred = gaussian_filter(TRAIN[:300], (0, 1, 1, 0))
    assert [measure(each).suspicious for each in (shifted, brighter, blurred)] == [True] * 3


def test_new_images_are_not_suspicious():
    found = measure(NEW)
    assert not found.suspicious
    assert found.share < 0.04
    assert found.expected == pytest.approx(2 / 201)
    assert not measure(HOLDOUT).suspicious


def test_a_fifth_of_copies_is_caught_and_a_collapsed_copier_has_sixteen_pairs():
    copies = noisy(TRAIN[:60], 10)
    collapsed = measure(noisy(TRAIN[7:8].repeat(20, 0), 10))
    assert collapsed.suspicious
    assert len({each.fake for each in collapsed.closest}) == CLOSEST_PAIRS
    assert {each.row for each in collapsed.closest} == {7}
    garbage = np.random.default_rng(0).integers(0, 256, (240, 4, 4, 3), dtype=np.uint8)
    for others in (NEW[:240], garbage.repeat(8, 1).repeat(8, 2)):
        found = measure(np.concatenate([others, copies]))
        assert found.suspicious
        assert found.share == pytest.approx(0.2, abs=0.03)
        assert {each.fake for each in found.closest} <= set(range(240, 300))


def test_a_poor_generator_is_not_taken_for_one_that_copies():
    random = np.random.default_rng(0)
    blends = TRAIN[random.integers(0, 800, (300, 5))].mean(axis=1).astype(np.uint8)
    blurred = gaussian_filter(NEW, (0, 2, 2, 0))
    grey = random.integers(0, 256, NEW.shape, dtype=np.uint8)
    pale = (NEW * 0.5 + TRAIN.mean(axis=0) * 0.5).astype(np.uint8)
    collapsed = noisy(NEW[:1].repeat(300, 0), 10)
    for fakes in (blends, blurred, grey, pale, collapsed):
        assert not measure(fakes).suspicious


def test_the_p_value_is_the_share_of_orders_with_as_many_fakes_in_front():
    fakes, holdout = 6, 5
    orders = list(combinations(range(fakes + holdout), holdout))  # places of the hold-out
    for rank in (1, 2, 3):
        before = np.array([order[rank - 1] - (rank - 1) for order in orders])
        assert before.mean() / fakes == pytest.approx(rank / (holdout + 1))  # what is expected
        for below in range(fakes + 1):
            exact = (before >= below).mean()
            assert _p_value(below, fakes, rank, holdout) == pytest.approx(exact, abs=1e-12)


def test_false_alarms_are_as_rare_as_promised():
    """Points instead of images: 100 generators that are as good as the hold-out."""
    random = np.random.default_rng(0)
    train, pool = (random.normal(size=(n, 4)).astype(np.float32) for n in (200, 400))
    p_values, alarms = [], 0
    for _ in range(100):
        order = random.permutation(400)
        found = memorisation(train, pool[order[:100]], pool[order[100:]])
        p_values.append(found.p_value)
        alarms += found.suspicious
    assert alarms <= 1
    for level in (0.05, 0.2, 0.5):
        spread = 4 * np.sqrt(level * (1 - level) / 100)
        assert (np.array(p_values) <= level).mean() <= level + spread
    assert np.mean(np.array(p_values) <= 0.5) > 0.35  # and it isn't careful beyond reason


def test_duplicates_among_the_training_images_hide_no_copy():
    many = np.concatenate([TRAIN_FEATURES[:100].repeat(8, 0), TRAIN_FEATURES[100:]])
    copies = noisy(TRAIN[:100], 10)
    found, plain = measure(copies, train=many), measure(copies)
    assert found.suspicious
    assert [(e.fake, e.relative) for e in found.closest] == [
        (e.fake, e.relative) for e in plain.closest
    ]
    assert all(each.row == 8 * each.fake for each in found.closest)
    near = np.concatenate([extract(noisy(TRAIN[:100], 4, seed)) for seed in range(3)])
    assert measure(copies, train=np.concatenate([TRAIN_FEATURES, near])).suspicious


def test_the_closest_pairs_are_those_of_all_distances_and_show_every_image_once():
    fakes = extract(np.concatenate([noisy(TRAIN[7:8].repeat(20, 0), 10), NEW[:60]]))
    found = memorisation(TRAIN_FEATURES, HOLDOUT_FEATURES, fakes).closest
    distances = cdist(fakes, TRAIN_FEATURES)
    ordered = np.sort(distances, axis=1)
    relative = ordered[:, 0] / ordered[:, NEIGHBOURS - 1]
    assert (
        len(found) == CLOSEST_PAIRS == len({e.fake for e in found}) == len({e.row for e in found})
    )
    assert found[0].row == 7
    assert found[0].fake == relative.argmin()
    assert [e.relative for e in found] == sorted(e.relative for e in found)
    for each in found:
        assert each.row == distances[each.fake].argmin()
        assert each.distance == pytest.approx(ordered[each.fake, 0], rel=1e-4)
        assert each.relative == pytest.approx(relative[each.fake], rel=1e-4)


def test_fifty_held_out_images_are_needed_and_enough_for_a_fifth_of_copies():
    fakes = np.concatenate([NEW[:240], noisy(TRAIN[:60], 10)])
    assert measure(fakes, holdout=HOLDOUT_FEATURES[:MIN_HOLDOUT]).p_value < ALARM
    with pytest.raises(GanError, match=r"49 hold-out images.*preprocess\.holdout"):
        measure(fakes, holdout=HOLDOUT_FEATURES[: MIN_HOLDOUT - 1])


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(GanError, match="too few"):
        memorisation(TRAIN_FEATURES[:4], HOLDOUT_FEATURES, TRAIN_FEATURES)
    with pytest.raises(GanError, match="too few"):
        memorisation(TRAIN_FEATURES, HOLDOUT_FEATURES, TRAIN_FEATURES[:0])
    with pytest.raises(GanError, match="cannot be compared"):
        memorisation(TRAIN_FEATURES, HOLDOUT_FEATURES, TRAIN_FEATURES[:, :9])
    with pytest.raises(GanError, match="infinite or undefined"):
        memorisation(TRAIN_FEATURES, HOLDOUT_FEATURES, np.full_like(HOLDOUT_FEATURES, np.nan))


def relatives(fakes, views, mirror=None):
    """By fake, of the sixteen that are given."""
    found = memorisation(TRAIN_FEATURES, HOLDOUT_FEATURES, fakes, views, mirror).closest
    return np.array([each.relative for each in sorted(found, key=lambda each: each.fake)])


def test_an_image_is_near_only_if_it_is_near_in_every_view():
    fakes = np.concatenate([extract(noisy(TRAIN[:8], 20)), extract(NEW[:8])])
    fakes[4:8, VIEWS[1]] = extract(NEW[4:8])[:, VIEWS[1]]  # colours of a copy, shape of another
    colours, shapes = (relatives(fakes, [view]) for view in VIEWS)
    assert colours[:8].max() < 0.5 < shapes[4:8].min()
    assert np.array_equal(relatives(fakes, VIEWS), np.maximum(colours, shapes))


def test_an_image_and_its_mirror_image_are_one_neighbour():
    fakes, same = extract(NEW[:16]), np.arange(Thumbnails.dimensions)
    assert np.array_equal(relatives(fakes, VIEWS, same), relatives(fakes, VIEWS))


@pytest.mark.parametrize("noise", [0, 2])
def test_hold_out_images_that_repeat_training_images_do_not_blind_the_test(noise):
    rng = np.random.default_rng(5)
    train = rng.normal(size=(400, 24)).astype(np.float32)
    holdout = rng.normal(size=(100, 24)).astype(np.float32)
    holdout[:3] = train[:3] + rng.normal(scale=1e-3 * noise, size=(3, 24))
    found = memorisation(train, holdout, train[100:200])
    assert (found.share, found.suspicious) == (1.0, True)
    assert found.expected == pytest.approx(1 / 98)
    with pytest.raises(GanError, match=r"preprocess\.holdout"):
        memorisation(train, train[:100], holdout)
