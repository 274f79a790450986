"""Lineage of a picture, checkpoint or run: its metadata, its MLflow run and Git's history."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from gan.errors import GanError
from pipeline.console import one_line
from pipeline.paths import Paths
from pipeline.runs.find import Runs
from pipeline.runs.lineage.git_history import COMMIT, GitHistory
from pipeline.runs.lineage.subject import Subject, find_subject
from pipeline.tracking.descriptions import RECREATED
from pipeline.tracking.mlflow.reader import StoredRun

MLFLOW, HISTORY = "the MLflow run", "Git's history"
PATCH = "source/uncommitted.patch"


@dataclass(frozen=True)
class Code:
    """The code of a training. source: of the commit's name, MLFLOW or HISTORY.

    available: the commit is in this repository. changes: the uncommitted ones: `none`; `whole` or
    `in part` as an artefact of the MLflow run; `lost`; `unknown` where Git did not answer in time.
    """

    commit: str
    source: str
    available: bool
    changes: str

    @property
    def complete(self) -> bool:
        """Whether commit and patch are all of the code."""
        return self.changes in ("none", "whole")

    @property
    def has_patch(self) -> bool:
        """Whether the MLflow run has the changes, or some of them."""
        return self.changes in ("whole", "in part")


@dataclass(frozen=True)
class TrackedRun:
    """An MLflow run and the store that it is in."""

    stored: StoredRun
    runs: Runs

    @property
    def id(self) -> str:
        return self.stored.run_id

    @property
    def tags(self) -> Mapping[str, str]:
        return self.stored.tags

    def read(self, artifact: str) -> bytes | None:
        """Content of an artefact; None if the run doesn't have it."""
        if artifact not in self.runs.list_files(self.id, artifact.rpartition("/")[0]):
            return None
        with tempfile.TemporaryDirectory(prefix="gan-") as folder:
            return self.runs.download(self.id, artifact, Path(folder)).read_bytes()

    def read_json(self, artifact: str) -> dict[str, Any]:
        """JSON object of an artefact, {} if the run doesn't have it; GanError if it is damaged."""
        try:
            return dict(json.loads(self.read(artifact) or "{}"))
        except (ValueError, TypeError):
            raise GanError(
                f"{one_line(self.stored.name)}: its artefact {artifact} is damaged: no JSON "
                "object; `gan ui` shows it"
            ) from None


@dataclass(frozen=True)
class Lineage:
    """All that is known of a subject. no_run: why no MLflow run is known, in one line.

    recorded_by: the commit whose reports/metrics.json is of the run.
    """

    subject: Subject
    paths: Paths
    history: GitHistory
    run: TrackedRun | None
    no_run: str
    recorded_by: str | None

    @property
    def name(self) -> str:
        """The run's name."""
        name = self.run.stored.name if self.run else self.subject.metadata.get("name", "")
        return one_line(str(name))

    @property
    def code_digest(self) -> str:
        """Digest of the training's code; empty if unknown."""
        return str(self.subject.key_inputs.get("code_digest", self.tag("code_digest")))

    @property
    def cache_digest(self) -> str:
        """Digest of the tensor cache; empty if unknown."""
        return str(self.subject.metadata.get("trained_on", self.tag("cache_digest")))

    @property
    def dataset_digest(self) -> str:
        """Digest of the dataset; empty if unknown."""
        return str(self.subject.stored_lineage.get("snapshot") or self.tag("snapshot_digest"))

    @property
    def source(self) -> dict[str, Any]:
        """Source of the dataset, as in source.yaml."""
        return dict(self.subject.stored_lineage.get("source", {}))

    def tag(self, key: str) -> str:
        """Tag of the MLflow run; empty without one."""
        return self.run.tags.get(key, "") if self.run else ""

    @cached_property
    def code(self) -> Code | None:
        """Code by the MLflow run if the training recorded it and its patch is whole, else by the
        commit of its results; None if nothing names a commit."""
        commit, recorded_by = self.tag("git_commit"), self.recorded_by
        tracked = None
        if COMMIT.fullmatch(commit):
            tracked = Code(commit, MLFLOW, self.history.has(commit), self._find_changes())
        # only a run that the training itself recorded names the training's commit
        by_training = self.tag("stage") in ("", "train") and not self.tag(RECREATED)
        if recorded_by and not (tracked and tracked.complete and by_training):
            return Code(recorded_by, HISTORY, True, "none")
        return tracked

    def _find_changes(self) -> str:
        dirty, kept = self.tag("git_dirty"), self.tag("git_patch") or "whole"
        if dirty == "false":
            return "none"
        if kept in ("whole", "in part") and self.patch is not None:
            return kept
        return "lost" if dirty == "true" else "unknown"

    @cached_property
    def patch(self) -> bytes | None:
        """The uncommitted changes among the artefacts of the MLflow run."""
        return self.run.read(PATCH) if self.run else None


def trace(given: str, paths: Paths) -> Lineage:
    """Find everything that is known of a subject; GanError if it is none or has no metadata."""
    subject, runs, history = find_subject(given, paths), Runs(paths), GitHistory(paths.root)
    run, no_run = None, ""
    try:
        run = TrackedRun(runs.find(subject.run_id or subject.run_key), runs)
    except GanError as error:
        no_run = str(error)
    recorded_by = history.find_record(subject.run_key)
    return Lineage(subject, paths, history, run, no_run, recorded_by)
