"""Opening and verifying a tensor cache; every kind of damage is refused."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest

from gan.errors import GanError
from gan.tensor_cache import FORMAT, TensorCache, cache_digest, pixel_digests

SETTINGS = {"size": 32, "holdout": 0.1}
COUNTS = {"train": 5, "holdout": 2}


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)


def meta_of(**changes):
    meta = {"format": FORMAT, "settings": SETTINGS, "counts": COUNTS, "digest": "d"}
    return json.dumps(meta | changes)


@pytest.fixture
def folder(tmp_path, images):
    digest = cache_digest(pixel_digests(images), SETTINGS, COUNTS)
    np.save(tmp_path / "images.npy", images)
    (tmp_path / "meta.json").write_text(meta_of(digest=digest))
    return tmp_path


def assert_refused(folder, match):
    with pytest.raises(GanError, match=match) as caught:
        TensorCache.open(folder)
    assert "\n" not in str(caught.value)
    assert "gan preprocess" in str(caught.value)


def test_opens_as_a_read_only_memory_map_whose_splits_are_views(folder, images):
    cache = TensorCache.open(folder)
    assert isinstance(cache.images, np.memmap)
    assert np.array_equal(cache.images, images)
    assert (cache.size, cache.digest) == (32, cache.meta["digest"])
    with pytest.raises(ValueError, match="read-only"):
        cache.images[0] = 0
    assert np.array_equal(cache.split("train"), images[:5])
    assert np.array_equal(cache.split("holdout"), images[5:])
    assert np.shares_memory(cache.split("train"), cache.images)
    cache.verify()


def test_verify_finds_one_changed_pixel_or_another_split(folder, images):
    digest = TensorCache.open(folder).digest
    (folder / "meta.json").write_text(meta_of(digest=digest, counts={"train": 4, "holdout": 3}))
    with pytest.raises(GanError, match="damaged"):
        TensorCache.open(folder).verify()
    (folder / "meta.json").write_text(meta_of(digest=digest))
    images[6, 31, 31, 2] ^= 1
    np.save(folder / "images.npy", images)
    with pytest.raises(GanError, match="damaged"):
        TensorCache.open(folder).verify()


def test_the_digest_is_the_hash_of_the_images_hashes_and_of_what_decided(
    folder, images, monkeypatch
):
    hashes = [hashlib.sha256(image.tobytes()).digest() for image in images]
    assert pixel_digests(images).tobytes() == b"".join(hashes)
    decided = json.dumps({"counts": COUNTS, "settings": SETTINGS}, sort_keys=True)
    whole = hashlib.sha256(b"".join(hashes) + decided.encode()).hexdigest()
    assert cache_digest(pixel_digests(images), SETTINGS, COUNTS) == whole
    monkeypatch.setattr("gan.tensor_cache.BYTES_PER_READ", 3 * images[0].nbytes)
    blocks = list(TensorCache.open(folder).iter_pixel_digests())
    assert [len(block) for block in blocks] == [3, 3, 1]
    assert np.array_equal(np.concatenate(blocks), pixel_digests(images))


def test_an_absent_cache_says_what_to_run(tmp_path):
    assert_refused(tmp_path / "cache", "no tensor cache")
    (tmp_path / "cache").write_text("x")
    assert_refused(tmp_path / "cache", "no tensor cache")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        *((text, "meta.json") for text in ("", "{", "[]", "{}", '{"settings": 3}', "\udcff")),
        (meta_of(format=FORMAT + 1), "another version"),
        (meta_of(counts={"train": 5, "holdout": 3}), "images.npy holds"),
        (None, "meta.json is missing"),
    ],
)
def test_a_damaged_meta_is_refused(folder, text, problem):
    (folder / "meta.json").unlink()
    if text is not None:
        (folder / "meta.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert_refused(folder, problem)


@pytest.mark.parametrize("length", [0, 100, 128, 128 + 7 * 3072 - 1, 128 + 7 * 3072 + 1, None])
def test_an_array_that_is_not_whole_is_refused(folder, length):
    data = (folder / "images.npy").read_bytes()
    (folder / "images.npy").unlink()
    if length is not None:
        (folder / "images.npy").write_bytes((data + b"x")[:length])
    assert_refused(folder, r"images\.npy")


def test_another_kind_of_array_is_refused(folder):
    zeros = np.zeros((7, 32, 32, 3), np.uint8)
    for array in (zeros.astype(np.float32), np.asfortranarray(zeros), np.array([None] * 7)):
        np.save(folder / "images.npy", array)
        assert_refused(folder, r"images\.npy")


def test_opening_a_cache_does_not_import_torch():
    code = "import sys, gan.tensor_cache; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
