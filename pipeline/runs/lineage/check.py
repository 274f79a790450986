"""`gan lineage --check`: whether everything that a lineage names is available."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gan.errors import GanError
from pipeline.dataset.dvc_cache import DvcCache, read_locked_outs, read_pinned_md5
from pipeline.dataset.source_file import is_embedded
from pipeline.paths import sha256_of
from pipeline.runs.checkpoint import FOLDERS
from pipeline.runs.lineage.trace import CHANGES, Code, Lineage
from pipeline.runs.other_checkout import code_digest_in

KEY = {
    True: "the digest of settings, data and code",
    False: "NOT the digest of settings, data and code in the metadata: edited; trust none of it",
    None: "settings, data and code are not recorded: a checkpoint of an older format",
}


@dataclass(frozen=True)
class Finding:
    """Result of one check. there: whether it passed; text: details, or the remedy."""

    name: str
    there: bool
    text: str


def check(lineage: Lineage) -> Iterator[Finding]:
    """Run all checks; nothing is written."""
    cache, code, run = DvcCache(lineage.paths.root), lineage.code, lineage.run
    matches = lineage.subject.key_matches()
    yield Finding("run key", matches is True, KEY[matches])
    no_run = f"{lineage.no_run}; `gan sync` records one from models/"
    yield Finding("MLflow run", run is not None, run.run_id if run else no_run)
    # those whose dvc.lock or data.dvc may be the run's, the one that records it first
    commits = [lineage.recorded_by] if lineage.recorded_by else []
    if code is None:
        yield Finding("commit", False, "no MLflow run and no commit records it; look where it ran")
    elif not code.available:
        text = f"{code.commit} is not in this repository: `git fetch --all`"
        yield Finding("commit", False, text)
    else:
        commits.append(code.commit)
        yield Finding("commit", True, f"{code.commit}, by {code.source}")
        if code.changes != "none":
            yield Finding("uncommitted changes", code.complete, CHANGES[code.changes])
        yield _check_code(lineage, code)
    yield _check_data(lineage, cache, commits)
    yield _check_cache(lineage, cache, commits)
    yield _check_checkpoint(lineage)


def _check_code(lineage: Lineage, code: Code) -> Finding:
    patch = lineage.patch if code.has_patch else None
    try:
        with lineage.history.extract(code.commit, patch) as files:
            digest = code_digest_in(files)
    except GanError as error:
        return Finding("code", False, str(error))
    text = f"digest {digest} {'of commit and changes' if patch else 'of the commit'}"
    if digest == lineage.code_digest:
        return Finding("code", True, text)
    return Finding("code", False, f"{text}, the run's is {lineage.code_digest}")


def _check_data(lineage: Lineage, cache: DvcCache, commits: list[str]) -> Finding:
    digest, history = lineage.dataset_digest, lineage.history
    if digest and _read_digest(lineage.paths.data / "snapshot.json") == digest:
        return Finding("data", True, f"data/ is dataset {digest}")
    pins = [read_pinned_md5(history.read(each, "data.dvc")) for each in commits]
    for md5 in (lineage.tag("data_md5"), *pins):
        if cache.list_files(md5):
            return Finding("data", True, f"DVC's cache has {md5}")
    if is_embedded(lineage.source):
        return Finding("data", True, "not available, but `dvc repro` draws it again")
    return Finding("data", False, "neither in data/ nor in DVC's cache: `dvc pull data.dvc`")


def _read_digest(file: Path) -> str | None:
    return _parse_digest(file.read_bytes()) if file.is_file() else None


def _parse_digest(content: bytes | None) -> str | None:
    try:
        return str(json.loads(content or "")["digest"])
    except (ValueError, KeyError, TypeError):
        return None


def _check_cache(lineage: Lineage, cache: DvcCache, commits: list[str]) -> Finding:
    name, digest = "tensor cache", lineage.cache_digest
    if _read_digest(lineage.paths.cache / "meta.json") == digest:
        return Finding(name, True, f"cache/ is {digest}")
    for lock in _list_locks(lineage, commits):
        md5 = read_locked_outs(lock, "preprocess").get("cache", "")
        files = cache.list_files(md5)
        if files and _parse_digest(cache.read(files.get("meta.json", ""))) == digest:
            return Finding(name, True, f"DVC's cache has it as {md5}")
    text = "not available: `dvc pull cache`, or `dvc repro preprocess` builds it again"
    return Finding(name, False, text)


def _list_locks(lineage: Lineage, commits: list[str]) -> Iterator[str | None]:
    for commit in (*commits, "HEAD"):
        yield lineage.history.read(commit, "dvc.lock")
    file = lineage.paths.root / "dvc.lock"
    yield file.read_text(encoding="utf-8") if file.is_file() else None


def _check_checkpoint(lineage: Lineage) -> Finding:
    name, subject = "checkpoint", lineage.subject
    if subject.kind == "checkpoint":
        return Finding(name, True, f"{subject.given} itself")
    sha256, images_seen = (subject.metadata.get(key) for key in ("sha256", "images_seen"))
    for file in sorted(lineage.paths.models.rglob("*.pt")):
        if sha256_of(file) == sha256:
            return Finding(name, True, str(file.relative_to(lineage.paths.root)))
    for artifact in [each for folder in FOLDERS for each in lineage.list_artifacts(folder)]:
        if Path(artifact).stem.removeprefix("state-").lstrip("0") == str(images_seen):
            return Finding(name, True, f"artefact {artifact} of the MLflow run")
    remedy = "`dvc pull models/final.pt models/best.pt`, or `gan reproduce`"
    return Finding(name, False, f"neither in models/ nor among the run's artefacts: {remedy}")
