"""Tiny inputs that several test files share: params, a tensor cache, a checkpoint."""

import copy
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from train_checkouts import environment, new_checkout, without_tracker

from gan.checkpoints import Origin, save_checkpoint
from gan.models.interfaces import build_generator, initialise
from gan.params.file import Params, parse_params
from gan.tensor_cache import cache_digest, pixel_digests
from pipeline.preprocessing.cache_writer import (
    replace_folder,
    space_needed,
    write_index,
    write_meta,
)
from pipeline.preprocessing.workers.image_slots import StagedImages
from pipeline.tracking.mlflow.environment import set_defaults

set_defaults()  # of MLflow, as the `gan` command does

REPOSITORY = Path(__file__).resolve().parents[1]
SHIPPED = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))

TINY = {
    "preprocess.size": 32,
    "preprocess.filters.min_side": 32,
    "model.latent_size": 8,
    "model.generator.width": 4,
    "model.discriminator.width": 4,
    "train.images": 192,
    "train.objective": "hinge",
    "train.recipes.hinge.generator.schedule.shape": "constant",  # a longer one may resume
    "train.recipes.hinge.discriminator.schedule.shape": "constant",
    "train.recipes.hinge.generator.learning_rate": 0.0004,
    "train.recipes.hinge.discriminator.learning_rate": 0.0004,
    "train.batch_size": 8,
    "train.average.half_life": 64,
    "train.device": "cpu",
    "train.precision": "float32",
    "train.log_every": 16,
    "train.grid_every": 64,
    "train.snapshot_every": 64,
    "train.checkpoint_every": 32,
}
"""What makes a training last a second; everything else is as in the shipped params.yaml."""

LONGEST = (
    "test_pipeline.py",
    "test_train_reliability.py",
    "test_distributed.py",
    "test_pytorch_fid.py",
    "test_dvc_views.py",
    "test_ui_browser.py",
    "test_reproduce.py",
    "test_flat_layout.py",
)
"""Files that take minutes: begun first, or one process waits for the other at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by file, the longest ones first; the order within a file stays."""
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


# a shell's background job ignores Ctrl-C, and so would every process that the tests start
signal.signal(signal.SIGINT, signal.default_int_handler)


def changed(values: dict, changes: dict) -> dict:
    """A copy of nested `values` with dotted keys replaced."""
    result = copy.deepcopy(values)
    for dotted, value in changes.items():
        *sections, key = dotted.split(".")
        section = result
        for name in sections:
            section = section[name]
        section[key] = value
    return result


@pytest.fixture(scope="session")
def make_params():
    """make_params({"train.seed": 2}): tiny params with these dotted keys changed."""

    def make(changes: dict | None = None) -> Params:
        return parse_params(changed(SHIPPED, TINY | (changes or {})), "test")

    return make


@pytest.fixture(scope="session")
def write_params():
    """write_params(file, {"train.seed": 2}): the same as a params.yaml."""

    def write(file: Path, changes: dict | None = None) -> Path:
        file.write_text(yaml.safe_dump(changed(SHIPPED, TINY | (changes or {}))))
        return file

    return write


@pytest.fixture(scope="session")
def write_cache():
    """write_cache(folder, images, holdout): a real tensor cache of (n,S,S,3) uint8 images."""

    def write(folder: Path, images: np.ndarray, holdout: int = 0) -> Path:
        count, size = len(images), images.shape[1]
        counts = {"train": count - holdout, "holdout": holdout}
        settings = {"size": size, "holdout": 0.1}
        images = np.ascontiguousarray(images)
        pixels = pixel_digests(images)
        with replace_folder(folder, space_needed(count, size)) as staging:
            with closing(StagedImages(staging / "images.npy", size, create=True)) as target:
                target.write(np.arange(count), images)
                target.close_holes(np.arange(count))
            columns = {
                "row": np.arange(count),
                "sha256": [each.tobytes().hex() for each in pixels],
                "split": ["train"] * counts["train"] + ["holdout"] * counts["holdout"],
                "pixels": [each.tobytes() for each in pixels],
            }
            write_index(staging, [columns])
            digest = cache_digest(pixels, settings, counts)
            meta = {"settings": settings, "filter": "none", "snapshot": "snapshot"}
            write_meta(staging, meta | {"counts": counts, "statistics": {}, "digest": digest})
        return folder

    return write


@pytest.fixture(scope="session")
def noise_images():
    """(50, 32, 32, 3) uint8, all of them different."""
    return np.random.default_rng(0).integers(0, 256, (50, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def no_tracker(monkeypatch):
    """Let what this process trains be heard by nobody."""
    without_tracker(monkeypatch)


@pytest.fixture(scope="session")
def train_cache(tmp_path_factory, write_cache, noise_images):
    """A tensor cache of 40 images to train on."""
    return write_cache(tmp_path_factory.mktemp("data") / "cache", noise_images, holdout=10)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, train_cache, make_params):
    """Checkout of a tiny training that nothing disturbed; not to be changed."""
    from pipeline.tracking import stage_runs

    with pytest.MonkeyPatch.context() as patch:
        without_tracker(patch)
        paths = new_checkout(tmp_path_factory.mktemp("undisturbed"), train_cache)
        stage_runs.train(make_params(), paths)
    return paths


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory, make_params):
    """A generator's checkpoint: 32 px, width 4, latent size 8."""
    params = make_params()
    generator = build_generator(params.model, 32)
    initialise(generator, params.model.generator, torch.Generator().manual_seed(3))
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.pt"
    model = params.model.model_dump()
    save_checkpoint(path, Origin(model, 32, 64, "k" * 64, "d" * 64, "tiny"), generator.eval())
    return path


@pytest.fixture
def gan(tmp_path):
    """gan("train", "--dry-run"): the command, as a process in tmp_path that no tracker hears.

    With wait=False the process itself, still running; `store` is what keeps its records;
    `launcher` is what starts it, such as ("-m", "torch.distributed.run").
    """
    started = []

    def start(*arguments: str, wait=True, cwd: Path = tmp_path, store="", launcher=()):
        command = [sys.executable, *launcher, "-m", "pipeline.cli", *map(str, arguments)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment(tmp_path) | ({"MLFLOW_TRACKING_URI": store} if store else {}),
            stdout=pipe,
            stderr=pipe,
            text=True,
        )
        started.append(process)
        if not wait:
            return process
        out, err = process.communicate(timeout=600)
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
