"""Selection of avatars against its definition, and their order of preference."""

from types import SimpleNamespace

import numpy as np
import pytest
from preprocess_inputs import NEAR, section

from pipeline.preprocessing.measures import measure, phash
from pipeline.preprocessing.plan import ENTRY_DTYPE
from pipeline.preprocessing.selection import order_by_preference, select
from pipeline.preprocessing.workers.image_slots import StagedImages
from pipeline.preprocessing.workers.worker import AVATAR_DTYPE

SIZE = 32


def smooth(random):
    coarse = random.integers(0, 256, (4, 4, 3)).astype(np.uint8)
    return np.kron(coarse, np.ones((8, 8, 1), np.uint8))


@pytest.fixture
def stage(tmp_path):
    """stage(images): their records, and the file that holds them."""
    file = StagedImages(tmp_path / "images.npy", SIZE, create=True)

    def make(images):
        file.write(np.arange(len(images)), images)
        records = np.zeros(len(images), AVATAR_DTYPE)
        measured = measure(images, hashes=True, quality=True)
        for name in measured.dtype.names:
            records[name] = measured[name]
        records["slot"] = records["picture"] = np.arange(len(images))
        return records, file

    yield make
    file.close()


def bits(one, other):
    return (int(one) ^ int(other)).bit_count()


def by_definition(hashes, images, order):
    """The leader of each image, by (dhash, phash) of all."""
    kept, leaders = [], {}
    for number in order:
        same = [k for k in kept if (images[k] == images[number]).all()]
        apart = [(*map(bits, hashes[k], hashes[number]), place) for place, k in enumerate(kept)]
        near = [each for each in apart if each[0] <= 4 and each[1] <= 8]
        leaders[number] = same[0] if same else kept[min(near)[2]] if near else number
        kept += [number] if leaders[number] == number else []
    return leaders


@pytest.mark.parametrize("seed", range(3))
def test_the_selection_equals_the_definition(stage, seed):
    random = np.random.default_rng(seed)
    originals = [smooth(random) for _ in range(12)]
    images = []
    for _ in range(120):
        image = originals[random.integers(12)].astype(np.int64)
        noise = random.integers(0, 3) * random.integers(-9, 10, image.shape)
        images.append((image + noise).clip(0, 255).astype(np.uint8))
    images = np.stack(images)
    records, file = stage(images)
    order = random.permutation(120)
    choice = select(records, order, section(duplicates=NEAR), file)
    hashes = list(zip(records["dhash"], map(phash, images), strict=True))
    expected = by_definition(hashes, images, order)
    assert choice.leader.tolist() == [expected[number] for number in range(120)]
    assert 5 < choice.kept.sum() < 100
    dropped = {n for n in range(120) if expected[n] != n}
    assert {*choice.same_pixels, *choice.near} == dropped
    assert all((images[expected[n]] == images[n]).all() for n in choice.same_pixels)
    for n in choice.near:
        distances = tuple(map(bits, hashes[n], hashes[expected[n]]))
        assert (choice.dhash[n], choice.phash[n]) == distances


def test_without_limits_only_equal_pixels_are_dropped(stage):
    random = np.random.default_rng(5)
    one, two = smooth(random), smooth(random)
    images = np.stack([one, two, one, (one ^ 1), two, one])
    records, file = stage(images)
    choice = select(records, np.array([5, 4, 3, 2, 1, 0]), section(), file)
    assert choice.leader.tolist() == [5, 4, 5, 3, 4, 5]
    assert choice.same_pixels.tolist() == [0, 1, 2]
    assert len(choice.near) == 0


def test_a_filtered_avatar_is_no_leader(stage):
    flat = np.full((SIZE, SIZE, 3), 200, np.uint8)
    images = np.stack([flat, flat, smooth(np.random.default_rng(1)), flat ^ 1])
    records, file = stage(images)
    settings = section(filters={"min_contrast": 5.0}, duplicates=NEAR)
    choice = select(records, np.arange(4), settings, file)
    assert choice.kept.tolist() == [False, False, True, False]
    assert (choice.fault != 0).tolist() == [True, True, False, True]
    assert choice.leader.tolist() == [-1, -1, 2, -1]
    assert len(choice.same_pixels) == len(choice.near) == 0


def test_most_pixels_then_picture_then_file_then_hash_are_preferred():
    avatars = np.zeros(6, AVATAR_DTYPE)
    avatars["side"] = (10, 20, 20, 20, 20, 20)
    avatars["slot"] = (0, 1, 2, 3, 5, 4)
    avatars["picture"] = np.arange(6)
    entries = np.zeros(6, ENTRY_DTYPE)
    entries["width"], entries["height"] = 1, (900, 400, 500, 500, 500, 500)
    plan = SimpleNamespace(
        entries=entries,
        image=np.arange(6),
        index=SimpleNamespace(size=np.array([9, 9, 8, 9, 9, 9])),
        digest=np.array([b"a", b"a", b"a", b"c", b"b", b"b"], "S32"),
    )
    assert order_by_preference(avatars, plan).tolist() == [5, 4, 3, 2, 1, 0]
