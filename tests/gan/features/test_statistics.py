import numpy as np
import pytest
import torch

from gan.errors import GanError
from gan.features.extraction import extract_features, image_batches, rebatch
from gan.features.statistics import statistics_of


class Corners:
    """A tiny extractor: eight corner values; records its batch sizes."""

    name, dimensions, digest = "corners", 8, "0" * 64

    def __init__(self):
        self.seen = []

    def __call__(self, images):
        self.seen.append(len(images))
        return images[:, :2, :2, :2].flatten(1).float() / 255


def random_images(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 4, 4), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_statistics_equal_numpy_over_several_parts(offset):
    features = np.random.default_rng(1).normal(size=(2500, 16)) + offset
    result = statistics_of(features)
    assert result.count == 2500
    np.testing.assert_allclose(result.mean, features.mean(axis=0), rtol=1e-12, atol=1e-12)
    expected = np.cov(features, rowvar=False)
    np.testing.assert_allclose(result.covariance, expected, rtol=1e-9, atol=1e-9)
    with pytest.raises(GanError, match="1 images have no covariance"):
        statistics_of(features[:1])


def test_features_and_statistics_do_not_depend_on_how_images_arrive():
    images = random_images(50)
    results = []
    for incoming in (1, 7, 50):
        batches = list(rebatch(torch.split(images, incoming), 16))
        assert [len(batch) for batch in batches] == [16] * 3 + [2]
        assert torch.equal(torch.cat(batches), images)
        rows = np.full((50, 8), np.nan, np.float32)
        extract_features(torch.split(images, incoming), [Corners()], [rows])
        results.append((rows, statistics_of(rows)))
    expected = images[:, :2, :2, :2].flatten(1).numpy() / np.float32(255)
    for rows, statistics in results:
        np.testing.assert_array_equal(rows, expected)
        np.testing.assert_array_equal(statistics.covariance, results[0][1].covariance)


def test_one_pass_serves_several_extractors_and_a_missing_image_is_an_error():
    images = random_images(5)
    rows = [np.zeros((5, 8), np.float32) for _ in range(2)]
    looking = [Corners(), Corners()]
    extract_features(iter(torch.split(images, 2)), looking, rows)
    assert [each.seen for each in looking] == [[2, 2, 1]] * 2
    np.testing.assert_array_equal(*rows)
    with pytest.raises(ValueError, match="4 images"):
        extract_features([images[:4]], [Corners()], rows[:1])


def test_features_that_are_not_finite_are_an_error_that_names_the_extractor():
    class Broken(Corners):
        name = "broken"

        def __call__(self, images):
            return super().__call__(images) / 0

    with pytest.raises(GanError, match=r"broken: features of images 0 to 4 are not finite"):
        extract_features([random_images(5)], [Broken()], [np.zeros((5, 8), np.float32)])


def test_image_batches_turn_rows_into_channels_first():
    images = random_images(10).permute(0, 2, 3, 1).numpy()
    batches = list(image_batches(images, 4))
    assert [tuple(batch.shape) for batch in batches] == [(4, 3, 4, 4), (4, 3, 4, 4), (2, 3, 4, 4)]
    assert torch.equal(torch.cat(batches), random_images(10))
