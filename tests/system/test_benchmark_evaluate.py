"""benchmarks/evaluate.py gives both contestants the same work, and counts it rightly."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.evaluate import PNGS, SEED
from benchmarks.judged import prepare
from gan.checkpoints import load_generator
from gan.params.file import load_params
from gan.sampling import draw_latents, generate
from gan.tensor_cache import TensorCache
from pipeline.evaluation.subject import CheckpointSubject

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_peer_s_files_are_the_images_that_our_evaluation_looks_at(checkpoint, tmp_path):
    command = [sys.executable, "-c", PNGS, checkpoint, tmp_path, str(SEED), "20"]
    subprocess.run(command, check=True, cwd=ROOT)
    subject = CheckpointSubject.open(checkpoint)
    ours = np.concatenate([batch.numpy() for batch in subject.batches(SEED, 20)])
    files = sorted(tmp_path.glob("*.png"))
    theirs = np.stack([np.asarray(Image.open(file)) for file in files]).transpose(0, 3, 1, 2)
    assert len(files) == 20
    assert (theirs == ours).all()


@pytest.mark.slow
def test_both_contestants_find_the_same_weights_and_the_same_real_images(tmp_path):
    judged = prepare(tmp_path / "all", reals=6, pictures=2)
    fresh = judged.fresh("turn")
    params, cache = load_params(fresh / "params.yaml"), TensorCache.open(fresh / "cache")
    cache.verify()
    for folder in (fresh / "weights", judged.torch_home / "hub" / "checkpoints"):
        (file,) = folder.iterdir()
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        assert sha256 == params.features.inception_sha256
    files = sorted(judged.reals.iterdir())
    assert (np.stack([np.asarray(Image.open(file)) for file in files]) == cache.images).all()
    assert len(cache.split("train")) == 6
    generator, origin = load_generator(judged.checkpoint)
    assert origin.cache_digest == cache.digest
    latents = draw_latents(2, "evaluate", 16, generator.latent_size)
    fakes = np.concatenate([batch.numpy() for batch in generate(generator, latents)])
    assert fakes.std(axis=0).mean() > 5  # grey levels: not all of them are alike


@pytest.mark.soak
def test_the_smallest_race_ends_with_equal_scores():
    """Minutes, most of them in pytorch-fid's root of a matrix of 2,048 by 2,048."""
    command = [sys.executable, "-m", "benchmarks.evaluate", "--fakes", "16", "--reals", "24"]
    done = subprocess.run([*command, "--threads", "1"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert set(result) == {"cold_vs_pytorch_fid", "cached_vs_pytorch_fid", "score_difference"}
    assert result["score_difference"] < 1e-3
    assert result["cached_vs_pytorch_fid"] > 0
