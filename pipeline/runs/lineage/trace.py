"""Lineage of a picture, checkpoint or run: its metadata, its MLflow run and Git's history."""

from dataclasses import dataclass
from functools import cached_property
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

CHANGES = {
    "whole": f"there were uncommitted changes, kept as artefact {PATCH} of the MLflow run",
    "in part": f"there were uncommitted changes; a part is artefact {PATCH} of the MLflow run",
    "lost": "there were uncommitted changes, which were not kept, unless `gan sync` sends them",
    "unknown": "unknown whether there were uncommitted changes: Git did not answer in time",
}
"""Kinds of uncommitted changes, besides `none`: kept among the artefacts, or not."""


@dataclass(frozen=True)
class Code:
    """The code of a training. source: of the commit's name, MLFLOW or HISTORY.

    available: the commit is in this repository. changes: `none` or a key of CHANGES.
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
class Lineage:
    """All that is known of a subject. no_run: why no MLflow run is known, in one line.

    recorded_by: the commit whose reports/metrics.json is of the run.
    """

    subject: Subject
    paths: Paths
    history: GitHistory
    runs: Runs
    run: StoredRun | None
    no_run: str
    recorded_by: str | None

    @property
    def name(self) -> str:
        """The run's name."""
        name = self.run.name if self.run else self.subject.metadata.get("name", "")
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

    def list_artifacts(self, folder: str) -> list[str]:
        """Files in a folder of the MLflow run's artefacts."""
        return list(self.runs.list_files(self.run.run_id, folder)) if self.run else []

    def read_artifact(self, name: str) -> bytes | None:
        """Content of an artefact of the MLflow run; None if there is none of this name."""
        return self.runs.read_artifact(self.run.run_id, name) if self.run else None

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
        if kept in ("whole", "in part") and PATCH in self.list_artifacts("source"):
            return kept
        return "lost" if dirty == "true" else "unknown"

    @cached_property
    def patch(self) -> bytes | None:
        """The uncommitted changes among the artefacts of the MLflow run."""
        return self.read_artifact(PATCH)


def trace(given: str, paths: Paths) -> Lineage:
    """Find everything that is known of a subject; GanError if it is none or has no metadata."""
    subject, runs, history = find_subject(given, paths), Runs(paths), GitHistory(paths.root)
    run, no_run = None, ""
    try:
        run = runs.find(subject.run_id or subject.run_key)
    except GanError as error:
        no_run = str(error)
    recorded_by = history.find_record(subject.run_key)
    return Lineage(subject, paths, history, runs, run, no_run, recorded_by)
