"""MLflow runs of the stages: started, resumed, found again to add results.

Nothing here stops, slows or kills the work that is tracked: records go to a local run folder
(`pipeline/tracking/run_folder/`), a thread sends them, and a tracker that fails costs one line on
stderr.
"""

import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from gan.errors import GanError
from pipeline.console import without_secrets
from pipeline.paths import Paths
from pipeline.signals import interrupting
from pipeline.tracking.descriptions import log_source
from pipeline.tracking.mlflow.store import tracking_uri
from pipeline.tracking.mlflow.writer import MlflowWriter
from pipeline.tracking.provenance.tags import provenance_tags
from pipeline.tracking.run import Run, param_texts
from pipeline.tracking.run_folder.folder import make_run_folder, now_ms, runs_folder
from pipeline.tracking.run_folder.push import warn


def experiment_name() -> str:
    """MLFLOW_EXPERIMENT_NAME, else `avatars`."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or "avatars"


def start_run(
    paths: Paths,
    *,
    experiment: str,
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
    header = {
        "experiment": experiment,
        "name": name,
        "start_time": now_ms(),
        "tags": {"run_key": run_key, **provenance_tags(paths, "train")},
        "progress": progress,
    }
    run = _open(paths, folder, header)
    run.attempt(lambda: _resume(run, resumed_from, paths))
    run.commit()
    return run


def _resume(run: Run, step: int | None, paths: Paths) -> None:
    if run.folder is not None:
        run.known, continued = run.folder.resume(step)
        if continued:
            run.mark_resumed()
        else:
            log_source(run, paths)


def attach_to_run(
    paths: Paths,
    *,
    experiment: str,
    run_key: str,
    name: str,
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, str] | None = None,
    run_id: str | None = None,
) -> Run:
    """Add to the run `run_id`, else to the newest one tagged `run_key`; end with `flush`.

    Its status may be any. A run is created if there is none; only then `params` and `tags` are
    used.
    """
    header = {
        "experiment": experiment,
        "name": name,
        "attach": run_key,
        "run_id": run_id,
        "start_time": now_ms(),
        "params": param_texts(params or {}),
        "tags": {"run_key": run_key, **provenance_tags(paths, "evaluate"), **(tags or {})},
    }
    return _open(paths, new_folder(paths, "evaluate"), header)


@contextmanager
def stage_run(
    paths: Paths, stage: str, *, name: str = "", params: Mapping[str, object] | None = None
) -> Iterator[Run]:
    """Run of a stage other than training, in an experiment of its own.

    FAILED on an error, KILLED on Ctrl-C and SIGTERM, which raise SystemExit in here.
    """
    header = {
        "experiment": f"{experiment_name()}-stages",
        "name": name or stage,
        "start_time": now_ms(),
        "tags": provenance_tags(paths, stage),
    }
    run = _open(paths, new_folder(paths, stage), header)
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


def _open(paths: Paths, path: Path, header: Mapping[str, Any]) -> Run:
    uri = tracking_uri(paths)
    try:
        folder = make_run_folder(path, header)
        connect = partial(MlflowWriter, uri, paths.main_root)
        return Run(folder, connect, without_secrets(uri))
    except (OSError, ValueError, GanError) as error:
        warn(f"nothing is recorded, {path} can't be used: {error}")
        return Run(None)


def new_folder(paths: Paths, name: str) -> Path:
    """Place for the run folder of a new run."""
    return runs_folder(paths) / f"{name}-{uuid.uuid4().hex[:12]}"
