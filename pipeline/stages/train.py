"""The train stage: cache/ -> models/snapshots/, models/final.pt, reports/; resumable."""

from contextlib import ExitStack

from gan.devices import fast_training
from gan.distributed.world import join_world
from gan.errors import GanError
from gan.params.file import Params
from gan.tensor_cache import TensorCache
from gan.training.loop import DivergedError, train
from pipeline.console import progress
from pipeline.paths import Paths
from pipeline.signals import TERMINATED, Stopped, stopping
from pipeline.training.identity import digest_of
from pipeline.training.lead import Follow, Lead
from pipeline.training.plan import make_plan
from pipeline.training.progress_folder import take_progress_folder
from pipeline.training.tracker import Tracker


def run(params: Params, paths: Paths, tracker: Tracker, *, resume: bool = False) -> None:
    """Train, or resume a training that was killed; publish models/ and reports/.

    resume: GanError, naming what differs, if there is nothing to resume. Under torchrun all
    processes train, and the first one alone reads and writes. Raises Stopped after a signal, when
    a checkpoint is written.
    """
    plan = make_plan(params.model, params.train, TensorCache.open(paths.cache), paths)
    device, identity = plan.compute.device, digest_of(plan.identity)
    with (
        join_world(device) as world,
        stopping() as stop,
        fast_training(device),
        ExitStack() as stack,
    ):
        if world.broadcast(identity) != identity:
            raise GanError(
                "params, cache/, code, torch or kind of device are not those of the first process"
            )
        role: Lead | Follow
        if world.lead:
            folder = take_progress_folder(paths.progress, plan, must_resume=resume)
            work = stack.enter_context(folder)
            title = f"train {plan.train.objective}"
            advance = stack.enter_context(progress(title, plan.train.images))
            lead = Lead(plan, work, paths, tracker, world, stop, advance, must_resume=resume)
            role = stack.enter_context(lead.recording())
        else:
            role = Follow(world, stop)
        engine, batches = plan.engine(world), plan.batches(world)
        stack.callback(batches.close)

        diverged: DivergedError | None = None
        finished: bool | None = None
        while finished is None:
            state = plan.fresh_state()
            role.restore(state, diverged)
            state.discriminator = world.synchronise_batch_norm(state.discriminator)
            state.generator = world.synchronise_batch_norm(state.generator)
            try:
                finished = train(state, engine, batches, role)
            except DivergedError as error:
                diverged = error  # a second one is refused by role.restore

        if not finished:
            raise Stopped(stop.exit_code or TERMINATED)
        role.publish()
