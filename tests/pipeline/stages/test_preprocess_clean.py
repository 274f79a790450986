"""Cleaning by preprocess: filters, near-duplicates, and the reports of them."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from picture_files import encode
from PIL import Image, ImageFilter
from preprocess_inputs import (
    NEAR,
    assert_counts_add_up,
    contents,
    make_dataset,
    numbers_in,
    params,
)

from gan.errors import GanError
from gan.tensor_cache import TensorCache
from pipeline.preprocessing.filters import QUALITY_LIMITS
from pipeline.stages.preprocess import run


def drawn(seed, size=(64, 64)):
    """A smooth picture, another one for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def table(path):
    return [line.split("\t") for line in path.read_text().splitlines()]


def test_of_copies_in_other_sizes_and_qualities_the_largest_is_kept(tmp_path):
    files = []
    for seed in range(12):
        picture = drawn(seed, (200, 200))
        small = picture.resize((100, 100), Image.Resampling.LANCZOS)
        files += [encode(small), encode(picture, "JPEG", quality=60), encode(drawn(99 + seed))]
    paths = make_dataset(tmp_path, files)
    summary = run(params(duplicates=NEAR, size=64), paths, 1)
    assert_counts_add_up(summary)
    assert (summary.near_duplicates, summary.train + summary.holdout) == (12, 24)
    index = pq.read_table(paths.cache / "index.parquet").to_pydict()
    assert set(index["split"]) == {"train", "holdout"}  # copies are left out across the splits
    assert set(index["row"]) == {row for row in range(36) if row % 3 != 0}
    lines = table(paths.reports / "duplicates.tsv")
    assert lines[0] == ["kept_row", "row", "kept_url", "url", "kind", "dhash", "phash"]
    assert [(int(line[0]), int(line[1])) for line in lines[1:]] == [
        (row + 1, row) for row in range(0, 36, 3)
    ]
    for line in lines[1:]:
        assert line[2:5] == [f"/images/{line[0]}.png", f"/images/{line[1]}.png", "near"]
        assert 0 <= int(line[5]) <= 4
        assert 0 <= int(line[6]) <= 8
    assert Image.open(paths.reports / "duplicates.png").height > 200


def test_every_kind_of_duplicate_is_listed_under_the_kept_one(tmp_path):
    one, two = drawn(1, (90, 90)), drawn(2, (90, 90))
    files = [
        encode(one),
        encode(two),
        encode(one),  # the same file
        encode(two) + b"a comment",  # another file, the same pixels
        encode(one, "JPEG", quality=85),
        encode(one, "JPEG", quality=85),  # the same file as one that is left out
        b"no picture",
        b"no picture",
    ]
    paths = make_dataset(tmp_path, files)
    summary = run(params(duplicates=NEAR, holdout=0.0), paths, 1)
    counts = (summary.duplicate_files, summary.duplicate_pixels, summary.near_duplicates)
    assert counts == (3, 1, 1)
    assert_counts_add_up(summary)
    report = json.loads((paths.reports / "preprocess.json").read_text())
    assert report["digest"] == TensorCache.open(paths.cache).digest
    assert report["duplicate_files"] == 3
    kinds = {(line[0], line[1]): line[4] for line in table(paths.reports / "duplicates.tsv")[1:]}
    same_files = dict.fromkeys([("0", "2"), ("0", "5"), ("6", "7")], "same file")
    assert kinds == {**same_files, ("3", "1"): "same pixels", ("0", "4"): "near"}


@pytest.fixture
def junk(tmp_path):
    """Four good pictures, then a bad one of each kind."""
    white = Image.new("RGB", (64, 64), "white")
    white.paste(drawn(12, (8, 8)), (5, 5))
    faint = Image.fromarray((120 + np.asarray(drawn(13)) // 64).astype(np.uint8))
    blurred = drawn(14).filter(ImageFilter.GaussianBlur(9))
    small, long, grey = drawn(10, (40, 64)), drawn(10, (64, 200)), drawn(11).convert("L")
    good = [drawn(seed) for seed in range(4)]
    files = [encode(each) for each in (*good, small, long, faint, white, blurred, grey)]
    return make_dataset(tmp_path, files)


LIMITS = {"min_side": 48, "max_aspect": 2.0, "min_contrast": 5.0, "max_one_colour": 0.95}
LIMITS |= {"min_sharpness": 5.0, "min_colour": 2.0}


def test_each_filter_counts_its_reason_and_shows_it(junk, capfd):
    summary = run(params(filters=LIMITS, holdout=0.0, size=64), junk, 1)
    assert_counts_add_up(summary)
    # the progress counts what there is to choose from, and no picture as kept or left out
    assert numbers_in(capfd.readouterr().err.splitlines()[-1]) == [10, 10, 4 + summary.filtered]
    assert (summary.refused, summary.filtered, summary.train) == (2, 4, 4)
    assert set(summary.rejects.values()) == {1}
    rejected = table(junk.reports / "rejects.tsv")[1:]
    assert [int(line[0]) for line in rejected] == [4, 5, 6, 7, 8, 9]
    assert [line[2] for line in rejected[2:]] == [limit.reason for limit in QUALITY_LIMITS]
    assert all(line[3] for line in rejected)
    for name in ("rejects", "filters", "contact_sheet"):
        assert np.asarray(Image.open(junk.reports / f"{name}.png")).std() > 10
    before = contents(junk.cache)
    with pytest.raises(GanError, match=r"preprocess\.filters"):
        run(params(filters={"min_contrast": 128.0}, size=64), junk, 1)
    assert contents(junk.cache) == before


def test_index_and_statistics_are_those_of_the_cached_pixels(junk):
    summary = run(params(filters=LIMITS, duplicates=NEAR, size=64), junk, 1)
    cache = TensorCache.open(junk.cache)
    cache.verify()
    index = pq.read_table(junk.cache / "index.parquet").to_pydict()
    manifest = [json.loads(line) for line in (junk.data / "manifest.jsonl").open()]
    for place, image in enumerate(cache.images):
        source = manifest[index["row"][place]]
        assert source["sha256"] == index["sha256"][place]
        assert all(source[name] == index[name][place] for name in ("width", "height"))
        luma = image @ np.array([0.299, 0.587, 0.114])
        assert index["brightness"][place] == pytest.approx(luma.mean(), rel=1e-5)
        variance = image.reshape(-1, 3).astype(float).var(axis=0).mean()
        assert index["contrast"][place] == pytest.approx(variance**0.5, rel=1e-5)
        assert index["side"][place] == 64
    pixels = np.asarray(cache.images).reshape(-1, 3).astype(float)
    assert cache.meta["statistics"] == summary.statistics
    assert summary.statistics["mean"] == pytest.approx(pixels.mean(axis=0), abs=1e-3)
    assert summary.statistics["std"] == pytest.approx(pixels.std(axis=0), abs=1e-3)
    assert summary.statistics["side"] == {"p05": 64.0, "p50": 64.0, "p95": 64.0}
    brightness = summary.statistics["brightness"]
    assert 0 < brightness["p05"] <= brightness["p50"] <= brightness["p95"] < 255
