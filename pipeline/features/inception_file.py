"""File of Inception's weights: its path, and the message while it is missing."""

from pathlib import Path

from gan.params.evaluation import FeaturesParams
from pipeline.paths import Paths

NAME = "pt_inception-2015-12-05-6726825d.pth"


def weights_file(paths: Paths) -> Path:
    """Return the path of the weights, whether the file exists or not."""
    return paths.weights / NAME


def missing_message(paths: Paths) -> str:
    """Compose one line: FID is missing, and how to get it; no full path, since results hold it."""
    return (
        f"fid is missing: no Inception weights in {paths.weights.name}/; run `gan weights fetch`, "
        f"or bring the file {NAME} and run `gan weights add FILE`"
    )


def missing_note(params: FeaturesParams, paths: Paths) -> list[str]:
    """Return the message above in a list if params name Inception and its weights are missing."""
    missing = "inception" in params.extractors and not weights_file(paths).exists()
    return [missing_message(paths)] if missing else []
