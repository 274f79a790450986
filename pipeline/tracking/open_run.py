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
from typing import Any

from gan.errors import GanError
from pipeline.console import without_secrets
from pipeline.paths import Paths
from pipeline.tracking.descriptions import log_source
from pipeline.tracking.mlflow.store import tracking_uri
from pipeline.tracking.mlflow.writer import MlflowWriter
from pipeline.tracking.provenance.tags import provenance_tags
from pipeline.tracking.run import Run, flatten
from pipeline.tracking.run_folder.folder import RunFolder, now_ms
from pipeline.tracking.run_folder.lock import BusyError
from pipeline.tracking.run_folder.sender import warn


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
    resumed_from: int | None = None,
) -> Run:
    """Start the run of a training; an existing run folder (a killed training) continues its run.

    Records that the folder still holds unsent are sent, also to another store than before.
    resumed_from: images seen by the checkpoint that the training resumes from; records prepared
    for it count.
    """
    header = {
        "experiment": experiment,
        "name": name,
        "start_time": now_ms(),
        "tags": {"run_key": run_key, **provenance_tags(paths, "train")},
    }
    run = _open(paths, folder, header, resumed_from)
    run.guard(lambda opened: opened.add("resume") if opened.continued else log_source(run, paths))
    run.commit()
    return run


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
        "params": dict(flatten(params or {})),
        "tags": {"run_key": run_key, **provenance_tags(paths, "evaluate"), **(tags or {})},
    }
    return _open(paths, _new_folder(paths, "evaluate"), header)


@contextmanager
def stage_run(
    paths: Paths, stage: str, *, name: str = "", params: Mapping[str, object] | None = None
) -> Iterator[Run]:
    """Run of a stage other than training, in an experiment of its own; FAILED on an error."""
    header = {
        "experiment": f"{experiment_name()}-stages",
        "name": name or stage,
        "start_time": now_ms(),
        "tags": provenance_tags(paths, stage),
    }
    run = _open(paths, _new_folder(paths, stage), header)
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
        run.remove_if_sent()


def _open(
    paths: Paths, path: Path, header: Mapping[str, Any], resumed_from: int | None = None
) -> Run:
    uri = tracking_uri(paths)
    folder = None
    try:
        folder = _open_folder(path, header, resumed_from)
        if folder.damaged:
            warn(f"{folder.damaged} damaged records in {path} are left out")
    except (OSError, ValueError, GanError) as error:
        warn(f"nothing is recorded, {path} can't be used: {error}")
    return Run(folder, lambda: MlflowWriter(uri, paths.main_root), without_secrets(uri))


def _open_folder(path: Path, header: Mapping[str, Any], resumed_from: int | None) -> RunFolder:
    """Open the run folder; a second one beside it while `gan sync` is long in sending it."""
    try:
        return RunFolder(path, header, resumed_from)
    except BusyError:
        return RunFolder.open_beside(path, header, resumed_from)


def _new_folder(paths: Paths, stage: str) -> Path:
    return paths.main_root / "logs" / "spool" / f"{stage}-{uuid.uuid4().hex[:12]}"
