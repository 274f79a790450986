"""Registered models of an MLflow store: versions, aliases, descriptions."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.tracking.mlflow.reader import MlflowReader
from pipeline.tracking.model.log_model import CARD, Weights, find_model, log_model, model_tags

LONGEST = 5000  # characters of a description that MLflow's databases accept
VERSIONS = "mlflow.modelVersions"  # tag of a model: the versions that the UI shows beside it


@dataclass(frozen=True)
class Version:
    """Version of a registered model; new: made by this call."""

    number: int
    new: bool


class MlflowRegistry(MlflowReader):
    """Store opened for registering models."""

    def find_run(self, run_key: str) -> str | None:
        """Find the newest run of a training, in any experiment; its id, None if there is none."""
        return self._newest_anywhere(f"run_key = '{run_key}'")

    def ensure_model(self, run_id: str, weights: Weights, card: str | None) -> tuple[str, str]:
        """Log the run's model of these weights if it is missing; returns its id and card.

        card: None keeps the model's own.
        """
        run = self._client.get_run(run_id)
        model = find_model(self._client, run, weights.sha256)
        with tempfile.TemporaryDirectory(prefix="gan-") as name:
            file = Path(name) / CARD
            if card is None and model and str(model.status) == "READY":
                return model.model_id, self._read_card(model.model_id, Path(name))
            file.write_text(card or "", encoding="utf-8")
            model_id = log_model(self._client, run_id, weights.file, file)
            return model_id, self._read_card(model_id, Path(name))

    def has_model(self, run_id: str, weights: Weights) -> bool:
        """Whether the run has a finished model of these weights."""
        model = find_model(self._client, self._client.get_run(run_id), weights.sha256)
        return model is not None and str(model.status) == "READY"

    def _read_card(self, model_id: str, folder: Path) -> str:
        from mlflow.artifacts import download_artifacts

        location = self._client.get_logged_model(model_id).artifact_location
        into = folder / "card"
        into.mkdir()
        uri = self._client.tracking_uri
        file = download_artifacts(f"{location}/{CARD}", dst_path=str(into), tracking_uri=uri)
        return Path(file).read_text(encoding="utf-8")

    def register(
        self, name: str, model_id: str, run_id: str, weights: Weights, description: str
    ) -> Version:
        """Register a model; returns the version that has these weights already, else a new one."""
        self._ensure(name)
        for each in self._client.search_model_versions(f"name = '{name}'"):
            if each.tags.get("checkpoint_sha256") == weights.sha256:
                self._client.update_model_version(name, each.version, description)
                return Version(int(each.version), new=False)
        made = self._client.create_model_version(
            name,
            self._source(model_id),
            run_id=run_id,
            tags=model_tags(weights),
            description=description,
            model_id=model_id,
        )
        self._add_version_tag(model_id, {"name": name, "version": made.version})
        return Version(int(made.version), new=True)

    def _source(self, model_id: str) -> str:
        """URI of a version's files.

        MLflow resolves the id of a model in the default store of the process, which need not be
        this one, unless a server does it.
        """
        if str(self._client.tracking_uri).startswith("http"):
            return f"models:/{model_id}"
        return str(self._client.get_logged_model(model_id).artifact_location)

    def _ensure(self, name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(name, description="Generators of avatars.")
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _add_version_tag(self, model_id: str, version: Mapping[str, Any]) -> None:
        """Show the version on the model's page, as `mlflow.register_model` does."""
        known = self._client.get_logged_model(model_id).tags.get(VERSIONS)
        versions = [*(json.loads(known) if known else []), version]
        self._client.set_logged_model_tags(model_id, {VERSIONS: json.dumps(versions)})

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Set an alias to this version."""
        self._client.set_registered_model_alias(name, alias, str(version))
