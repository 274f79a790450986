"""The MLflow run of a subject, with its artefacts."""

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan.errors import GanError
from pipeline.console import one_line, without_secrets
from pipeline.paths import Paths
from pipeline.runs.find import Runs
from pipeline.tracking.mlflow.reader import StoredRun
from pipeline.tracking.mlflow.store import sqlite_file, tracking_uri
from pipeline.tracking.sync.missing_parts import RECREATED

PATCH = "source/uncommitted.patch"
OUTS = "lineage/outs.json"
EVALUATION = "evaluation/evaluation.json"


@dataclass(frozen=True)
class TrackedRun:
    """An MLflow run and the store that it is in."""

    stored: StoredRun
    runs: Runs
    paths: Paths

    @property
    def id(self) -> str:
        return self.stored.run_id

    @property
    def tags(self) -> Mapping[str, str]:
        return self.stored.tags

    @property
    def commit(self) -> str | None:
        return self.tags.get("git_commit")

    @property
    def by_training(self) -> bool:
        """Whether the training itself recorded the run: only then its commit is the training's."""
        return self.tags.get("stage", "train") == "train" and RECREATED not in self.tags

    @property
    def dirty(self) -> bool | None:
        """Whether files differed from the commit; None if Git did not answer in time."""
        return {"true": True, "false": False}.get(self.tags.get("git_dirty", ""))

    @property
    def patch(self) -> str:
        """Part of the uncommitted changes among the artefacts: `whole`, `in part` or `none`."""
        if not self.has(PATCH):
            return "none"
        state = self.tags.get("git_patch", "whole")
        return state if state in ("whole", "in part") else "none"

    @property
    def machine(self) -> str:
        """Processor or GPU, precision and torch of the training, as far as recorded."""
        tags = self.tags
        parts = [tags.get("hardware.gpu") or tags.get("hardware.cpu"), tags.get("precision")]
        torch = tags.get("torch") or tags.get("version.torch")
        return ", ".join([part for part in parts if part] + ([f"torch {torch}"] if torch else []))

    @property
    def url(self) -> str:
        """Address in the server's UI, or the command that opens the local store."""
        uri = without_secrets(tracking_uri(self.paths))
        return f"{uri.rstrip('/')}/#/runs/{self.id}" if uri.startswith("http") else "gan ui"

    @property
    def variable(self) -> str:
        """Assignment that points a command of MLflow to the same store; empty if not needed."""
        if os.environ.get("MLFLOW_TRACKING_URI") and not sqlite_file(tracking_uri(self.paths)):
            return ""  # it is in the environment, and may hold a password
        return f"MLFLOW_TRACKING_URI={shlex.quote(tracking_uri(self.paths))}"

    def has(self, artifact: str) -> bool:
        """Whether the run has this artefact."""
        folder = artifact.rpartition("/")[0]
        return artifact in self.runs.list_files(self.id, folder)

    def fetch(self, artifact: str, into: Path) -> Path | None:
        """Copy an artefact into a folder; None if the run doesn't have it."""
        if not self.has(artifact):
            return None
        return self.runs.download(self.id, artifact, into)

    def read_json(self, artifact: str, into: Path) -> dict[str, Any]:
        """JSON object of an artefact, {} if the run doesn't have it; GanError if it is damaged."""
        file = self.fetch(artifact, into)
        if file is None:
            return {}
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise GanError(
                f"{one_line(self.stored.name)}: its artefact {artifact} is damaged: no JSON "
                "object; `gan ui` shows it"
            )
        return content


def find_tracked(key: str, paths: Paths) -> tuple[TrackedRun | None, str]:
    """The MLflow run of an id or run key, else None and the reason in one line."""
    runs = Runs(paths)
    try:
        return TrackedRun(runs.find(key), runs, paths), ""
    except GanError as error:
        return None, str(error)
