import numpy as np
import pytest
import torch

from gan.errors import GanError
from gan.metrics.evaluation import feature_statistics, image_batches, rebatch
from gan.metrics.reference import Reference
from gan.metrics.statistics import Statistics, StreamingStatistics


class Corners:
    """A tiny extractor: eight corner values; remembers how many images it saw at once."""

    name, dimensions, digest = "corners", 8, "0" * 64

    def __init__(self):
        self.seen = []

    def __call__(self, images):
        self.seen.append(len(images))
        return images[:, :2, :2, :2].flatten(1).float() / 255


def random_images(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 4, 4), generator=generator, dtype=torch.uint8)


def reference(splits=("train", "holdout")):
    rng = np.random.default_rng(1)
    made = {}
    for name in splits:
        features = rng.normal(size=(20, 6))
        made[name] = Statistics(features.mean(axis=0), np.cov(features, rowvar=False), 20)
    return Reference("corners", "e" * 64, "c" * 64, made)


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_streaming_equals_numpy_for_any_batch_size(size, offset):
    features = torch.from_numpy(np.random.default_rng(1).normal(size=(500, 16)) + offset)
    streaming = StreamingStatistics(16)
    for batch in torch.split(features, size):
        streaming.add(batch)
    result = streaming.result()
    assert result.count == 500
    np.testing.assert_allclose(result.mean, features.numpy().mean(axis=0), rtol=1e-12, atol=1e-12)
    expected = np.cov(features.numpy(), rowvar=False)
    np.testing.assert_allclose(result.covariance, expected, rtol=1e-9, atol=1e-9)


def test_a_result_does_not_change_when_more_is_added():
    streaming = StreamingStatistics(2)
    streaming.add(torch.tensor([[0.0, 1.0], [2.0, 5.0]]))
    before = streaming.result()
    streaming.add(torch.tensor([[9.0, 9.0]]))
    np.testing.assert_array_equal(before.mean, [1.0, 3.0])
    np.testing.assert_array_equal(before.covariance, [[2.0, 4.0], [4.0, 8.0]])


def test_one_image_has_no_covariance_and_wrong_shapes_are_refused():
    streaming = StreamingStatistics(3)
    streaming.add(torch.zeros(1, 3))
    with pytest.raises(GanError, match="1 images have no covariance"):
        streaming.result()
    with pytest.raises(ValueError, match="expected"):
        streaming.add(torch.zeros(2, 4))


@pytest.mark.parametrize("incoming", [1, 5, 16, 33, 100])
def test_rebatching_keeps_the_rows_and_fixes_the_size(incoming):
    rows = torch.arange(100)
    batches = list(rebatch(torch.split(rows, incoming), 16))
    assert [len(batch) for batch in batches] == [16] * 6 + [4]
    assert torch.equal(torch.cat(batches), rows)


def test_statistics_do_not_depend_on_how_images_arrive():
    images = random_images(50)
    results = []
    for incoming in (1, 7, 50):
        extractor = Corners()
        results.append(feature_statistics(torch.split(images, incoming), extractor, 8))
        assert extractor.seen == [8] * 6 + [2]
    for result in results[1:]:
        np.testing.assert_array_equal(result.mean, results[0].mean)
        np.testing.assert_array_equal(result.covariance, results[0].covariance)


def test_image_batches_turn_rows_into_channels_first():
    images = random_images(10).permute(0, 2, 3, 1).numpy()
    batches = list(image_batches(images, 4))
    assert [tuple(batch.shape) for batch in batches] == [(4, 3, 4, 4), (4, 3, 4, 4), (2, 3, 4, 4)]
    assert torch.equal(torch.cat(batches), random_images(10))


def test_a_reference_survives_saving_and_equal_content_gives_equal_bytes(tmp_path):
    saved = reference()
    saved.save(tmp_path / "deep" / "a.npz")
    reference(splits=("train", "holdout")).save(tmp_path / "b.npz")
    loaded = Reference.load(tmp_path / "deep" / "a.npz")
    assert (loaded.extractor, loaded.extractor_digest) == ("corners", "e" * 64)
    assert sorted(loaded.splits) == ["holdout", "train"]
    for name, statistics in saved.splits.items():
        np.testing.assert_array_equal(loaded.splits[name].mean, statistics.mean)
        np.testing.assert_array_equal(loaded.splits[name].covariance, statistics.covariance)
        assert loaded.splits[name].count == 20
    assert (tmp_path / "deep" / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert b"\x00\x00\x21\x00" in (tmp_path / "b.npz").read_bytes()[:16]  # 1980-01-01 00:00
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.npz"]


def test_damaged_and_absent_reference_files_are_refused_in_one_line(tmp_path):
    path = tmp_path / "a.npz"
    with pytest.raises(GanError, match="no such file"):
        Reference.load(path)
    reference().save(path)
    whole = path.read_bytes()
    for bad in (whole[: len(whole) // 2], b"", b"not a zip", whole[:200] + b"x" + whole[201:]):
        path.write_bytes(bad)
        with pytest.raises(GanError, match="damaged") as caught:
            Reference.load(path)
        assert "\n" not in str(caught.value)
    np.savez(path, other=np.zeros(3))
    with pytest.raises(GanError, match="damaged"):
        Reference.load(path)


def test_a_reference_of_another_cache_or_extractor_is_refused():
    reference().check("c" * 64, "e" * 64)
    with pytest.raises(GanError, match="another tensor cache"):
        reference().check("d" * 64, "e" * 64)
    with pytest.raises(GanError, match="another feature extractor"):
        reference().check("c" * 64, "d" * 64)
