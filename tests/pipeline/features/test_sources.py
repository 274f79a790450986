import re

import numpy as np
import pytest
import torch
from projecting import Projection

from gan.errors import GanError
from gan.features.statistics import Statistics, save_statistics
from gan.tensor_cache import TensorCache
from pipeline.features.sources import CacheSplit, StatisticsFile, reference_tag


@pytest.fixture(scope="module")
def cache(tmp_path_factory, write_cache, noise_images):
    folder = tmp_path_factory.mktemp("whole") / "cache"
    return TensorCache.open(write_cache(folder, noise_images, holdout=9))


def statistics(dimensions=6, seed=0):
    features = np.random.default_rng(seed).normal(size=(30, dimensions))
    return Statistics(features.mean(axis=0), np.cov(features, rowvar=False), 30)


@pytest.mark.parametrize(("split", "first", "count"), [("train", 0, 41), ("holdout", 41, 9)])
@pytest.mark.parametrize("size", [1, 7, 41, 100])
def test_batches_of_a_split_are_its_images_in_order(
    cache, noise_images, split, first, count, size
):
    source = CacheSplit(cache, split)
    batches = list(source.batches(size))
    assert {len(batch) for batch in batches[:-1]} <= {size}
    together = torch.cat(batches).permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(together, noise_images[first : first + count])
    assert together.dtype == np.uint8
    assert (len(source), source.size, source.tag) == (count, (32, 32), split)


def test_a_digest_is_of_the_content_and_of_the_split(cache, tmp_path, write_cache, noise_images):
    train, holdout = (CacheSplit(cache, split).digest for split in ("train", "holdout"))
    assert re.fullmatch("[0-9a-f]{64}", train)
    assert train != holdout
    same = TensorCache.open(write_cache(tmp_path / "elsewhere", noise_images, holdout=9))
    assert CacheSplit(same, "train").digest == train
    changed = noise_images.copy()
    changed[0, 0, 0, 0] ^= 1
    other = TensorCache.open(write_cache(tmp_path / "other", changed, holdout=9))
    assert CacheSplit(other, "train").digest != train


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("Fakes 10k (final)", "vs_fakes-10k-final_0123abcd"),
        ("my_run", "vs_my-run_0123abcd"),
        ("аниме", "vs_0123abcd"),
        ("a" * 60, f"vs_{'a' * 24}_0123abcd"),
        ("..", "vs_0123abcd"),
    ],
)
def test_a_tag_has_letters_and_digits_only(name, tag):
    assert reference_tag(name, "0123abcd" * 8) == tag


def test_a_statistics_file_is_a_reference_without_features(tmp_path):
    save_statistics(tmp_path / "Reals 64.npz", statistics(), {"extractor": "projection"})
    file = StatisticsFile.open(tmp_path / "Reals 64.npz")
    features = file.get_features(Projection())
    assert features.features is None
    np.testing.assert_array_equal(features.statistics.mean, statistics().mean)
    assert file.description == "statistics file Reals 64.npz, 30 images"
    assert re.fullmatch("vs_reals-64_[0-9a-f]{8}", file.tag)


def test_statistics_of_another_extractor_are_refused(tmp_path):
    extractor = Projection()
    save_statistics(tmp_path / "five.npz", statistics(5))
    with pytest.raises(GanError, match=r"five\.npz.* 5 .* projection .*6"):
        StatisticsFile.open(tmp_path / "five.npz").get_features(extractor)
    labels = {"extractor": "other", "extractor_digest": "f" * 64}
    save_statistics(tmp_path / "other.npz", statistics(), labels)
    with pytest.raises(GanError, match=r"other\.npz.* other ffffffff.* projection"):
        StatisticsFile.open(tmp_path / "other.npz").get_features(extractor)
