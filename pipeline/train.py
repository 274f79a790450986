"""The train stage: cache/ -> models/snapshots/, models/final.pt, reports/; resumable."""

import shutil
import sys
from dataclasses import dataclass
from typing import Any

import torch

from gan.batches import Batches
from gan.cache import TensorCache
from gan.checkpoints import Origin, load_checkpoint, save_checkpoint
from gan.devices import Compute, choose
from gan.durable import write_atomically
from gan.errors import GanError
from gan.models.dcgan import Generator
from gan.objectives.build import build_objective
from gan.params import OBJECTIVES, Params
from gan.sampling import GRID_COLUMNS
from gan.training import TrainState, build_state, train
from pipeline import runlog, tracking
from pipeline.images.contact_sheet import contact_sheet, save_png
from pipeline.imports import code_digest
from pipeline.paths import Paths
from pipeline.progress import progress
from pipeline.recording import Losses, Recorder
from pipeline.unfinished import Unfinished, digest_of, nearest, unfinished

REAL_IMAGES = 64


@dataclass(frozen=True)
class Plan:
    """What is going to be trained, all of it known before any work."""

    params: Params
    cache: TensorCache
    compute: Compute
    identity: dict[str, Any]
    """All that decides the result, except the length."""
    run_key: str

    @property
    def name(self) -> str:
        train, model = self.params.train, self.params.model
        return f"{train.objective} {self.cache.size}px w{model.generator_width} s{train.seed}"

    def origin(self, images_seen: int) -> Origin:
        """What a checkpoint says of itself."""
        model = self.params.model.model_dump()
        size, digest = self.cache.size, self.cache.digest
        return Origin(model, size, images_seen, self.run_key, digest, self.name)


def plan(params: Params, paths: Paths) -> Plan:
    """Check everything that can be checked before work; GanError for what is wrong."""
    cache = TensorCache.open(paths.cache)
    if not len(cache.split("train")):
        raise GanError(f"{paths.cache}: no image to train on; scrape more or lower the hold-out")
    for folder in (paths.models, paths.reports, paths.logs):
        if folder.is_file():
            raise GanError(f"{folder}: a file stands where a folder should be; move it away")
    compute = choose(params.train.device, params.train.precision)
    decided: dict[str, Any] = {
        "model": params.model.model_dump(),
        "train": params.train.model_dump(exclude={"images"}),
        "cache_digest": cache.digest,
        "code_digest": code_digest("pipeline/train.py"),
    }
    run_key = digest_of(decided | {"images": params.train.images})
    identity = decided | {
        "torch": torch.__version__,
        "device": compute.device.type,
        "precision": compute.precision,
    }
    return Plan(params, cache, compute, identity, run_key)


def describe(todo: Plan) -> str:
    """The resolved plan for a reader: settings, networks' sizes, data."""
    state = _fresh(todo)
    counts = {
        name: sum(each.numel() for each in network.parameters())
        for name, network in (("generator", state.generator), ("critic", state.discriminator))
    }
    lines = {
        "run": f"{todo.name} ({todo.run_key[:16]})",
        "train images": len(todo.cache.split("train")),
        "parameters": f"generator {counts['generator']:,}, discriminator {counts['critic']:,}",
        "device": f"{todo.compute.device.type}, {todo.compute.precision}",
        "length": f"{todo.params.train.images:,} images seen",
        "recipe": todo.params.train.recipe.model_dump(),
    }
    return "\n".join(f"{key}: {value}" for key, value in lines.items())


def run(params: Params, paths: Paths, *, resume: bool = False) -> None:
    """Train, or go on with a training that was killed; publish models/ and reports/.

    resume: insist on going on; GanError, naming what differs, if there is nothing to go on from.
    """
    todo = plan(params, paths)
    _say_differences(todo, paths, resume)
    with unfinished(paths.progress, todo.identity) as work:
        if work.finished_images() >= params.train.images:
            if resume:
                raise GanError("--resume: this training is finished; a longer one would go on")
            work.clear()  # a finished run that is asked for again is run again
        state, losses = _restore(todo, work)
        work.mark_running()
        tracked = _train(todo, paths, work, state, losses)
        _publish(paths, work)
        work.mark_finished(params.train.images)
        # only now: until everything is in place, a run that goes on belongs to the same row
        if not tracked.unsent:
            tracked.tidy()
        runlog.finish(paths, todo.run_key)


def _say_differences(todo: Plan, paths: Paths, resume: bool) -> None:
    folder = paths.progress / digest_of(todo.identity)[:16]
    if any(folder.glob("state-*.pt")):
        return
    differences = nearest(paths.progress, todo.identity)
    told = "; ".join(differences[:6]) + (" ..." if len(differences) > 6 else "")
    if resume:
        why = f"the unfinished training differs: {told}" if told else "there is none on this data"
        raise GanError(f"--resume: {why}")
    if told:
        _say(f"starting afresh: the nearest earlier training differs in {told}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def _fresh(todo: Plan) -> TrainState:
    params, device = todo.params, todo.compute.device
    size, recipe = todo.cache.size, params.train.recipe
    return build_state(params.model, size, params.train.seed, recipe, device)


def _restore(todo: Plan, work: Unfinished) -> tuple[TrainState, Losses]:
    """The newest saved state, or a fresh one; what was recorded after it is removed."""
    train_params = todo.params.train
    per_step = train_params.batch_size * train_params.recipe.critic_steps
    state = _fresh(todo)
    saved = work.load_newest(-(-train_params.images // per_step) * per_step)
    seen = 0
    if saved is None:
        work.clear()
    else:
        seen = saved["origin"]["images_seen"]
        state.load_state_dict(saved["state"])
        _say(f"going on at {seen:,} images seen ({work.folder})")
    for folder, every in (
        (work.snapshots, train_params.snapshot_every),
        (work.grids, train_params.grid_every),
    ):
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            at = int(path.stem) if path.stem.isdigit() else -1
            # a shorter run's last one would not be there in an uninterrupted longer run
            planned = at == 0 or at // every > (at - per_step) // every
            if at < 0 or at > seen or not planned:
                path.unlink()
    if saved is not None:
        _adopt(todo, work, state.averaged)
        state.averaged.load_state_dict(saved["averaged"])
    return state, Losses(work.losses, seen)


def _adopt(todo: Plan, work: Unfinished, vehicle: Generator) -> None:
    """Make the snapshots of a run of another length this run's own, as if it had made them."""
    for path in work.snapshots.iterdir():
        content = load_checkpoint(path)
        if content["origin"]["run_key"] != todo.run_key:
            vehicle.load_state_dict(content["averaged"])
            save_checkpoint(path, todo.origin(int(path.stem)), vehicle)


def _train(
    todo: Plan, paths: Paths, work: Unfinished, state: TrainState, losses: Losses
) -> tracking.Run:
    params = todo.params.train
    images = todo.cache.split("train")
    runlog.begin(paths, todo.run_key)
    tracked = _open_row(todo, paths, work, losses)
    batches = Batches(images, params.seed, params.batch_size, params.flip, todo.compute.device)
    status = "FAILED"
    try:
        with progress(f"train {params.objective}", params.images) as advance:
            latest = paths.logs / "latest.png"
            recorder = Recorder(work, tracked, todo.origin, losses, latest, advance)
            recorder.started(state.step * params.batch_size * params.recipe.critic_steps)
            train(state, build_objective(params), todo.compute, batches, params, recorder)
        tracked.artifact(work.states[-1], "checkpoints")
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        tracked.close(status)
    return tracked


def _open_row(todo: Plan, paths: Paths, work: Unfinished, losses: Losses) -> tracking.Run:
    """The tracker's row of this run, with all that is known before it starts."""
    row = tracking.start(
        paths,
        experiment=tracking.experiment_name(),
        name=todo.name,
        run_key=todo.run_key,
        spool=work.tracking(todo.run_key),
    )
    row.params({"model": todo.params.model.model_dump(), "train": _active(todo.params)})
    row.params({"cache": todo.cache.meta["settings"]})
    row.tags(
        {
            "cache_digest": todo.cache.digest,
            "code_digest": todo.identity["code_digest"],
            "torch": todo.identity["torch"],
            "device": todo.compute.device.type,
            "precision": todo.compute.precision,
        }
    )
    row.dataset("avatars", todo.cache.digest, str(todo.cache.meta.get("snapshot_digest", "")))
    for seen, measured in losses.rows:  # of a shorter run that this one goes on from
        row.metrics(measured, seen)
    real = work.folder / "real.png"
    save_png(contact_sheet(todo.cache.split("train")[:REAL_IMAGES], GRID_COLUMNS), real)
    row.image("real", real, 0)
    row.commit()
    return row


def _active(params: Params) -> dict[str, Any]:
    """Train params with the settings of the other objectives left out."""
    objectives = set(OBJECTIVES) - {params.train.objective}
    return params.train.model_dump(exclude=objectives)


def _publish(paths: Paths, work: Unfinished) -> None:
    """Put the results in place of the outs, each in one step."""
    paths.models.mkdir(parents=True, exist_ok=True)
    partial = paths.models / ".snapshots.partial"
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(work.snapshots, partial)
    shutil.rmtree(paths.models / "snapshots", ignore_errors=True)
    partial.replace(paths.models / "snapshots")
    write_atomically(paths.models / "final.pt", work.states[-1].read_bytes())
    write_atomically(paths.reports / "losses.tsv", work.losses.read_bytes())
    grid = max(work.grids.glob("*.png"))
    write_atomically(paths.reports / "samples.png", grid.read_bytes())
