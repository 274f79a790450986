import numpy as np
import pytest
import torch

from gan.metrics.thumbnails import CELLS, SIDE, VIEWS, Thumbnails, mirror_columns

COLOURS, SHAPES = VIEWS


@pytest.fixture
def images():
    return torch.randint(0, 256, (5, 3, 32, 32), generator=torch.Generator().manual_seed(0)).byte()


@pytest.mark.parametrize("size", [32, 96])
def test_colours_are_the_means_of_the_cells(size):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (3, 3, size, size), dtype=np.uint8)
    cells = images.reshape(3, 3, SIDE, size // SIDE, SIDE, size // SIDE).mean(axis=(3, 5)) / 255
    features = Thumbnails()(torch.from_numpy(images))
    assert features.shape == (3, Thumbnails.dimensions)
    assert features.dtype == torch.float32
    assert np.allclose(features[:, COLOURS], cells.reshape(3, CELLS), atol=1e-6)


def test_a_shape_does_not_change_with_contrast_and_tint(images):
    dimmed = images // 2 + torch.tensor([10, 60, 100], dtype=torch.uint8)[:, None, None]
    before, after = (Thumbnails()(each)[:, SHAPES] for each in (images, dimmed))
    assert torch.allclose(before.norm(dim=1), torch.ones(5))
    assert (before - after).norm(dim=1).max() < 0.05  # halves are rounded
    assert torch.cdist(before, before)[0, 1:].min() > 1


def test_a_flat_image_has_no_shape():
    flat = Thumbnails()(torch.full((1, 3, 32, 32), 77, dtype=torch.uint8))
    assert flat[:, SHAPES].abs().max() < 1e-4
    assert torch.allclose(flat[:, COLOURS], torch.tensor(77 / 255))


def test_mirrored_columns_are_the_features_of_mirrored_images(images):
    expected = Thumbnails()(images.flip(-1))
    assert torch.allclose(Thumbnails()(images)[:, mirror_columns()], expected, atol=1e-6)
