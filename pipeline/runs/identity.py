"""Identity of the training that this checkout would run, as `gan _identity` prints it.

Later versions of the code ask this of older checkouts (`pipeline.runs.other_checkout`), so the
command, its option and the three keys stay as they are.
"""

from typing import Any

from gan.params.file import Params
from pipeline.code_digest import TRAINING, code_digest
from pipeline.paths import Paths


def digest_of_code() -> dict[str, Any]:
    """Digest of the training's code alone, which needs neither params nor data."""
    return {"run_key": None, "identity": None, "code_digest": code_digest(TRAINING)}


def identity_of_training(params: Params, paths: Paths) -> dict[str, Any]:
    """Run key, and the settings, digests and versions that it is built from; GanError."""
    from gan.tensor_cache import TensorCache
    from pipeline.training.plan import make_plan

    plan = make_plan(params.model, params.train, TensorCache.open(paths.cache), paths)
    identity = plan.identity | {"images": params.train.images}
    return digest_of_code() | {"run_key": plan.run_key, "identity": identity}
