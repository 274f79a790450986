"""The registered models of the MLflow store: versions, aliases, descriptions."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.tracking.mlflow.reader import MlflowRows
from pipeline.tracking.model.log_model import CARD, Weights, described_by, known_model, log_model

LONGEST = 5000  # characters of a description that MLflow's databases take
VERSIONS = "mlflow.modelVersions"  # a model's tag: which versions the UI shows beside it


@dataclass(frozen=True)
class Version:
    """A version of a registered model; new: made by this call."""

    number: int
    new: bool


class MlflowRegistry(MlflowRows):
    """The store as somebody uses it who registers models."""

    def row_of(self, run_key: str) -> str | None:
        """Id of the newest row of a training, in any experiment; None if there is none."""
        return self._newest_anywhere(f"run_key = '{run_key}'")

    def logged(self, row_id: str, weights: Weights, card: str | None) -> tuple[str, str]:
        """Id and card of the row's model of these weights, which is logged if it is missing.

        card: None keeps the one that is there.
        """
        run = self._client.get_run(row_id)
        model = known_model(self._client, run, weights.sha256)
        with tempfile.TemporaryDirectory(prefix="gan-") as name:
            file = Path(name) / CARD
            if card is None and model and str(model.status) == "READY":
                return model.model_id, self._card(model.model_id, Path(name))
            file.write_text(card or "", encoding="utf-8")
            model_id = log_model(self._client, row_id, weights.file, file)
            return model_id, self._card(model_id, Path(name))

    def has_model(self, row_id: str, weights: Weights) -> bool:
        """Whether the row has a finished model of these weights."""
        model = known_model(self._client, self._client.get_run(row_id), weights.sha256)
        return model is not None and str(model.status) == "READY"

    def _card(self, model_id: str, folder: Path) -> str:
        from mlflow.artifacts import download_artifacts

        location = self._client.get_logged_model(model_id).artifact_location
        into = folder / "card"
        into.mkdir()
        uri = self._client.tracking_uri
        file = download_artifacts(f"{location}/{CARD}", dst_path=str(into), tracking_uri=uri)
        return Path(file).read_text(encoding="utf-8")

    def register(
        self, name: str, model_id: str, row_id: str, weights: Weights, description: str
    ) -> Version:
        """The version of the registered model that is this model, made if there is none."""
        self._ensure(name)
        for each in self._client.search_model_versions(f"name = '{name}'"):
            if each.tags.get("checkpoint_sha256") == weights.sha256:
                self._client.update_model_version(name, each.version, description)
                return Version(int(each.version), new=False)
        made = self._client.create_model_version(
            name,
            self._source(model_id),
            run_id=row_id,
            tags=described_by(weights),
            description=description,
            model_id=model_id,
        )
        self._note(model_id, {"name": name, "version": made.version})
        return Version(int(made.version), new=True)

    def _source(self, model_id: str) -> str:
        """Where a version's files are; a database, unlike a server, looks ids up elsewhere.

        In the default store of the process, which need not be this one.
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

    def _note(self, model_id: str, version: Mapping[str, Any]) -> None:
        """Let the model's page name the version, as MLflow's own way of registering does."""
        there = self._client.get_logged_model(model_id).tags.get(VERSIONS)
        versions = [*(json.loads(there) if there else []), version]
        self._client.set_logged_model_tags(model_id, {VERSIONS: json.dumps(versions)})

    def point(self, name: str, alias: str, version: int) -> None:
        """Let an alias mean this version."""
        self._client.set_registered_model_alias(name, alias, str(version))
