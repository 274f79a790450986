"""Labels in the cache: beside their images, counted, verified; rare ones are left out."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from preprocess_inputs import contents, make_dataset, params, picture, pictures

from gan.attributes import UNKNOWN
from gan.errors import GanError
from gan.tensor_cache import TensorCache
from pipeline.housekeeping.cache import verify
from pipeline.stages.preprocess import run

COUNT = 60


def tags_of(number):
    hair = ("red_hair", "grey_hair", "blue_hair")[number % 3]
    return ["1girl", "solo", hair, *(["glasses"] if number % 2 else [])]


TAGS = [tags_of(number) for number in range(COUNT)]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    paths = make_dataset(tmp_path_factory.mktemp("labels"), pictures(COUNT), (), TAGS)
    return paths, run(params(), paths, workers=1)


def test_each_image_has_the_labels_of_its_picture(built):
    paths, summary = built
    cache = TensorCache.open(paths.cache)
    assert [(each.name, each.values) for each in cache.vocabulary] == [
        ("hair", ("red_hair", "grey_hair")),
        ("glasses", ("no", "yes")),  # nobody has a hat
    ]
    rows = pq.read_table(paths.cache / "index.parquet")["row"].to_numpy()
    assert cache.labels.dtype == np.int8
    expected = [(row % 3 if row % 3 < 2 else UNKNOWN, row % 2) for row in rows]
    assert [tuple(each) for each in cache.labels.tolist()] == expected
    train = cache.split_labels("train")
    assert len(train) == len(cache.split("train"))
    assert np.array_equal(np.concatenate([train, cache.split_labels("holdout")]), cache.labels)
    assert summary.attributes_left_out == {"hat: yes": 0}
    assert (
        summary.attributes
        == json.loads((paths.reports / "preprocess.json").read_text())["attributes"]
    )
    assert [(each["values"], each["unknown"]) for each in summary.attributes] == [
        ({"red_hair": 20, "grey_hair": 20}, 20),
        ({"no": 30, "yes": 30}, 0),
    ]
    with Image.open(paths.reports / "attributes.png") as sheet:
        assert sheet.height > 3 * 64
    verify(paths.cache)


def test_labels_are_the_same_bytes_for_two_workers_and_leave_digest_and_pixels_alone(
    built, tmp_path
):
    paths, summary = built
    before = contents(paths.cache)
    assert run(params(), paths, workers=2) == summary
    assert contents(paths.cache) == before
    other = make_dataset(tmp_path, pictures(COUNT), (), TAGS)
    changed = {"independent": {"glasses": []}, "exclusive": {}}
    fewer = run(params(attributes=changed), other, workers=1)
    assert fewer.digest == summary.digest
    differing = {name for name, data in contents(other.cache).items() if data != before[name]}
    assert differing == {"labels.npy", "meta.json"}


@pytest.mark.parametrize(("least", "left"), [(13, ["hair"]), (1000, [])])
def test_values_with_too_few_training_images_are_left_out_in_one_line(
    tmp_path, capfd, least, left
):
    tags = [
        ["1girl", "solo", ("red_hair", "grey_hair")[n % 2], *(["hat"] if n < 3 else [])]
        for n in range(COUNT)
    ]
    paths = make_dataset(tmp_path, pictures(COUNT), (), tags)
    summary = run(params(attributes={"least_count": least}, holdout=0.1), paths, workers=1)
    cache = TensorCache.open(paths.cache)
    assert [each.name for each in cache.vocabulary] == left
    assert summary.attributes_left_out["hat: yes"] <= 3
    (line,) = [each for each in capfd.readouterr().err.splitlines() if "least_count" in each]
    assert "hat: yes" in line
    assert cache.labels.shape == (COUNT, len(left))
    assert (paths.cache / "labels.npy").exists() == bool(left)
    verify(paths.cache)


def test_a_value_that_is_left_out_is_unknown_where_it_was(tmp_path):
    values = {"red_hair": [], "grey_hair": [], "blue_hair": []}
    hair = ["red_hair", "grey_hair", "blue_hair"]
    tags = [[hair[1] if n == 0 else hair[2 * (n % 2)]] for n in range(COUNT)]
    paths = make_dataset(tmp_path, pictures(COUNT), (), tags)
    changed = {"exclusive": {"hair": values}, "least_count": 2}
    run(params(attributes=changed), paths, workers=1)
    cache = TensorCache.open(paths.cache)
    assert cache.vocabulary[0].values == ("red_hair", "blue_hair")
    rows = pq.read_table(paths.cache / "index.parquet")["row"].to_numpy()
    assert cache.labels[:, 0].tolist() == [UNKNOWN if row == 0 else row % 2 for row in rows]


def test_equal_files_share_their_tags(tmp_path):
    one, two = picture(1), picture(2)
    files, tags = [one, two, one], [["red_hair"], ["grey_hair"], ["glasses", "a", "b"]]
    tags += [["hat"] if n % 2 else ["x", "y", "z"] for n in range(17)]
    paths = make_dataset(tmp_path, [*files, *pictures(20)[3:]], (), tags)
    run(params(holdout=0.0), paths, workers=1)
    cache = TensorCache.open(paths.cache)
    assert [each.name for each in cache.vocabulary] == ["hair", "hat", "glasses"]
    assert cache.labels[:2].tolist() == [[0, 0, 1], [1, UNKNOWN, UNKNOWN]]


def test_pictures_without_tags_have_no_labels(tmp_path):
    paths = make_dataset(tmp_path, pictures(30))
    summary = run(params(), paths, workers=1)
    cache = TensorCache.open(paths.cache)
    assert (cache.vocabulary, cache.labels.shape, summary.attributes) == ((), (30, 0), [])
    assert not (paths.cache / "labels.npy").exists()
    assert (paths.reports / "attributes.png").exists()


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "vocabulary", "other"])
def test_damaged_labels_are_reported(tmp_path, damage):
    paths = make_dataset(tmp_path, pictures(30), (), TAGS[:30])
    run(params(), paths, workers=1)
    file, meta = paths.cache / "labels.npy", paths.cache / "meta.json"
    data = bytearray(file.read_bytes())
    match damage:
        case "flip":
            data[-1] ^= 1
            file.write_bytes(data)
        case "cut":
            file.write_bytes(data[:-1])
        case "remove":
            file.unlink()
        case "vocabulary":
            meta.write_text(meta.read_text().replace('"red_hair",', '"brown_hair",', 1))
        case "other":
            np.save(file, np.zeros((29, 2), np.int8))
    with pytest.raises(GanError, match="damaged cache"):
        verify(paths.cache)
    with pytest.raises(GanError, match="damaged cache"):
        TensorCache.open(paths.cache).verify()


def test_a_cache_from_before_opens_without_labels(write_cache, noise_images, tmp_path):
    cache = TensorCache.open(write_cache(tmp_path / "cache", noise_images))
    assert (cache.vocabulary, cache.labels.shape) == ((), (50, 0))
    verify(cache.folder)
