"""Slots of images: written in any order, holes closed with few moves, a plain .npy at the end."""

from contextlib import closing

import numpy as np
import pytest

from pipeline.preprocessing.workers.image_slots import StagedImages, arrange_rows

SIZE = 8


def image(number):
    return np.full((SIZE, SIZE, 3), number, np.uint8)


def test_images_stay_in_the_rows_of_their_split_and_others_fill_the_holes():
    train, holdout = np.array([0, 1, 3, 6]), np.array([8, 9, 11])
    assert arrange_rows(train, holdout).tolist() == [0, 1, 6, 3, 8, 9, 11]
    assert arrange_rows(np.array([0, 1, 2]), np.array([3, 5])).tolist() == [0, 1, 2, 3, 5]


@pytest.mark.parametrize("seed", range(12))
def test_the_file_holds_the_kept_images_train_first(tmp_path, seed):
    random = np.random.default_rng(seed)
    trains, count = int(random.integers(0, 40)), int(random.integers(40, 90))
    stays = random.random(count) < random.choice([0.1, 0.5, 0.97])
    stays[0] = True
    slots = np.flatnonzero(stays)
    train, holdout = slots[slots < trains], slots[slots >= trains]
    images = StagedImages(tmp_path / "images.npy", SIZE, create=True)
    written = random.permutation(np.flatnonzero(stays | (random.random(count) < 0.5)))
    for slot in written:
        images.write(np.array([slot]), image(slot)[None])
    order = arrange_rows(train, holdout)
    images.close_holes(order)
    images.close()
    found = np.load(tmp_path / "images.npy", mmap_mode="r", allow_pickle=False)
    assert found.shape == (len(slots), SIZE, SIZE, 3)
    assert found[:, 0, 0, 0].tolist() == order.tolist()
    assert (found == found[:, :1, :1, :1]).all()
    assert set(order[: len(train)]) == set(train)
    assert set(order[len(train) :]) == set(holdout)
    moved = np.count_nonzero(order != np.arange(len(order)))
    assert moved <= 2 * (count - len(slots))


def test_two_writers_share_a_file_and_holes_are_black(tmp_path):
    path, slots = tmp_path / "images.npy", np.array([2, 3, 4, 9, 12, 13])
    with (
        closing(StagedImages(path, SIZE, create=True)) as staged,
        closing(StagedImages(path, SIZE)) as other,
    ):
        other.write(slots, np.stack([image(slot) for slot in slots]))
        for slot in range(20):
            expected = image(slot if slot in slots else 0)
            assert np.array_equal(staged.read(slot), expected)
