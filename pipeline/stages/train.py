"""The train stage: cache/ -> models/snapshots/, models/final.pt, reports/; resumable."""

from contextlib import closing
from typing import Protocol

from gan.devices import fast
from gan.distributed.world import World, joined
from gan.errors import GanError
from gan.params.file import Params
from gan.training.batches import Batches
from gan.training.loop import DivergedError, Observer, train
from gan.training.state import TrainState
from gan.training.steps import Engine
from pipeline.console import progress, say
from pipeline.paths import Paths
from pipeline.signals import Stop, Stopped, stopping
from pipeline.tracking import run_times as runlog
from pipeline.training.follow import Follower
from pipeline.training.lead import Leader
from pipeline.training.plan import Plan, plan
from pipeline.training.progress_folder import Unfinished, digest_of, nearest, unfinished
from pipeline.training.publish import marked, publish

TERMINATED = 143
"""Exit code of a process that another one's signal stopped."""


class Keeper(Protocol):
    """Who knows where a training stands, and whom its loop tells."""

    def begin(self, state: TrainState, diverged: DivergedError | None) -> Observer:
        """Bring a fresh state to where the training stands; GanError if it can't go on."""
        ...


def run(params: Params, paths: Paths, *, resume: bool = False) -> None:
    """Train, or go on with a training that was killed; publish models/ and reports/.

    resume: insist on going on; GanError, naming what differs, if there is nothing to go on from.
    Under torchrun all processes train, and the first one alone reads and writes. Raises Stopped
    after a signal, when a checkpoint is written.
    """
    todo = plan(params, paths)
    with joined(todo.compute.device) as world, stopping() as stop, fast(todo.compute.device):
        if world.share(digest_of(todo.identity)) != digest_of(todo.identity):
            raise GanError(
                "params, cache/, code, torch or kind of device are not those of the first process"
            )
        if world.lead:
            ended = _lead(todo, paths, world, stop, resume)
        else:
            ended = _learn(todo, world, Follower(world, stop))
        if not ended:
            raise Stopped(stop.exit_code or TERMINATED)


def _lead(todo: Plan, paths: Paths, world: World, stop: Stop, resume: bool) -> bool:
    _say_differences(todo, paths, resume)
    with unfinished(paths.progress, todo.identity) as work:
        if work.finished_images() >= todo.params.train.images:
            if resume:
                raise GanError("--resume: this training is finished; a longer one would go on")
            work.clear()  # a finished run that is asked for again is run again
        _refuse_to_go_back(todo, work)
        work.mark_running()
        return _train(todo, paths, work, world, stop, resume)


def _refuse_to_go_back(todo: Plan, work: Unfinished) -> None:
    reached = max(map(work.seen, work.states), default=0)
    if reached > todo.end:
        raise GanError(
            f"train.images = {todo.params.train.images}: an unfinished training is at {reached:,} "
            f"images already ({work.folder}); raise it, or drop that one: gan clean --remove"
        )


def _train(
    todo: Plan, paths: Paths, work: Unfinished, world: World, stop: Stop, resume: bool
) -> bool:
    train_params = todo.params.train
    runlog.begin(paths, todo.run_key)
    with (
        progress(f"train {train_params.objective}", train_params.images) as advance,
        Leader(todo, paths, work, world, stop, advance, insist=resume) as leader,
    ):
        ended = _learn(todo, world, leader)
        if ended:
            leader.row.artifact(work.states[-1], "checkpoints")
            _say_if_early(todo, work)
            publish(paths, work)
            leader.row.artifact(marked(paths, work, todo.run_key), "lineage")
            leader.finished = True
    if ended:
        work.mark_finished(train_params.images)
        # only now: until everything is in place, a run that goes on belongs to the same row
        if not leader.row.unsent:
            leader.row.tidy()
        runlog.finish(paths, todo.run_key)
    return ended


def _say_if_early(todo: Plan, work: Unfinished) -> None:
    seen, length = work.seen(work.states[-1]), todo.params.train.images
    if seen < length:
        say(
            f"the training ends early, at {seen:,} of {length:,} images seen: the pictures of "
            f"{todo.params.train.early_stop.patience} grids in a row were too much alike"
        )


def _learn(todo: Plan, world: World, keeper: Keeper) -> bool:
    """Train to the end, with one more try where numbers are not finite; False if stopped."""
    params, latent_size = todo.params.train, todo.params.model.latent_size
    engine = Engine(params, todo.objective, todo.compute, world, latent_size)
    images, (_, count) = todo.cache.split("train"), world.part(params.batch_size)
    diverged = None
    with closing(Batches(images, params.seed, count, params.flip, todo.compute.device)) as batches:
        while True:
            state = todo.fresh()
            observer = keeper.begin(state, diverged)
            state.discriminator = world.synchronised(state.discriminator)
            state.generator = world.synchronised(state.generator)
            try:
                return train(state, engine, batches, observer)
            except DivergedError as error:
                diverged = error


def _say_differences(todo: Plan, paths: Paths, resume: bool) -> None:
    folder = paths.progress / digest_of(todo.identity)[:16]
    if any(folder.glob("state-*.pt")):
        return
    differences = nearest(paths.progress, todo.identity, any_data=resume)
    told = "; ".join(differences[:6]) + (" ..." if len(differences) > 6 else "")
    if resume:
        why = f"the unfinished training differs: {told}" if told else "there is none"
        raise GanError(f"--resume: {why}")
    if told:
        say(f"starting afresh: the nearest earlier training differs in {told}")
