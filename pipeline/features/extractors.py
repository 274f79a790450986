"""Which feature extractors there are: what `reference` and `evaluate` both look with."""

from collections.abc import Sequence
from pathlib import Path

import torch

from gan.errors import GanError
from gan.features.efficientnet import Lite0
from gan.features.extractor import Extractor
from gan.features.inception import Inception
from gan.features.torchscript import TorchScriptExtractor
from gan.params.evaluation import FeaturesParams
from pipeline.features.inception_file import missing_message, weights_file
from pipeline.paths import Paths

KNOWN = "lite0, inception and TorchScript files, by path or by name in weights/"


def available_extractors(
    params: FeaturesParams, paths: Paths, device: torch.device
) -> Sequence[Extractor]:
    """Those that features.extractors names, in its order; the first one chooses snapshots.

    `inception` is left out while weights/ does not have its file. Raises GanError if none is
    left, if a file is absent, or if a file is not what it should be.
    """
    here = weights_file(paths).exists()
    names = [name for name in params.extractors if here or name != "inception"]
    if not names:
        raise GanError(f"{missing_message(paths)}; or name lite0 in features.extractors too")
    return [extractor(name, params, paths, device) for name in names]


def extractor(
    name: str | Path, params: FeaturesParams, paths: Paths, device: torch.device
) -> Extractor:
    """The extractor called lite0 or inception, or a TorchScript file in weights/ or elsewhere.

    Raises GanError if there is none of that name, or if its file is not what it should be.
    """
    if name == "lite0":
        return Lite0(device, params.precision, params.batch_size)
    if name == "inception":
        return _inception(params, paths, device)
    return TorchScriptExtractor(
        _script(Path(name), paths), device, params.precision, params.batch_size
    )


def _inception(params: FeaturesParams, paths: Paths, device: torch.device) -> Inception:
    weights = weights_file(paths)
    if not weights.exists():
        raise GanError(missing_message(paths))
    return Inception(weights, params.inception_sha256, device, params.precision, params.batch_size)


def _script(name: Path, paths: Paths) -> Path:
    for path in (paths.weights / name, name):
        if path.is_file():
            return path
    raise GanError(f"{name}: no such extractor and no such file; known are {KNOWN}")
