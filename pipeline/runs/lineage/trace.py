"""Lineage of a picture, checkpoint or run: its metadata, its MLflow run and Git's history."""

from dataclasses import dataclass
from typing import Any

from pipeline.console import one_line
from pipeline.paths import Paths
from pipeline.runs.lineage.git_history import COMMIT, GitHistory
from pipeline.runs.lineage.subject import Subject, find_subject
from pipeline.runs.lineage.tracked_run import PATCH, TrackedRun, find_tracked

MLFLOW, HISTORY = "the MLflow run", "Git's history"


@dataclass(frozen=True)
class Code:
    """The code of a training. source: of the commit's name, MLFLOW or HISTORY.

    dirty: whether files differed from the commit, None if unknown. available: the commit is in
    this repository. has_patch: the MLflow run has the uncommitted changes; partial: not all.
    """

    commit: str
    source: str
    dirty: bool | None
    available: bool
    has_patch: bool
    partial: bool = False

    @property
    def complete(self) -> bool:
        """Whether commit and patch are all of the code."""
        return self.dirty is False or (self.has_patch and not self.partial)


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
    code: Code | None
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


def trace(given: str, paths: Paths) -> Lineage:
    """Find everything that is known of a subject; GanError if it is none or has no metadata."""
    subject = find_subject(given, paths)
    run, no_run = find_tracked(subject.run_id or subject.run_key, paths)
    history = GitHistory(paths.root)
    recorded_by = history.find_record(subject.run_key)
    code = _find_code(run, recorded_by, history)
    return Lineage(subject, paths, history, run, no_run, code, recorded_by)


def _find_code(
    run: TrackedRun | None, recorded_by: str | None, history: GitHistory
) -> Code | None:
    """Code by the MLflow run if the training recorded it and its patch is whole, else by the
    commit of its results."""
    tracked = _code_by_mlflow(run, history) if run else None
    if recorded_by and (not (tracked and tracked.complete) or (run and not run.by_training)):
        return Code(recorded_by, HISTORY, dirty=False, available=True, has_patch=False)
    return tracked


def _code_by_mlflow(run: TrackedRun, history: GitHistory) -> Code | None:
    if not run.commit or not COMMIT.fullmatch(run.commit):
        return None
    patch = run.patch if run.dirty is not False else "none"
    has_patch = patch != "none"
    available = history.has(run.commit)
    dirty = True if has_patch else run.dirty
    return Code(run.commit, MLFLOW, dirty, available, has_patch, patch == "in part")


def as_json(lineage: Lineage) -> dict[str, Any]:
    """All of it in plain values; unknown ones are null or empty."""
    from pipeline.runs.lineage.commands import list_steps, reproduce_command

    subject, metadata, run = lineage.subject, lineage.subject.metadata, lineage.run
    keys = ("sha256", "images_seen", "weights", "size")
    return {
        "subject": {
            "kind": subject.kind,
            "given": subject.given,
            "seeds": subject.seeds or None,
            "truncation": subject.truncation if subject.kind == "picture" else None,
        },
        "checkpoint": {key: metadata.get(key) for key in keys},
        "run": {
            "name": lineage.name,
            "key": subject.run_key,
            "key_holds": subject.key_matches(),
            "id": run.id if run else None,
            "url": run.url if run else None,
            "tags": dict(run.tags) if run else {},
            "no_run": lineage.no_run or None,
        },
        "code": _code_as_json(lineage),
        "data": {
            "cache_digest": lineage.cache_digest or None,
            "snapshot": lineage.dataset_digest or None,
            "md5": lineage.tag("data_md5") or None,
            "source": lineage.source,
            "licences": dict(subject.stored_lineage.get("licences", {})),
            "counts": dict(subject.stored_lineage.get("counts", {})),
        },
        "settings": subject.key_inputs
        and {key: subject.key_inputs[key] for key in ("model", "train", "images")}
        | {"preprocess": subject.stored_lineage["preprocess"]},
        "commands": [step.command for step in list_steps(lineage)],
        "reproduce": reproduce_command(lineage),
    }


def _code_as_json(lineage: Lineage) -> dict[str, Any]:
    code, top = lineage.code, lineage.history.top
    return {
        "digest": lineage.code_digest or None,
        "commit": code.commit if code else None,
        "commit_from": code.source if code else None,
        "here": code.available if code else None,
        "dirty": code.dirty if code else None,
        "patch": PATCH if code and code.has_patch else None,
        "patch_whole": not code.partial if code and code.has_patch else None,
        "recorded": lineage.recorded_by,
        "repository": str(top) if top else None,
    }
