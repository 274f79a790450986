"""`gan _identity`, which later versions of the code ask of a checkout."""

import json

from gan.params.file import load_params
from gan.tensor_cache import TensorCache
from pipeline.code_digest import TRAINING, code_digest
from pipeline.paths import Paths
from pipeline.training.plan import make_plan


def test_the_digest_of_the_code_needs_nothing_else(gan):
    done = gan("_identity", "--code-only")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "run_key": None,
        "identity": None,
        "code_digest": code_digest(TRAINING),
    }
    assert "_identity" not in gan("--help").stdout  # it is hidden


def test_key_and_identity_are_those_of_the_plan(
    gan, tmp_path, write_params, write_cache, noise_images
):
    assert gan("_identity").returncode == 1  # without params.yaml
    params = load_params(write_params(tmp_path / "params.yaml"))
    assert gan("_identity").returncode == 1  # without cache/
    write_cache(tmp_path / "cache", noise_images)
    done = gan("_identity")
    assert done.returncode == 0, done.stderr
    answer, cache = json.loads(done.stdout), TensorCache.open(tmp_path / "cache")
    plan = make_plan(params.model, params.train, cache, Paths(tmp_path))
    assert answer["run_key"] == plan.run_key
    assert answer["identity"] == plan.identity | {"images": params.train.images}
    assert answer["code_digest"] == plan.identity["code_digest"]
