"""`gan _identity`, which later versions of the code ask of a checkout."""

import json

from gan.params.file import load_params
from gan.tensor_cache import TensorCache
from pipeline.code_digest import TRAINING, code_digest
from pipeline.paths import Paths
from pipeline.training.plan import make_plan


def test_the_hidden_command_tells_digest_of_the_code_and_key_and_identity_of_the_plan(
    gan, tmp_path, write_params, write_cache, noise_images
):
    assert "_identity" not in gan("--help").stdout
    unknown = {"run_key": None, "identity": None}
    alone = json.loads(gan("_identity", "--code-only").stdout)
    assert alone == unknown | {"code_digest": code_digest(TRAINING)}
    assert gan("_identity").returncode == 1  # without params.yaml
    params = load_params(write_params(tmp_path / "params.yaml"))
    assert gan("_identity").returncode == 1  # without cache/
    cache = TensorCache.open(write_cache(tmp_path / "cache", noise_images))
    done = gan("_identity")
    assert done.returncode == 0, done.stderr
    plan = make_plan(params.model, params.train, cache, Paths(tmp_path))
    identity = plan.identity | {"images": params.train.images}
    assert json.loads(done.stdout) == alone | {"run_key": plan.run_key, "identity": identity}
    assert alone["code_digest"] == plan.identity["code_digest"]
