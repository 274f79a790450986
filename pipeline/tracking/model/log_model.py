"""Generator logged as an MLflow model: seeds in, avatars out."""

import hashlib
import importlib.metadata
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan.errors import GanError
from pipeline.tracking.model.card import add_code_facts, read_metrics
from pipeline.tracking.run_folder.sender import RejectedError

if TYPE_CHECKING:  # a store is opened by commands that have no use for torch
    from gan.checkpoints import Origin

LOADER = "pipeline.tracking.model.loader"
CODE = (  # imports of LOADER besides gan/, which is copied whole
    "pipeline/__init__.py",
    "pipeline/pictures/__init__.py",
    "pipeline/pictures/contact_sheet.py",
    "pipeline/pictures/png_lineage.py",
    "pipeline/tracking/__init__.py",
    "pipeline/tracking/model/__init__.py",
    "pipeline/tracking/model/loader.py",
    "pipeline/tracking/model/request.py",
)
PACKAGES = ("mlflow", "torch", "numpy", "pandas", "pillow", "pydantic")
CARD = "README.md"
NEVER = ("ENDPOINT_NOT_FOUND", "NOT_IMPLEMENTED", "PERMISSION_DENIED")
"""Error codes of a server that will never accept a model, though it accepts other records."""


@dataclass(frozen=True)
class Weights:
    """Checkpoint of kind `generator`; sha256: of its file."""

    file: Path
    origin: "Origin"
    sha256: str


def log_model(client: Any, run_id: str, checkpoint: Path, card: Path) -> str:
    """Log the checkpoint's generator onto the run, as one model however often; returns its id.

    A changed card replaces the earlier one. RejectedError if the checkpoint is damaged.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="gan-") as folder:
            weights = generator_only(checkpoint, Path(folder))
            return _log(client, client.get_run(run_id), weights, card.read_text(encoding="utf-8"))
    except GanError as error:
        raise RejectedError(str(error)) from None


def generator_only(checkpoint: Path, folder: Path) -> Weights:
    """Strip optimisers and discriminator from a checkpoint; the copy, if needed, is in `folder`.

    Its bytes equal those of the snapshot that training writes at the same step. GanError if the
    checkpoint is damaged.
    """
    from gan.checkpoints import load_checkpoint, load_generator, save_checkpoint

    generator, origin = load_generator(checkpoint)
    file = checkpoint
    if load_checkpoint(checkpoint)["kind"] != "generator":
        file = folder / "generator.pt"
        save_checkpoint(file, origin, generator)
    return Weights(file, origin, hashlib.sha256(file.read_bytes()).hexdigest())


def find_model(client: Any, run: Any, sha256: str) -> Any:
    """Find the run's model of these weights, finished or not; None if there is none."""
    models = client.search_logged_models(
        [run.info.experiment_id],
        f"source_run_id = '{run.info.run_id}' AND tags.checkpoint_sha256 = '{sha256}'",
        order_by=[{"field_name": "creation_timestamp", "ascending": True}],
    )
    return models[0] if models else None


def needs_no_model(client: Any, run_id: str, checkpoint: Path) -> bool:
    """Whether the run has the finished model of a checkpoint, or its store knows no models."""
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory(prefix="gan-") as folder:
        sha256 = generator_only(checkpoint, Path(folder)).sha256
    try:
        model = find_model(client, client.get_run(run_id), sha256)
    except MlflowException as error:
        if error.error_code in NEVER:
            return True
        raise
    return model is not None and str(model.status) == "READY"


def _log(client: Any, run: Any, weights: Weights, card: str) -> str:
    card = add_code_facts(card, run.data.tags)
    digest = hashlib.sha256(card.encode()).hexdigest()
    model = find_model(client, run, weights.sha256) or _create(client, run, weights)
    model_id = str(model.model_id)
    if str(model.status) != "READY":
        with _save(model, run.info.run_id, weights, card) as folder:
            client.log_model_artifacts(model_id, str(folder))
        client.finalize_logged_model(model_id, "READY")
    elif model.tags.get("card_sha256") != digest:
        _replace_card(client, model_id, card)
    client.set_logged_model_tags(model_id, {"card_sha256": digest})
    _link(client, run, model, weights.origin.images_seen)
    _link_metrics(client, run.info.run_id, model, read_metrics(card))
    return model_id


def _create(client: Any, run: Any, weights: Weights) -> Any:
    origin = weights.origin
    name = f"{origin.name}, {origin.images_seen:,} images"
    return client.create_logged_model(
        run.info.experiment_id,
        name="".join("-" if each in "/:.%\"'" else each for each in name),  # MLflow refuses them
        source_run_id=run.info.run_id,
        tags=model_tags(weights),
        params=dict(run.data.params),
        model_type="generator",
    )


def model_tags(weights: Weights) -> dict[str, str]:
    """Tags of a model and of its registered versions."""
    origin = weights.origin
    return {
        "run_key": origin.run_key,
        "images_seen": str(origin.images_seen),
        "size": str(origin.size),
        "cache_digest": origin.cache_digest,
        "checkpoint_sha256": weights.sha256,
    }


def _replace_card(client: Any, model_id: str, card: str) -> None:
    with tempfile.TemporaryDirectory(prefix="gan-") as folder:
        file = Path(folder) / CARD
        file.write_text(card, encoding="utf-8")
        client.log_model_artifact(model_id, str(file))


@contextmanager
def _save(model: Any, run_id: str, weights: Weights, card: str) -> Iterator[Path]:
    """Save all files of the model into a folder that is removed after the block."""
    from mlflow import pyfunc
    from mlflow.models import Model

    with tempfile.TemporaryDirectory(prefix="gan-") as name:
        work = Path(name)
        (work / "no-project").mkdir()  # else MLflow takes an uv.lock of the working directory
        shutil.copyfile(weights.file, work / "generator.pt")
        pyfunc.save_model(
            work / "model",
            loader_module=LOADER,
            data_path=work / "generator.pt",
            code_paths=_code(work / "code"),
            mlflow_model=Model(
                artifact_path=model.artifact_location,
                run_id=run_id,
                model_uuid=model.model_id,
                model_id=model.model_id,
            ),
            signature=_signature(weights.origin.size),
            input_example={"seed": [0, 1, 2, 3]},
            pip_requirements=requirements(),
            metadata=model_tags(weights),
            uv_project_path=work / "no-project",
        )
        (work / "model" / CARD).write_text(card, encoding="utf-8")
        yield work / "model"


def _code(folder: Path) -> list[str]:
    """Copy the code that LOADER imports; returns the packages."""
    root = Path(__file__).resolve().parents[3]
    unneeded = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(root / "gan", folder / "gan", ignore=unneeded)
    for file in CODE:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / file, folder / file)
    return [str(folder / "gan"), str(folder / "pipeline")]


def requirements() -> list[str]:
    """Versions of the packages here, for pip.

    Without local parts such as +cpu, which no public index has; for pip 2.1+cpu satisfies ==2.1.
    """
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return [f"{name}=={version.split('+')[0]}" for name, version in versions.items()]


def _signature(size: int) -> Any:
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec

    return ModelSignature(
        inputs=Schema([ColSpec("long", "seed"), ColSpec("double", "truncation", required=False)]),
        outputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, size, size, 3))]),
        params=ParamSchema(
            [ParamSpec("truncation", "double", 1.0), ParamSpec("output", "string", "array")]
        ),
    )


def _link(client: Any, run: Any, model: Any, step: int) -> None:
    """Show the model on the run's page, once: MLflow would list it again at each call."""
    from mlflow.entities import LoggedModelOutput

    outputs = run.outputs.model_outputs if run.outputs else []
    if model.model_id not in [each.model_id for each in outputs]:
        client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, step)])


def _link_metrics(client: Any, run_id: str, model: Any, values: dict[str, float]) -> None:
    """Link the card's metrics to the model: those points of the run that have the same values."""
    from mlflow.entities import Metric

    known = {(each.key, each.value) for each in model.metrics or ()}
    points = []
    for key, value in values.items():
        history = client.get_metric_history(run_id, key)
        same = [each for each in history if each.value == value]
        if same and (key, value) not in known:
            last = max(same, key=lambda each: (each.step, each.timestamp))
            points.append(
                Metric(key, value, last.timestamp, last.step, model.model_id, run_id=run_id)
            )
    if points:
        client.log_batch(run_id, metrics=points)
