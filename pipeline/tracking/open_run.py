"""MLflow runs of the stages: started, resumed, found again to add results.

Nothing here stops, slows or kills the work that is tracked: records go to a local run folder
(`pipeline/tracking/run_folder/`), a thread sends them, and a tracker that fails costs one line on
stderr.
"""

import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan.errors import GanError
from pipeline.console import without_secrets
from pipeline.paths import Paths
from pipeline.signals import interrupting
from pipeline.tracking.descriptions import log_source
from pipeline.tracking.mlflow.store import tracking_uri
from pipeline.tracking.provenance.tags import provenance_tags
from pipeline.tracking.run import Run, param_texts
from pipeline.tracking.run_folder.folder import RunFolder, make_run_folder, now_ms, runs_folder
from pipeline.tracking.run_folder.push import warn

if TYPE_CHECKING:  # the other stages have no use for torch
    from gan.checkpoints import Origin
    from pipeline.tracking.mlflow.writer import MlflowWriter


def experiment_name() -> str:
    """MLFLOW_EXPERIMENT_NAME, else `avatars`."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or "avatars"


def start_run(
    paths: Paths,
    *,
    name: str,
    run_key: str,
    folder: Path,
    progress: str = "",
    resumed_from: int | None = None,
) -> Run:
    """Start the run of a training; an existing run folder (a killed training) continues its run.

    Records that the folder still holds unsent are sent, also to another store than before.
    progress: name of the progress folder. resumed_from: images seen by the checkpoint that the
    training resumes from; records prepared for it count.
    """
    tags = {"run_key": run_key, **provenance_tags(paths, "train")}
    run = _open(paths, folder, experiment_name(), name, tags, progress=progress)

    def resume(folder: RunFolder) -> None:
        run.known, continued = folder.resume(resumed_from)
        if continued:
            run.mark_resumed()
        else:
            log_source(run, paths)

    run.attempt(resume)
    run.commit()
    return run


def attach_to_run(
    paths: Paths,
    origin: "Origin",
    run_id: str | None = None,
    params: Mapping[str, object] | None = None,
) -> Run:
    """Add to the run `run_id`, else to the newest one of a checkpoint's run key; end with `flush`.

    Its status may be any. A run is created if there is none, with the checkpoint's settings; only
    then `params` are used.
    """
    decided = origin.lineage.get("decided", {})
    train = {"train": decided["train"] | {"images": decided["images"]}} if decided else {}
    tags = {"run_key": origin.run_key, "cache_digest": origin.cache_digest}
    more = {
        "attach": origin.run_key,
        "run_id": run_id,
        "params": param_texts({"model": origin.model, **train, **(params or {})}),
    }
    folder, tags = new_folder(paths, "evaluate"), provenance_tags(paths, "evaluate") | tags
    return _open(paths, folder, experiment_name(), origin.name, tags, **more)


@contextmanager
def stage_run(
    paths: Paths, stage: str, *, name: str = "", params: Mapping[str, object] | None = None
) -> Iterator[Run]:
    """Run of a stage other than training, in an experiment of its own.

    FAILED on an error, KILLED on Ctrl-C and SIGTERM, which raise SystemExit in here.
    """
    experiment, tags = f"{experiment_name()}-stages", provenance_tags(paths, stage)
    run = _open(paths, new_folder(paths, stage), experiment, name or stage, tags)
    run.params(params or {})
    run.commit()
    status = "FAILED"
    try:
        with interrupting():
            yield run
        status = "FINISHED"
    except (KeyboardInterrupt, SystemExit):
        status = "KILLED"
        raise
    finally:
        run.commit()  # also of a failed stage: how far it came
        run.close(status, hurry=status == "KILLED")


def _open(
    paths: Paths, path: Path, experiment: str, name: str, tags: Mapping[str, str], **more: Any
) -> Run:
    uri = tracking_uri(paths)
    header = {"experiment": experiment, "name": name, "start_time": now_ms(), "tags": tags}

    def connect() -> "MlflowWriter":
        from pipeline.tracking.mlflow.writer import MlflowWriter  # importing mlflow takes seconds

        return MlflowWriter(uri, paths.main_root)

    try:
        return Run(make_run_folder(path, header | more), connect, without_secrets(uri))
    except (OSError, ValueError, GanError) as error:
        warn(f"nothing is recorded, {path} can't be used: {error}")
        return Run(None)


def new_folder(paths: Paths, name: str) -> Path:
    """Place for the run folder of a new run."""
    return runs_folder(paths) / f"{name}-{uuid.uuid4().hex[:12]}"
