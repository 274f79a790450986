"""The state that a training goes on from, and what else of its earlier days is still true."""

from gan.checkpoints import load_checkpoint, save_checkpoint
from gan.errors import GanError
from gan.models.interfaces import Generator
from gan.training.state import TrainState
from pipeline.console import say, warn
from pipeline.training.observer import Losses
from pipeline.training.plan import Plan
from pipeline.training.progress_folder import Unfinished


def restore(todo: Plan, work: Unfinished, state: TrainState, *, insist: bool) -> Losses:
    """Fill a fresh state with the newest saved one, if any; what came after it is removed.

    insist: GanError if there is none.
    """
    saved = work.load_newest(warn)
    if saved is None:
        if insist:
            raise GanError(f"--resume: no whole checkpoint is left in {work.folder}")
        work.clear("tracking")  # a run that was killed this early keeps its row
        if todo.warm is not None:
            todo.warm.fill(state)
            say(f"beginning with the weights of {todo.warm.path}")
    else:
        state.load_state_dict(saved["state"])
    seen = saved["origin"]["images_seen"] if saved else 0
    _tidy(todo, work, seen)
    if saved is not None:
        say(f"going on at {seen:,} images seen ({work.folder})")
        _adopt(todo, work, state.averaged)
        state.averaged.load_state_dict(saved["averaged"])
    return Losses(work.losses, seen)


def _tidy(todo: Plan, work: Unfinished, seen: int) -> None:
    """Remove what an uninterrupted run would not have by now."""
    train, per_step = todo.params.train, todo.params.train.images_per_step
    for folder, every in (
        (work.snapshots, train.snapshot_every),
        (work.grids, train.grid_every),
    ):
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            at = int(path.stem) if path.stem.isdigit() else -1
            # a shorter run's last one would not be there in an uninterrupted longer run
            planned = at == 0 or at // every > (at - per_step) // every
            if at < 0 or at > seen or not planned:
                path.unlink()


def _adopt(todo: Plan, work: Unfinished, vehicle: Generator) -> None:
    """Make the snapshots of a run of another length this run's own, as if it had made them."""
    for path in work.snapshots.iterdir():
        try:
            content = load_checkpoint(path)
        except GanError as error:
            raise GanError(
                f"{error}; `gan clean --remove` lets this training begin anew"
            ) from None
        if content["origin"]["run_key"] != todo.run_key:
            vehicle.load_state_dict(content["averaged"])
            save_checkpoint(path, todo.origin(int(path.stem)), vehicle)
