"""benchmarks/evaluate.py gives both contestants the same work, and counts it rightly."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _benchmarks_can_be_imported(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def taken(seconds, score=float("nan")):
    from benchmarks.evaluate import Taken

    return Taken(seconds, 2 * seconds, score)


def raced(**changes):
    """Two repeats; the peer's score is 100."""
    return {
        "files": [taken(10), taken(10)],
        "pytorch_fid": [taken(190, 100.0), taken(390, 100.0)],
        "peer": [taken(200, 100.0), taken(400, 100.0)],
        "cold": [taken(100, 100.5), taken(100, 100.5)],
        "warm": [taken(40, 100.5), taken(50, 100.5)],
    } | changes


def test_ratios_are_medians_over_the_repeats_and_differences_relative(capsys):
    from benchmarks.evaluate import summary, table

    assert summary(raced()) == {
        "cold_vs_pytorch_fid": 3.0,
        "cached_vs_pytorch_fid": 6.5,
        "score_difference": 0.005,
    }
    found = summary(raced(bf16=[taken(50, 100.5 * 1.01), taken(50, 100.5 * 1.01)]))
    assert found["bf16_vs_float32"] == 2.0  # of our own
    assert found["bf16_deviation"] == pytest.approx(0.01)
    with pytest.raises(SystemExit, match="another score"):
        summary(raced(warm=[taken(40, 100.6), taken(50, 100.6)]))
    assert taken(1) + taken(2, 5.0) == taken(3, 5.0)  # two parts of the peer
    table(raced())
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 6
    assert rows[1].split()[-3:] == ["10.0", "20", "30.00"]
    assert rows[4].split()[-4:] == ["100.0", "200", "3.00", "100.5"]


def test_the_only_distance_of_a_result_is_its_score(tmp_path):
    from benchmarks.evaluate import score_of

    found = {"fd": {"metric": "frechet", "value": 12.5}, "kd": {"metric": "kernel", "value": 1}}
    (tmp_path / "evaluation.json").write_text(json.dumps({"metrics": found}))
    assert score_of(tmp_path / "evaluation.json") == 12.5


@pytest.mark.slow
def test_the_peer_s_files_are_the_images_that_our_evaluation_looks_at(checkpoint, tmp_path):
    from benchmarks.evaluate import PNGS, SEED
    from pipeline.evaluation.subject import CheckpointSubject

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
    from benchmarks.judged import prepare
    from gan.checkpoints import load_generator
    from gan.params.file import load_params
    from gan.tensor_cache import TensorCache

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
    assert fakes_of(generator).std(axis=0).mean() > 5  # grey levels: not all of them are alike


def fakes_of(generator):
    from gan.sampling import draw_latents, generate

    latents = draw_latents(2, "evaluate", 16, generator.latent_size)
    return np.concatenate([batch.numpy() for batch in generate(generator, latents)]).astype(float)


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
