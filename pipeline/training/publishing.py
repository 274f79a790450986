"""From the progress folder to the outs."""

import shutil

from gan.durable import write_atomically
from pipeline.paths import Paths
from pipeline.unfinished import Unfinished


def publish(paths: Paths, work: Unfinished) -> None:
    """Put the results in place of the outs, each in one step."""
    paths.models.mkdir(parents=True, exist_ok=True)
    partial = paths.models / ".snapshots.partial"
    shutil.rmtree(partial, ignore_errors=True)
    # a kill in the middle of writing leaves a hidden file behind
    shutil.copytree(work.snapshots, partial, ignore=shutil.ignore_patterns(".*"))
    shutil.rmtree(paths.models / "snapshots", ignore_errors=True)
    partial.replace(paths.models / "snapshots")
    write_atomically(paths.models / "final.pt", work.states[-1].read_bytes())
    write_atomically(paths.reports / "losses.tsv", work.losses.read_bytes())
    grid = max(work.grids.glob("[0-9]*.png"))
    write_atomically(paths.reports / "samples.png", grid.read_bytes())
