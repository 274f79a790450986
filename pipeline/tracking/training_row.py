"""The tracker's row of a training, with all that is known before it starts."""

from gan.sampling import GRID_COLUMNS
from pipeline.paths import Paths
from pipeline.pictures.contact_sheet import contact_sheet, save_png
from pipeline.tracking import rows as tracking
from pipeline.training.observer import Losses
from pipeline.training.plan import Plan
from pipeline.training.progress_folder import Unfinished

REAL_IMAGES = 64


def open_row(
    todo: Plan, paths: Paths, work: Unfinished, losses: Losses, seen: int
) -> tracking.Run:
    """Open the row, or go on with that of a training which was killed and restored at `seen`."""
    row = tracking.start(
        paths,
        experiment=tracking.experiment_name(),
        name=todo.name,
        run_key=todo.run_key,
        spool=work.tracking(todo.run_key),
        reached=seen,
    )
    tracking.describe_training(row, todo.lineage)
    row.tags({key: todo.identity[key] for key in ("torch", "device", "precision")})
    row.links()
    # of a shorter run that this one goes on from; what the row has already is not taken twice
    for seen, measured in losses.rows:
        row.metrics(measured, seen)
    for grid in sorted(work.grids.glob("[0-9]*.png")):
        row.image("grid", grid, int(grid.stem))
    real = work.folder / "real.png"
    save_png(contact_sheet(todo.cache.split("train")[:REAL_IMAGES], GRID_COLUMNS), real)
    row.image("real", real, 0)
    row.commit()
    return row
