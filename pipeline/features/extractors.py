"""Feature extractors by name: those of params.yaml, and TorchScript files."""

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

ALLOWED = "lite0, inception, or a TorchScript file (a path, or a name in weights/)"


def available_extractors(
    params: FeaturesParams, paths: Paths, device: torch.device
) -> Sequence[Extractor]:
    """Open the extractors of features.extractors in that order; the first selects snapshots.

    `inception` is left out while weights/ lacks its file. Raises GanError if none is left, if a
    file is absent, or if a file is not an extractor.
    """
    has_inception = weights_file(paths).exists()
    names = [name for name in params.extractors if has_inception or name != "inception"]
    if not names:
        raise GanError(f"{missing_message(paths)}; or add lite0 to features.extractors")
    return [open_extractor(name, params, paths, device) for name in names]


def open_extractor(
    name: str | Path, params: FeaturesParams, paths: Paths, device: torch.device
) -> Extractor:
    """Open lite0, inception, or a TorchScript file in weights/ or elsewhere.

    Raises GanError for any other name, and if the file is not an extractor.
    """
    if name == "lite0":
        return Lite0(device, params.precision, params.batch_size)
    if name == "inception":
        weights, sha256 = weights_file(paths), params.inception_sha256
        if not weights.exists():
            raise GanError(missing_message(paths))
        return Inception(weights, sha256, device, params.precision, params.batch_size)
    for path in (paths.weights / name, Path(name)):
        if path.is_file():
            return TorchScriptExtractor(path, device, params.precision, params.batch_size)
    raise GanError(f"{name}: no such feature extractor or file; use {ALLOWED}")
