"""Registered models of an MLflow store: versions and their descriptions."""

import json
import tempfile
from pathlib import Path

from pipeline.tracking.mlflow.store import MlflowStore
from pipeline.tracking.model.log_model import CARD, Weights

LONGEST = 5000  # characters of a description that MLflow's databases accept
VERSIONS = "mlflow.modelVersions"  # tag of a model: the versions that the UI shows beside it


def read_card(store: MlflowStore, model_id: str) -> str:
    """Download the card of a model."""
    from mlflow.artifacts import download_artifacts

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
    from mlflow.exceptions import MlflowException

    client = store.client
    try:
        client.create_registered_model(name, description="Generators of avatars.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
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
