"""Which feature extractors this checkout has: what `reference` and `evaluate` both look with."""

from pathlib import Path

import torch

from gan.metrics.features import Extractor
from gan.metrics.inception import Inception
from gan.metrics.lite0 import Lite0
from gan.params import FeaturesParams
from pipeline.paths import Paths
from pipeline.weights import weights_file


def available_extractors(
    params: FeaturesParams, paths: Paths, device: torch.device
) -> list[Extractor]:
    """Lite0, which is always there, and Inception if its weights are.

    Raises GanError if the weights are not the ones that features.inception_sha256 names.
    """
    extractors: list[Extractor] = [Lite0(device)]
    weights = weights_file(paths)
    if weights.exists():
        extractors.append(Inception(weights, params.inception_sha256, device))
    return extractors


def reference_file(paths: Paths, extractor: Extractor) -> Path:
    """Where an extractor's statistics of the real images lie."""
    return paths.reference / f"{extractor.name}.npz"
