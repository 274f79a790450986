"""Where the file with Inception's weights belongs, and what is said without it."""

from pathlib import Path

from pipeline.paths import Paths

NAME = "pt_inception-2015-12-05-6726825d.pth"


def weights_file(paths: Paths) -> Path:
    """Where the weights belong, whether they are there or not."""
    return paths.weights / NAME


def missing_message(paths: Paths) -> str:
    """One line: FID is missing, and how to get it; no path, since results hold it."""
    return (
        f"fid is missing: no Inception weights in {paths.weights.name}/; run `gan weights fetch`, "
        f"or bring the file {NAME} and run `gan weights add FILE`"
    )
