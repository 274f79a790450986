"""Where a picture, checkpoint or run comes from: itself, the tracker's row and Git's history."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.paths import Paths
from pipeline.runs.evaluated import one_line
from pipeline.runs.lineage.git_history import COMMIT, Commits
from pipeline.runs.lineage.subject import Subject, subject_of
from pipeline.runs.lineage.tracked_row import PATCH, Tracked, tracked

ROW, HISTORY = "the row", "Git's history"


@dataclass(frozen=True)
class Code:
    """Which files trained. source: who says so. dirty: not all of them were committed; None if
    that is not known.

    here: the commit's objects are in this repository. patch: the row has the uncommitted changes,
    with `partial` not all of them.
    """

    commit: str
    source: str
    dirty: bool | None
    here: bool
    patch: bool
    partial: bool = False

    @property
    def complete(self) -> bool:
        """Whether commit and kept changes are all of it."""
        return self.dirty is False or (self.patch and not self.partial)


@dataclass(frozen=True)
class Lineage:
    """All that is known of a subject. no_row: why there is no row, in one line."""

    subject: Subject
    paths: Paths
    commits: Commits
    row: Tracked | None
    no_row: str
    code: Code | None
    recorded: str | None
    """The commit whose reports/metrics.json is of the run."""

    @property
    def name(self) -> str:
        """The run's name."""
        said = self.row.row.name if self.row else self.subject.said.get("name", "")
        return one_line(str(said))

    @property
    def digest(self) -> str:
        """Of the training's code; empty where nothing says it."""
        tag = self.row.row.tags.get("code_digest", "") if self.row else ""
        return str(self.subject.decided.get("code_digest", tag))

    @property
    def cache_digest(self) -> str:
        """Of the data trained on; empty where nothing says it."""
        tag = self.row.row.tags.get("cache_digest", "") if self.row else ""
        return str(self.subject.said.get("trained_on", tag))

    @property
    def snapshot(self) -> str:
        """Digest of the raw pictures; empty where nothing says it."""
        tag = self.row.row.tags.get("snapshot_digest", "") if self.row else ""
        return str(self.subject.lineage.get("snapshot") or tag)

    @property
    def source(self) -> dict[str, Any]:
        """What the raw pictures are of, as source.yaml has it."""
        return dict(self.subject.lineage.get("source", {}))


def trace(given: str, paths: Paths) -> Lineage:
    """Follow a subject as far as it leads; GanError if it is none or says nothing."""
    subject = subject_of(given, paths)
    row, no_row = tracked(subject.run_id or subject.run_key, paths)
    commits = Commits(paths.root)
    recorded = commits.recorded(subject.run_key)
    return Lineage(subject, paths, commits, row, no_row, _code(row, recorded, commits), recorded)


def _code(row: Tracked | None, recorded: str | None, commits: Commits) -> Code | None:
    """The row's commit if the training itself wrote it, and all of its changes are kept."""
    found = _of_row(row, commits) if row else None
    if recorded and (not (found and found.complete) or (row and not row.by_training)):
        return Code(recorded, HISTORY, dirty=False, here=True, patch=False)
    return found


def _of_row(row: Tracked, commits: Commits) -> Code | None:
    if not row.commit or not COMMIT.fullmatch(row.commit):
        return None
    kept = row.kept if row.dirty is not False else "nothing of it"
    patch = kept != "nothing of it"
    here = commits.has(row.commit)
    return Code(row.commit, ROW, True if patch else row.dirty, here, patch, kept == "in part")


def as_json(found: Lineage) -> dict[str, Any]:
    """All of it in plain values; what is not known is null or empty."""
    from pipeline.runs.lineage.commands import recipe, short_way

    subject, said = found.subject, found.subject.said
    return {
        "subject": {
            "kind": subject.kind,
            "given": subject.given,
            "seeds": subject.seeds or None,
            "truncation": subject.truncation if subject.kind == "picture" else None,
        },
        "checkpoint": {key: said.get(key) for key in ("sha256", "images_seen", "weights", "size")},
        "run": {
            "name": found.name,
            "key": subject.run_key,
            "key_holds": subject.key_holds(),
            "id": found.row.row.run_id if found.row else None,
            "url": found.row.url if found.row else None,
            "tags": dict(found.row.row.tags) if found.row else {},
            "no_row": found.no_row or None,
        },
        "code": _code_json(found),
        "data": {
            "cache_digest": found.cache_digest or None,
            "snapshot": found.snapshot or None,
            "md5": found.row.row.tags.get("data_md5") if found.row else None,
            "source": found.source,
            "licences": dict(subject.lineage.get("licences", {})),
            "counts": dict(subject.lineage.get("counts", {})),
        },
        "settings": subject.decided
        and {key: subject.decided[key] for key in ("model", "train", "images")}
        | {"preprocess": subject.lineage["preprocess"]},
        "commands": [step.command for step in recipe(found)],
        "reproduce": short_way(found),
    }


def _code_json(found: Lineage) -> dict[str, Any]:
    code = found.code
    return {
        "digest": found.digest or None,
        "commit": code.commit if code else None,
        "commit_from": code.source if code else None,
        "here": code.here if code else None,
        "dirty": code.dirty if code else None,
        "patch": PATCH if code and code.patch else None,
        "patch_whole": not code.partial if code and code.patch else None,
        "recorded": found.recorded,
        "repository": _folder(found.commits.top),
    }


def _folder(path: Path | None) -> str | None:
    return str(path) if path else None
