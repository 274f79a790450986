"""`gan preprocess` on many pictures: time, memory and what survives, by benchmarks/scale.py."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gan.tensor_cache import TensorCache

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "scale.py"
SLACK = 1.3  # other work on the machine


@pytest.fixture
def scale(tmp_path):
    """scale(count, ...): what the benchmark says of these counts; its files stay in tmp_path."""

    def run(*counts):
        command = [sys.executable, SCRIPT, *map(str, counts), "--keep", tmp_path]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


def check(folder, count, survivors):
    """The cache is undamaged, its rows are the survivors, and mainly the planted ones are out.

    A copy among fifty and a plain one among a hundred are planted.
    """
    cache = TensorCache.open(folder / "cache")
    cache.verify()
    assert len(cache.images) / count == pytest.approx(survivors, abs=1e-4)  # told in four digits
    rows = pq.read_table(folder / "cache" / "index.parquet", columns=["row"])["row"].to_pylist()
    assert len(set(rows)) == len(rows) == len(cache.images)
    assert 0 <= min(rows) <= max(rows) < count
    summary = json.loads((folder / "reports" / "preprocess.json").read_text())
    assert summary["rows"] == count
    assert summary["filtered"] >= count // 100
    assert summary["near_duplicates"] >= 0.98 * count / 50
    assert summary["train"] + summary["holdout"] >= 0.95 * count


@pytest.mark.slow
def test_few_pictures_go_through_and_the_planted_ones_are_left_out(scale, tmp_path):
    (survivors,) = scale(600)["survivors"]
    check(tmp_path / "600", 600, survivors)


@pytest.mark.soak
def test_ten_times_the_pictures_take_hardly_more_than_ten_times_as_long(scale, tmp_path):
    counts = [10_000, 100_000]
    result = scale(*counts)
    assert result["counts"] == counts
    assert result["growth"] < SLACK
    assert max(result["rss_anon_mb"]) < 600
    for count, survivors in zip(counts, result["survivors"], strict=True):
        check(tmp_path / str(count), count, survivors)
