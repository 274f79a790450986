"""Generator logged as an MLflow model, seeds in, avatars out; versions of registered models."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.artifacts import download_artifacts
from mlflow.entities import LoggedModelOutput
from mlflow.exceptions import MlflowException

from gan.errors import GanError
from pipeline.paths import sha256_of
from pipeline.tracking.mlflow.errors import NEVER
from pipeline.tracking.mlflow.store import MlflowStore
from pipeline.tracking.model.card import add_code_facts, read_metrics
from pipeline.tracking.run_folder.push import RejectedError

if TYPE_CHECKING:  # a store is opened by commands that have no use for torch
    from gan.checkpoints import Origin

LOADER = "pipeline.tracking.model.loader"
CODE = (  # imports of LOADER besides gan/, which is copied whole
    *(f"pipeline{room}/__init__.py" for room in ("", "/pictures", "/tracking", "/tracking/model")),
    *(f"pipeline/pictures/{name}.py" for name in ("contact_sheet", "png_lineage")),
    "pipeline/tracking/model/loader.py",
)
PACKAGES = ("mlflow", "torch", "numpy", "pandas", "pillow", "pydantic")
CARD = "README.md"
LONGEST = 5000  # characters of a description that MLflow's databases accept
VERSIONS = "mlflow.modelVersions"  # tag of a model: the versions that the UI shows beside it


@dataclass(frozen=True)
class Weights:
    """Checkpoint of kind `generator`; sha256: of its file."""

    file: Path
    origin: "Origin"
    sha256: str

    @property
    def tags(self) -> dict[str, str]:
        """Tags of its model and of the model's registered versions."""
        return {
            "run_key": self.origin.run_key,
            "images_seen": str(self.origin.images_seen),
            "size": str(self.origin.size),
            "cache_digest": self.origin.cache_digest,
            "checkpoint_sha256": self.sha256,
        }


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
    return Weights(file, origin, sha256_of(file))


def log_model(client: Any, run_id: str, checkpoint: Path, card: Path) -> str:
    """Log the generator of a checkpoint; see `log_weights`. RejectedError if it is damaged."""
    with tempfile.TemporaryDirectory(prefix="gan-") as folder:
        try:
            weights = generator_only(checkpoint, Path(folder))
        except GanError as error:
            raise RejectedError(str(error)) from None
        return log_weights(client, run_id, weights, card.read_text(encoding="utf-8"))


def needs_no_model(client: Any, run_id: str, sha256: str) -> bool:
    """Whether the run has the finished model of a checkpoint, or its store knows no models."""
    try:
        return is_ready(find_model(client, run_id, sha256))
    except MlflowException as error:
        if error.error_code in NEVER:
            return True
        raise


def find_model(client: Any, run_id: str, sha256: str) -> Any:
    """Find the run's model of the weights in a file, finished or not; None if there is none."""
    run = client.get_run(run_id)
    models = client.search_logged_models(
        [run.info.experiment_id],
        f"source_run_id = '{run_id}' AND tags.checkpoint_sha256 = '{sha256}'",
        order_by=[{"field_name": "creation_timestamp", "ascending": True}],
    )
    return models[0] if models else None


def is_ready(model: Any) -> bool:
    """Whether a model was found, and all its files are in the store."""
    return model is not None and str(model.status) == "READY"


def log_weights(client: Any, run_id: str, weights: Weights, card: str) -> str:
    """Log a generator onto the run, as one model however often; returns its id.

    The card replaces that of an earlier call.
    """
    run = client.get_run(run_id)
    card = add_code_facts(card, run.data.tags)
    model = find_model(client, run_id, weights.sha256) or _create(client, run, weights)
    model_id = str(model.model_id)
    with tempfile.TemporaryDirectory(prefix="gan-") as folder:
        if not is_ready(model):
            client.log_model_artifacts(model_id, str(_save(model, run_id, weights, Path(folder))))
        file = Path(folder) / CARD
        file.write_text(card, encoding="utf-8")
        client.log_model_artifact(model_id, str(file))
        if not is_ready(model):
            client.finalize_logged_model(model_id, "READY")
    _link(client, run, model, weights.origin.images_seen, read_metrics(card))
    return model_id


def _create(client: Any, run: Any, weights: Weights) -> Any:
    origin = weights.origin
    name = f"{origin.name}, {origin.images_seen:,} images"
    return client.create_logged_model(
        run.info.experiment_id,
        name="".join("-" if each in "/:.%\"'" else each for each in name),  # MLflow refuses them
        source_run_id=run.info.run_id,
        tags=weights.tags,
        params=dict(run.data.params),
        model_type="generator",
    )


def _save(model: Any, run_id: str, weights: Weights, work: Path) -> Path:
    """Save all files of the model but its card below `work`; returns their folder."""
    from mlflow import pyfunc
    from mlflow.models import Model

    (work / "no-project").mkdir()  # else MLflow takes an uv.lock of the working directory
    shutil.copyfile(weights.file, work / "generator.pt")
    root = Path(__file__).resolve().parents[3]
    unneeded = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(root / "gan", work / "code" / "gan", ignore=unneeded)
    for file in CODE:
        (work / "code" / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / file, work / "code" / file)
    pyfunc.save_model(
        work / "model",
        loader_module=LOADER,
        data_path=work / "generator.pt",
        code_paths=[str(work / "code" / package) for package in ("gan", "pipeline")],
        mlflow_model=Model(
            artifact_path=model.artifact_location,
            run_id=run_id,
            model_uuid=model.model_id,
            model_id=model.model_id,
        ),
        signature=_signature(weights.origin.size),
        input_example={"seed": [0, 1, 2, 3]},
        # no public index has local parts such as +cpu; for pip 2.1+cpu satisfies ==2.1
        pip_requirements=[f"{name}=={version(name).split('+')[0]}" for name in PACKAGES],
        metadata=weights.tags,
        uv_project_path=work / "no-project",
    )
    return work / "model"


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


def _link(client: Any, run: Any, model: Any, step: int, values: Mapping[str, float]) -> None:
    """Show the model on the run's page, with the points of the run that have the card's values.

    Each once: MLflow would list the model again at each call.
    """
    run_id = run.info.run_id
    outputs = run.outputs.model_outputs if run.outputs else []
    if model.model_id not in [each.model_id for each in outputs]:
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step)])
    known = {(each.key, each.value) for each in model.metrics or ()}
    for key, value in values.items():
        same = [each for each in client.get_metric_history(run_id, key) if each.value == value]
        if same and (key, value) not in known:
            last = max(same, key=lambda each: (each.step, each.timestamp))
            point = (run_id, key, value, last.timestamp, last.step)
            client.log_metric(*point, model_id=model.model_id)


def read_card(store: MlflowStore, model_id: str) -> str:
    """Download the card of a model."""
    location = store.client.get_logged_model(model_id).artifact_location
    uri = store.client.tracking_uri
    with tempfile.TemporaryDirectory(prefix="gan-") as folder:
        file = download_artifacts(f"{location}/{CARD}", dst_path=folder, tracking_uri=uri)
        return Path(file).read_text(encoding="utf-8")


def register_version(
    store: MlflowStore, name: str, model_id: str, run_id: str, weights: Weights, description: str
) -> tuple[int, bool]:
    """Register a model; returns its version, and whether it is a new one.

    A version that has these weights already is described anew.
    """
    client = store.client
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name, description="Generators of avatars.")
    for each in client.search_model_versions(f"name = '{name}'"):
        if each.tags.get("checkpoint_sha256") == weights.sha256:
            client.update_model_version(name, each.version, description)
            return int(each.version), False
    model = client.get_logged_model(model_id)
    # MLflow resolves the id of a model in the default store of the process, which need not be
    # this one, unless a server does it
    served = str(client.tracking_uri).startswith("http")
    made = client.create_model_version(
        name,
        f"models:/{model_id}" if served else str(model.artifact_location),
        run_id=run_id,
        tags=weights.tags,
        description=description,
        model_id=model_id,
    )
    # shows the version on the model's page, as `mlflow.register_model` does
    known = json.loads(model.tags.get(VERSIONS, "[]"))
    versions = [*known, {"name": name, "version": made.version}]
    client.set_logged_model_tags(model_id, {VERSIONS: json.dumps(versions)})
    return int(made.version), True
