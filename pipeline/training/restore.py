"""Restoration of the newest checkpoint, and removal of everything written after it."""

from gan.checkpoints import load_checkpoint, save_checkpoint
from gan.errors import GanError
from gan.models.interfaces import Generator
from gan.training.state import TrainState
from pipeline.console import say, warn
from pipeline.training.observer import LossTable
from pipeline.training.plan import Plan
from pipeline.training.progress_folder import ProgressFolder


def restore(
    plan: Plan, folder: ProgressFolder, state: TrainState, *, must_resume: bool
) -> LossTable:
    """Fill a fresh state with the newest checkpoint, if any; remove what came after it.

    must_resume: GanError if there is none. Returns the losses up to the checkpoint.
    """
    saved = folder.load_newest(warn)
    if saved is None:
        if must_resume:
            raise GanError(f"--resume: no whole checkpoint is left in {folder.path}")
        folder.clear()
        if plan.warm is not None:
            plan.warm.fill(state)
            say(f"starting from the weights of {plan.warm.path}")
    else:
        state.load_state_dict(saved["state"])
    seen = saved["origin"]["images_seen"] if saved else 0
    _remove_later_files(plan, folder, seen)
    if saved is not None:
        say(f"resuming at {seen:,} images seen ({folder.path})")
        _adopt_snapshots(plan, folder, state.averaged)
        state.averaged.load_state_dict(saved["averaged"])
    return LossTable(folder.losses, seen)


def _remove_later_files(plan: Plan, folder: ProgressFolder, seen: int) -> None:
    """Remove snapshots and grids that an uninterrupted run would not have by now."""
    train, per_step = plan.train, plan.train.images_per_step
    for place, every in (
        (folder.snapshots, train.snapshot_every),
        (folder.grids, train.grid_every),
    ):
        place.mkdir(exist_ok=True)
        for path in place.iterdir():
            at = int(path.stem) if path.stem.isdigit() else -1
            # a shorter run's last one would not be there in an uninterrupted longer run
            planned = at == 0 or at // every > (at - per_step) // every
            if at < 0 or at > seen or not planned:
                path.unlink()


def _adopt_snapshots(plan: Plan, folder: ProgressFolder, network: Generator) -> None:
    """Make the snapshots of a run of another length this run's own, as if it had made them."""
    for path in folder.snapshots.iterdir():
        try:
            content = load_checkpoint(path)
        except GanError as error:
            raise GanError(
                f"{error}; `gan clean --remove` removes this training, so that it starts afresh"
            ) from None
        if content["origin"]["run_key"] != plan.run_key:
            network.load_state_dict(content["averaged"])
            save_checkpoint(path, plan.origin(int(path.stem)), network)
