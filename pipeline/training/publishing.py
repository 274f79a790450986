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
    try:
        # not what a kill in the middle of writing left: that is hidden
        for snapshot in work.snapshots.glob("[0-9]*.pt"):
            write_atomically(partial / snapshot.name, snapshot.read_bytes())
        shutil.rmtree(paths.models / "snapshots", ignore_errors=True)
        partial.replace(paths.models / "snapshots")
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    write_atomically(paths.models / "final.pt", work.states[-1].read_bytes())
    write_atomically(paths.reports / "losses.tsv", work.losses.read_bytes())
    grid = max(work.grids.glob("[0-9]*.png"))
    write_atomically(paths.reports / "samples.png", grid.read_bytes())
