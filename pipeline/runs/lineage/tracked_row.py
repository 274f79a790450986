"""The tracker's row of a run, as lineage asks for it."""

import json
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan.errors import GanError
from pipeline.paths import Paths
from pipeline.runs.evaluated import one_line
from pipeline.runs.find import Runs
from pipeline.tracking.mlflow.reader import StoredRun
from pipeline.tracking.mlflow.store import sqlite_file, tracking_uri
from pipeline.tracking.spool.sender import without_secrets
from pipeline.tracking.sync.missing_parts import RECREATED

PATCH = "source/uncommitted.patch"
OUTS = "lineage/outs.json"
EVALUATION = "evaluation/evaluation.json"


@dataclass(frozen=True)
class Tracked:
    """One row and what hangs on it."""

    row: StoredRun
    rows: Runs
    paths: Paths

    @property
    def commit(self) -> str | None:
        return self.row.tags.get("git_commit")

    @property
    def by_training(self) -> bool:
        """Whether the training itself made the row: its commit is the training's only then."""
        tags = self.row.tags
        return tags.get("stage", "train") == "train" and RECREATED not in tags

    @property
    def dirty(self) -> bool | None:
        """Whether files differed from the commit; None if Git did not say so in time."""
        return {"true": True, "false": False}.get(self.row.tags.get("git_dirty", ""))

    @property
    def kept(self) -> str:
        """How much of the uncommitted changes the row has: whole, in part, or nothing of it."""
        return self.row.tags.get("git_patch", "whole") if self.has(PATCH) else "nothing of it"

    @property
    def machine(self) -> str:
        """On what it was trained, as far as the row says; may be empty."""
        tags = self.row.tags
        found = [tags.get("hardware.gpu") or tags.get("hardware.cpu"), tags.get("precision")]
        torch = tags.get("torch") or tags.get("version.torch")
        return ", ".join([each for each in found if each] + ([f"torch {torch}"] if torch else []))

    @property
    def url(self) -> str:
        """Where to look: an address, or the command that opens the local store."""
        uri = without_secrets(tracking_uri(self.paths))
        http = uri.startswith("http")
        return f"{uri.rstrip('/')}/#/runs/{self.row.run_id}" if http else "gan ui"

    @property
    def variable(self) -> str:
        """What has to stand before a command of MLflow that asks the same store; may be empty."""
        if os.environ.get("MLFLOW_TRACKING_URI") and not sqlite_file(tracking_uri(self.paths)):
            return ""  # it stands in the environment, and may hold a password
        return f"MLFLOW_TRACKING_URI={shlex.quote(tracking_uri(self.paths))}"

    def has(self, artifact: str) -> bool:
        """Whether the row has this file."""
        folder = artifact.rpartition("/")[0]
        return artifact in self.rows.list_files(self.row.run_id, folder)

    def fetched(self, artifact: str, into: Path) -> Path | None:
        """A copy of one of the row's files, None if it has none such."""
        if not self.has(artifact):
            return None
        return self.rows.download(self.row.run_id, artifact, into)

    def read(self, artifact: str, into: Path) -> dict[str, Any] | None:
        """A JSON object among the row's files; GanError if it is damaged."""
        file = self.fetched(artifact, into)
        if file is None:
            return None
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise GanError(f"{one_line(self.row.name)}: its artefact {artifact} is damaged")
        return content


def tracked(key: str, paths: Paths) -> tuple[Tracked | None, str]:
    """The row of an id or run key, else one line that says why there is none."""
    rows = Runs(paths)
    try:
        return Tracked(rows.find(key), rows, paths), ""
    except GanError as error:
        return None, str(error)
