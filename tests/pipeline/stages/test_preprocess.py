"""Preprocess: order and content of the cache, counts, kills."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
from PIL import Image
from preprocess_inputs import (
    BOX,
    NEAR,
    TEXT,
    contents,
    in_holdout,
    make_dataset,
    params,
    picture,
    pictures,
)
from tracking_stores import until

from gan.errors import GanError
from gan.tensor_cache import TensorCache
from pipeline.paths import Paths
from pipeline.preprocessing.cache_writer import replace_folder
from pipeline.stages.preprocess import run


@pytest.fixture
def files():
    return pictures(90)


@pytest.fixture
def paths(tmp_path, files):
    return make_dataset(tmp_path, files)


def test_the_cache_holds_the_decoded_files_train_first_in_order(paths, files):
    summary = run(params(), paths, workers=1)
    assert summary.upscaled == 0
    cache = TensorCache.open(paths.cache)
    cache.verify()
    expected = [i for i in range(90) if not in_holdout(files[i])]
    assert (summary.train, summary.holdout) == (len(expected), 90 - len(expected))
    assert 10 < summary.holdout < 45
    expected += [i for i in range(90) if in_holdout(files[i])]
    index = pq.read_table(paths.cache / "index.parquet").to_pydict()
    assert index["row"] == expected
    assert index["sha256"] == [hashlib.sha256(files[i]).hexdigest() for i in expected]
    assert index["split"] == ["train"] * summary.train + ["holdout"] * summary.holdout
    assert {value for name in BOX for value in index[name]} == {None}
    assert len(cache.split("train")) == summary.train
    assert summary.digest == cache.digest
    assert run(params(size=48), paths, workers=1).upscaled == 90
    for cached, row in zip(TensorCache.open(paths.cache).images, expected, strict=True):
        image = Image.open(io.BytesIO(files[row])).convert("RGB")
        resized = image.resize((48, 48), Image.Resampling.BICUBIC, box=(0, 2, 40, 42))
        assert np.array_equal(cached, np.asarray(resized))


def test_two_workers_and_a_second_run_give_the_same_bytes_and_all_settings(paths):
    chosen = params(duplicates=NEAR, filters={"min_contrast": 9})
    run(chosen, paths, workers=1)
    first = contents(paths.cache), contents(paths.reports)
    run(chosen, paths, workers=2)
    assert (contents(paths.cache), contents(paths.reports)) == first
    left = {path.name for path in paths.root.iterdir()}
    assert left == {"cache", "data", "data.staging", "reports"}
    meta = TensorCache.open(paths.cache).meta
    assert meta["settings"] == chosen.preprocess.model_dump(exclude={"faces", "attributes"})
    assert set(meta["versions"]) == {"libjpeg_turbo", "numpy", "pillow", "simplejpeg"}
    dataset = json.loads((paths.data / "snapshot.json").read_text())
    assert (meta["snapshot"], meta["source"]) == (dataset["digest"], dataset["source"])
    assert meta["filter"]
    assert sum(meta["licences"].values()) == 90


def test_bad_images_are_counted_and_listed_not_fatal(tmp_path, files):
    truncated = picture(1, "JPEG", (190, 190))[:1500]
    large = picture(2, size=(200, 200))
    order = [TEXT, *files[:10], truncated, large]
    paths = make_dataset(tmp_path, order, ["gone", "gone", "bad"])
    summary = run(params(max_pixels=39_999), paths, workers=1)
    assert (summary.read, summary.bad, summary.train + summary.holdout) == (13, 3, 10)
    assert summary.without_image == {"bad": 1, "gone": 2}
    lines = [line.split("\t") for line in (paths.reports / "rejects.tsv").read_text().splitlines()]
    assert [line[:2] for line in lines[1:]] == [
        [str(row), f"/images/{row}.png"] for row in (0, 11, 12)
    ]
    assert summary.rejects == {"unreadable": 3}


def test_nothing_left_to_train_on_is_an_error(tmp_path):
    held = [data for data in pictures(20) if in_holdout(data)]
    for name, files in (("images/0", [TEXT, TEXT + b"2"]), ("preprocess.holdout", held)):
        paths = make_dataset(tmp_path / name, files)
        with pytest.raises(GanError, match=name):
            run(params(), paths, workers=1)
        assert not paths.cache.exists()
        assert not paths.cache.with_name("cache.staging").exists()


def test_an_absent_dataset_and_a_damaged_one_are_errors(tmp_path, files):
    with pytest.raises(GanError, match="data"):
        run(params(), Paths(tmp_path), workers=1)
    paths = make_dataset(tmp_path, files)
    shard = next(paths.data.glob("*.tar"))
    data = bytearray(shard.read_bytes())
    data[600] ^= 1
    shard.write_bytes(data)
    with pytest.raises(GanError, match=shard.name):
        run(params(), paths, workers=1)
    assert not paths.cache.exists()


def test_a_file_or_a_link_where_a_folder_should_be_is_an_error(paths):
    for place in (paths.cache, paths.reports):
        place.write_text("mine")
        with pytest.raises(GanError, match=place.name):
            run(params(), paths, workers=1)
        assert place.read_text() == "mine"
        place.unlink()
        place.symlink_to(paths.data)
        with pytest.raises(GanError, match=place.name):
            run(params(), paths, workers=1)
        place.unlink()


def test_a_disk_too_small_is_an_error_before_any_work(tmp_path):
    with (
        pytest.raises(GanError, match=r"cache: .*1000000\.00 GB"),
        replace_folder(tmp_path / "cache", 10**15),
    ):
        pytest.fail("the block was entered")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("stopped", ["cache", "cache.staging"])
def test_a_stop_at_either_rename_leaves_the_old_cache(paths, monkeypatch, stopped):
    run(params(), paths, workers=1)
    before = contents(paths.cache)
    rename = Path.rename

    def interrupted(self, target):
        if self.name == stopped:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(params(size=48), paths, workers=1)
    assert contents(paths.cache) == before
    assert not paths.cache.with_name("cache.staging").exists()
    assert not paths.cache.with_name("cache.old").exists()


def test_a_kill_between_the_renames_is_repaired_by_the_next_run(paths):
    run(params(), paths, workers=1)
    before = contents(paths.cache)
    paths.cache.rename(paths.cache.with_name("cache.old"))
    shard = next(paths.data.glob("*.tar"))
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1024] + b"x" * 1024)  # so that this run ends in an error
    with pytest.raises(GanError):
        run(params(), paths, workers=1)
    shard.write_bytes(whole)
    run(params(), paths, workers=1)
    assert contents(paths.cache) == before


def child(root, prelude="pass", new_group=False):
    code = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).resolve().parents[2] / "support")!r})
from gan.errors import GanError
from pipeline.paths import Paths
from pipeline.stages.preprocess import run
from preprocess_inputs import params
{prelude}
if __name__ == "__main__":
    try:
        run(params(), Paths(Path({str(root)!r})), workers=2)
    except GanError as error:
        raise SystemExit(str(error))
"""
    command = [sys.executable, "-c", code]
    return subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=new_group
    )


def test_a_full_disk_is_an_error_and_leaves_the_old_cache(paths):
    run(params(), paths, workers=1)
    before = contents(paths.cache)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))"
    process = child(paths.root, limit)
    _, output = process.communicate(timeout=60)
    assert process.returncode == 1
    space, error = [line for line in output.splitlines() if "preprocess:" not in line]
    assert space.startswith("cache/: ")
    assert error.startswith(f"{paths.cache}: ")
    assert contents(paths.cache) == before
    assert not paths.cache.with_name("cache.staging").exists()


def slow_files():
    """A task of small pictures, then many that take long to decode."""
    large = io.BytesIO()
    Image.new("RGB", (4000, 4000), "teal").save(large, "PNG")
    return [*pictures(100), *(large.getvalue() + bytes([n]) for n in range(250))]


def has_images(staging):
    """Whether a worker has written the images of a task, and so works on the next one."""
    file = staging / "images.npy"
    return file.exists() and file.stat().st_size > 0


def workers_of(process):
    """The processes that decode; not the resource tracker."""
    children = psutil.Process(process.pid).children()
    return [each for each in children if "spawn_main" in " ".join(each.cmdline())]


@pytest.mark.slow
@pytest.mark.parametrize("stopped", ["killed", "interrupted", "a worker killed"])
def test_a_stopped_run_leaves_no_half_cache_and_no_process(tmp_path, files, stopped):
    paths = make_dataset(tmp_path / "old", files)
    run(params(), paths, workers=1)
    before = contents(paths.cache)
    paths = make_dataset(tmp_path / "new", slow_files())
    (tmp_path / "old" / "cache").rename(paths.cache)
    staging = paths.cache.with_name("cache.staging")
    process = child(paths.root)
    until(lambda: has_images(staging))
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 2
    if stopped == "a worker killed":
        workers_of(process)[0].kill()
    else:
        process.send_signal(signal.SIGKILL if stopped == "killed" else signal.SIGINT)
    _, output = process.communicate(timeout=60)
    assert process.returncode != 0
    until(lambda: not any(each.is_running() for each in family))
    assert contents(paths.cache) == before
    assert staging.exists() == (stopped == "killed")
    if stopped == "a worker killed":
        (error,) = (e for e in output.splitlines() if not e.startswith(("cache/:", "preprocess:")))
        assert "preprocess.max_pixels" in error
    repaired = make_dataset(tmp_path / "repaired", files)
    if stopped == "killed":
        with pytest.raises(GanError, match="staging"):
            TensorCache.open(staging)
        staging.rename(repaired.cache.with_name("cache.staging"))
    run(params(), repaired, workers=1)
    assert contents(repaired.cache) == before


@pytest.mark.slow
@pytest.mark.parametrize("after", [0.0, 0.6])
def test_ctrl_c_during_the_start_gives_no_traceback_of_a_worker(tmp_path, after):
    paths = make_dataset(tmp_path, slow_files())
    process = child(paths.root, new_group=True)
    until(lambda: psutil.Process(process.pid).children())
    time.sleep(after)
    os.killpg(process.pid, signal.SIGINT)
    _, output = process.communicate(timeout=60)
    assert output.count("Traceback") == 1  # of the parent: here no command catches it
    assert "KeyboardInterrupt" in output
    assert "spawn_main" not in output
    assert not paths.cache.with_name("cache.staging").exists()


@pytest.mark.parametrize("stage", ["scrape", "preprocess"])
def test_a_stage_without_networks_does_not_import_torch(stage):
    """Neither itself nor in the module that opens its MLflow run."""
    code = f"import sys, pipeline.stages.{stage}, pipeline.tracking.stage_runs"
    code += "; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
