"""`gan register`: a generator as a version of a registered model of MLflow."""

import json
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gan.checkpoints import Origin, describe_checkpoint
from gan.errors import GanError
from pipeline.console import without_secrets
from pipeline.paths import Paths
from pipeline.runs.checkpoint import checkpoint_of
from pipeline.runs.find import FILE, Runs, store_errors
from pipeline.tracking.descriptions import describe_training
from pipeline.tracking.mlflow.store import MlflowStore, tracking_uri
from pipeline.tracking.model.card import model_card, without_front
from pipeline.tracking.model.log_model import (
    LONGEST,
    Weights,
    find_model,
    generator_only,
    is_ready,
    log_weights,
    read_card,
    register_version,
)
from pipeline.tracking.open_run import attach_to_run

PORT = 5001  # 5000 is the UI's
RESERVED = re.compile(r"latest|v\d+", re.IGNORECASE)


def run(subject: str, paths: Paths, *, name: str, alias: str = "") -> None:
    """Register the best checkpoint of a run, or a checkpoint's file, and print how to use it.

    subject: a file, or a run as `pipeline.runs.find.Runs` takes it. alias: moves to the
    version, "" for none. Registering a checkpoint again makes no second version. GanError for
    invalid names, unknown runs, damaged files and stores that refuse.
    """
    _check_names(name, alias)
    uri, problem = tracking_uri(paths), "the model cannot be registered"
    with _weights(subject, paths) as (weights, run_id), store_errors(uri, problem):
        store = MlflowStore(uri, paths.main_root)
        version, new = _register(store, weights, run_id, paths, name)
        if alias:
            store.client.set_registered_model_alias(name, alias, str(version))
    model = f"{weights.origin.name}, {weights.origin.images_seen:,} images"
    place = f"models:/{name}{f'@{alias}' if alias else f'/{version}'}"
    already = "" if new else " already"
    sys.stdout.write(f"{model} is version {version} of {name}{already}: {place}\n")
    sys.stdout.write(_usage(place, weights.origin.size, paths))


def _check_names(name: str, alias: str) -> None:
    if not name.strip() or re.search(r"[/:'\"\n]", name) or name in (".", ".."):
        raise GanError(f"--name {name!r}: not empty, without / : and quotes")
    if alias and (not re.fullmatch(r"[\w-]{1,255}", alias) or RESERVED.fullmatch(alias)):
        raise GanError(
            f"--alias {alias!r}: letters, digits, _ and - are allowed; `latest` and `v` with a "
            "number are MLflow's own"
        )


@contextmanager
def _weights(subject: str, paths: Paths) -> Iterator[tuple[Weights, str | None]]:
    """Weights of the generator alone, and id of its MLflow run if that is known."""
    with tempfile.TemporaryDirectory(prefix="gan-") as folder:
        file = Path(subject)
        if file.is_file() and file.suffix != ".json":
            yield generator_only(file, Path(folder)), None
            return
        if file.suffix == ".pt":
            raise GanError(f"{subject}: no such file; give a checkpoint's path or name a run")
        with checkpoint_of(subject, paths) as checkpoint:
            yield generator_only(checkpoint.file, Path(folder)), checkpoint.run_id


def _register(
    store: MlflowStore, weights: Weights, run_id: str | None, paths: Paths, name: str
) -> tuple[int, bool]:
    store.require_place()
    if run_id is None:
        runs = store.find_runs("run_key", weights.origin.run_key)
        run_id = str(runs[0].info.run_id) if runs else _create_run(weights.origin, paths)
    evaluation = _find_evaluation(weights, run_id, paths)
    model = find_model(store.client, run_id, weights.sha256)
    if evaluation is None and is_ready(model):
        model_id = str(model.model_id)
    else:
        subject = describe_checkpoint(weights.origin, sha256=weights.sha256)
        card = model_card(evaluation["subject"] if evaluation else subject, evaluation)
        model_id = log_weights(store.client, run_id, weights, card)
    description = _description(read_card(store, model_id))
    return register_version(store, name, model_id, run_id, weights, description)


def _create_run(origin: Origin, paths: Paths) -> str:
    """An MLflow run for a training that the store does not have; returns its id."""
    run = attach_to_run(paths, origin)
    if origin.lineage:
        describe_training(run, origin.lineage)
    run.flush()
    if run.run_id is None:
        raise GanError("the store refuses a run for this checkpoint; see the line above")
    return run.run_id


def _find_evaluation(weights: Weights, run_id: str, paths: Paths) -> dict[str, Any] | None:
    """The evaluation of these weights: from reports/, else from the run's artefacts."""
    local = paths.reports / FILE
    content = local.read_bytes() if local.is_file() else None
    return _parse_evaluation(content, weights.origin) or _parse_evaluation(
        Runs(paths).read_artifact(run_id, f"evaluation/{FILE}"), weights.origin
    )


def _parse_evaluation(content: bytes | None, origin: Origin) -> dict[str, Any] | None:
    """The evaluation in a file; None if it is of other weights or can't be read."""
    try:
        evaluation: dict[str, Any] = json.loads(content or b"")
        subject = evaluation["subject"]
        facts = (subject["run_key"], subject["images_seen"], subject["weights"])
        return evaluation if facts == (origin.run_key, origin.images_seen, "averaged") else None
    except (ValueError, KeyError, TypeError):
        return None


def _description(card: str) -> str:
    text = without_front(card)
    rest = "\n\nThe rest is in README.md, among the model's files."
    if len(text) <= LONGEST:
        return text
    return text[: LONGEST - len(rest)].rpartition("\n#")[0] + rest


def _usage(place: str, size: int, paths: Paths) -> str:
    uri = without_secrets(tracking_uri(paths))
    request = '{"inputs": {"seed": [7]}, "params": {"output": "png"}}'
    serve = f"mlflow models serve -m {shlex.quote(place)} --env-manager local -p {PORT}"
    return (
        "\nin Python:\n"
        f"  import mlflow; mlflow.set_tracking_uri({uri!r})\n"
        f"  model = mlflow.pyfunc.load_model({place!r})\n"
        f'  model.predict({{"seed": [0, 1]}})  # (2, {size}, {size}, 3) uint8\n'
        "\nas a server:\n"
        f"  MLFLOW_TRACKING_URI={shlex.quote(uri)} {serve}\n"
        f"  curl -s http://127.0.0.1:{PORT}/invocations -H 'Content-Type: application/json' "
        f"-d '{request}'\n"
    )
