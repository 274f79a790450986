"""Runs of the stages as rows of MLflow: opened, continued, found again.

Nothing here stops, slows or kills the work that is tracked: records go to a local spool
(`pipeline/spooling/`), a thread sends them, and a tracker that fails costs one line on stderr.
"""

import os
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gan.errors import GanError
from pipeline.paths import Paths
from pipeline.tracking.descriptions import describe_training, keep_source
from pipeline.tracking.mlflow.store import MlflowStore, tracking_uri
from pipeline.tracking.mlflow.writer import MlflowReceiver
from pipeline.tracking.model.card import add_model
from pipeline.tracking.provenance.tags import origin
from pipeline.tracking.run import LOCAL_FLUSH_S, Run, flat
from pipeline.tracking.spool.lock import BusyError
from pipeline.tracking.spool.sender import warn, without_secrets
from pipeline.tracking.spool.spool import Spool, milliseconds

__all__ = [
    "Run",
    "add_model",
    "attach",
    "describe_training",
    "find_run",
    "log_result",
    "stage_run",
    "start",
    "tracking_uri",
]


def experiment_name() -> str:
    """MLFLOW_EXPERIMENT_NAME, else `avatars`."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or "avatars"


def start(
    paths: Paths,
    *,
    experiment: str,
    name: str,
    run_key: str,
    spool: Path,
    reached: int | None = None,
) -> Run:
    """Open a row; an existing `spool` folder (a killed training) continues the row it stands for.

    What the folder still holds unsent is sent, also to another store than before. reached: images
    seen by the checkpoint that the training goes on from; what was prepared for it counts.
    """
    row = {
        "experiment": experiment,
        "name": name,
        "start_time": milliseconds(),
        "tags": {"run_key": run_key, **origin(paths, "train")},
    }
    run = _open(paths, spool, row, reached)
    run.guarded(
        lambda opened: opened.add("resume") if opened.continued else keep_source(run, paths)
    )
    run.commit()
    return run


def _open(paths: Paths, folder: Path, row: Mapping[str, Any], reached: int | None = None) -> Run:
    uri = tracking_uri(paths)
    spool = None
    try:
        spool = _spool(folder, row, reached)
        if spool.damaged:
            warn(f"{spool.damaged} damaged records in {folder} are left out")
    except (OSError, ValueError, GanError) as error:
        warn(f"nothing is recorded, {folder} can't be used: {error}")
    return Run(spool, lambda: MlflowReceiver(uri, paths.main_root), without_secrets(uri))


def _spool(folder: Path, row: Mapping[str, Any], reached: int | None) -> Spool:
    """The spool in `folder`; one beside it while `gan sync` is long in sending that."""
    try:
        return Spool(folder, row, reached)
    except BusyError:
        return Spool.beside(folder, row, reached)


def attach(
    paths: Paths,
    *,
    experiment: str,
    run_key: str,
    name: str,
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, str] | None = None,
    run_id: str | None = None,
) -> Run:
    """Add to the row `run_id`, else to the newest one tagged `run_key`; end with `flush`.

    Its status does not matter. A row is created if there is none; only then `params` and `tags`
    are used.
    """
    row = {
        "experiment": experiment,
        "name": name,
        "attach": run_key,
        "run_id": run_id,
        "start_time": milliseconds(),
        "params": dict(flat(params or {})),
        "tags": {"run_key": run_key, **origin(paths, "evaluate"), **(tags or {})},
    }
    return _open(paths, _own_spool(paths, "evaluate"), row)


def log_result(
    paths: Paths,
    *,
    experiment: str,
    run_key: str,
    name: str,
    metrics: Mapping[str, float],
    step: int,
    images: Mapping[str, Path] | None = None,
    artifacts: Mapping[Path, str] | None = None,
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Write results at `step` onto the newest row tagged `run_key`; `artifacts`: file -> folder.

    Status and end of the row stay as they are. `params` and `tags`: see `attach`.
    """
    run = attach(
        paths, experiment=experiment, run_key=run_key, name=name, params=params, tags=tags
    )
    run.metrics(metrics, step)
    for key, file in (images or {}).items():
        run.image(key, file, step)
    for file, folder in (artifacts or {}).items():
        run.artifact(file, folder)
    run.flush()
    run.tidy()


@contextmanager
def stage_run(
    paths: Paths, stage: str, *, name: str = "", params: Mapping[str, object] | None = None
) -> Iterator[Run]:
    """A row for a stage other than training, in an experiment of its own; FAILED on an error."""
    row = {
        "experiment": f"{experiment_name()}-stages",
        "name": name or stage,
        "start_time": milliseconds(),
        "tags": origin(paths, stage),
    }
    run = _open(paths, _own_spool(paths, stage), row)
    run.params(params or {})
    run.commit()
    status = "FAILED"
    try:
        yield run
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        run.commit()  # also of a failed stage: how far it came
        run.close(status)
        run.tidy()


def _own_spool(paths: Paths, stage: str) -> Path:
    return paths.main_root / "logs" / "spool" / f"{stage}-{uuid.uuid4().hex[:12]}"


def find_run(
    paths: Paths, run_key: str, experiment: str, timeout_s: float = LOCAL_FLUSH_S
) -> str | None:
    """MLflow's id of the newest row tagged `run_key`, any status; None if none or no answer."""
    found: list[str | None] = []
    uri = tracking_uri(paths)

    def look() -> None:
        try:
            found.append(
                MlflowStore(uri, paths.main_root).newest(experiment, f"run_key = '{run_key}'")
            )
        except Exception as error:
            warn(f"{without_secrets(uri)} can't be asked: {error}")

    thread = threading.Thread(target=look, name="tracking", daemon=True)
    thread.start()
    thread.join(timeout_s)
    return found[0] if found else None
