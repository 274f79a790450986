"""`gan lineage --check`: whether everything that a lineage names is available."""

import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gan.errors import GanError
from pipeline.runs.lineage.dvc_cache import DvcCache, read_locked_outs, read_pinned_md5
from pipeline.runs.lineage.trace import Code, Lineage
from pipeline.runs.lineage.tracked_run import PATCH
from pipeline.runs.lineage.verify_metadata import find_edited
from pipeline.runs.other_checkout import code_digest_in
from pipeline.tracking.provenance.uncommitted import is_complete

FOLDERS = ("checkpoints", "best")  # of a run's artefacts


@dataclass(frozen=True)
class Finding:
    """Result of one check. there: whether it passed; text: details, or the remedy."""

    name: str
    there: bool
    text: str


def check(lineage: Lineage) -> list[Finding]:
    """Run all checks; nothing is written but artefacts into a temporary folder."""
    return [
        _check_run_key(lineage),
        _check_run(lineage),
        *_check_metadata(lineage),
        *_check_code(lineage),
        _check_data(lineage),
        _check_cache(lineage),
        _check_checkpoint(lineage),
    ]


def _check_run_key(lineage: Lineage) -> Finding:
    match lineage.subject.key_matches():
        case True:
            return Finding("run key", True, "the digest of settings, data and code")
        case False:
            text = "not the digest of the settings, data and code in the metadata: edited"
            return Finding("run key", False, text)
    return Finding("run key", False, "the settings, data and code that it is of are not recorded")


def _check_run(lineage: Lineage) -> Finding:
    if lineage.run is None:
        text = f"{lineage.no_run}; `gan sync` records one from models/"
        return Finding("MLflow run", False, text)
    return Finding("MLflow run", True, lineage.run.id)


def _check_metadata(lineage: Lineage) -> Iterator[Finding]:
    edited = find_edited(lineage)
    if edited is None:
        return
    text = "equal to that of the MLflow run and the checkpoint, as far as these are available"
    if edited:
        text = f"edited: {', '.join(edited)} differ from the MLflow run or the checkpoint"
    yield Finding("metadata", not edited, text)


def _check_code(lineage: Lineage) -> Iterator[Finding]:
    code, run = lineage.code, lineage.run
    if code is None:
        yield Finding("commit", False, "no MLflow run and no commit records it; look where it ran")
        return
    if not code.available:
        text = f"{code.commit} is not in this repository: `git fetch --all`"
        yield Finding("commit", False, text)
        return
    yield Finding("commit", True, f"{code.commit}, by {code.source}")
    with tempfile.TemporaryDirectory(prefix="gan-") as folder:
        patch = run.fetch(PATCH, Path(folder)) if code.has_patch and run else None
        if code.dirty is None:
            text = "unknown whether there were any; the digest of the code shows it"
            yield Finding("uncommitted changes", False, text)
        if code.dirty:
            yield _check_patch(patch)
        yield _check_code_digest(lineage, code, patch)


def _check_patch(patch: Path | None) -> Finding:
    name = "uncommitted changes"
    if patch is None:
        text = f"the MLflow run has no {PATCH}; they are lost, unless `gan sync` still sends them"
        return Finding(name, False, text)
    content = patch.read_bytes()
    if not is_complete(content):
        lines = content.decode(errors="replace").splitlines()
        return Finding(name, False, f"{PATCH} is not complete: {lines[0].lstrip('# ')}")
    return Finding(name, True, PATCH)


def _check_code_digest(lineage: Lineage, code: Code, patch: Path | None) -> Finding:
    try:
        with lineage.history.extract(code.commit, patch) as files:
            digest = code_digest_in(files)
    except GanError as error:
        return Finding("code", False, str(error))
    origin = "of commit and changes" if code.has_patch else "of the commit"
    if digest == lineage.code_digest:
        return Finding("code", True, f"digest {digest} {origin}")
    return Finding("code", False, f"digest {digest} {origin}, the run's is {lineage.code_digest}")


def _check_data(lineage: Lineage) -> Finding:
    digest = lineage.dataset_digest
    if digest and _read_value(lineage.paths.data / "snapshot.json", "digest") == digest:
        return Finding("data", True, f"data/ is dataset {digest}")
    cache = DvcCache(lineage.paths.root)
    for md5 in _list_pinned(lineage):
        if cache.holds(md5):
            return Finding("data", True, f"DVC's cache has {md5}")
    if (drawn := _check_gallery(lineage)) is not None:
        return drawn
    return Finding("data", False, "neither in data/ nor in DVC's cache: `dvc pull data.dvc`")


def _read_value(file: Path, key: str) -> str | None:
    try:
        return str(json.loads(file.read_bytes())[key])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _list_pinned(lineage: Lineage) -> list[str]:
    """md5s of data/ by the MLflow run and by data.dvc of the commits that may pin it."""
    history = lineage.history
    md5s = [lineage.tag("data_md5")]
    md5s += [read_pinned_md5(history.read(each, "data.dvc")) for each in _list_commits(lineage)]
    return [md5 for md5 in dict.fromkeys(md5s) if md5]


def _list_commits(lineage: Lineage) -> list[str]:
    """Commits whose dvc.lock or data.dvc may be the run's, the one that records it first."""
    code = lineage.code
    commits = [lineage.recorded_by, code.commit if code and code.available else None]
    return list(dict.fromkeys(commit for commit in commits if commit))


def _check_gallery(lineage: Lineage) -> Finding | None:
    """Whether the embedded gallery can draw the data again; None for data of another source."""
    from pipeline.dataset.source_file import is_embedded
    from pipeline.gallery.settings import GallerySettings

    if not (lineage.source and is_embedded(lineage.source)):
        return None
    try:
        GallerySettings.parse(lineage.source, lineage.paths.source)
    except GanError as error:
        return Finding("data", False, f"not available, and cannot be drawn again: {error}")
    return Finding("data", True, "not available, but `dvc repro` draws it again")


def _check_cache(lineage: Lineage) -> Finding:
    name, digest = "tensor cache", lineage.cache_digest
    if _read_value(lineage.paths.cache / "meta.json", "digest") == digest:
        return Finding(name, True, f"cache/ is {digest}")
    cache = DvcCache(lineage.paths.root)
    for lock in _list_locks(lineage):
        md5 = read_locked_outs(lock, "preprocess").get("cache", "")
        meta = cache.object(cache.listing(md5).get("meta.json", ""))
        if meta and _read_value(meta, "digest") == digest and cache.holds(md5):
            return Finding(name, True, f"DVC's cache has it as {md5}")
    text = "not available: `dvc pull cache`, or `dvc repro preprocess` builds it again"
    return Finding(name, False, text)


def _list_locks(lineage: Lineage) -> Iterator[str]:
    for commit in [*_list_commits(lineage), "HEAD"]:
        yield lineage.history.read(commit, "dvc.lock") or ""
    file = lineage.paths.root / "dvc.lock"
    if file.is_file():
        yield file.read_text(encoding="utf-8")


def _check_checkpoint(lineage: Lineage) -> Finding:
    name, sha256 = "checkpoint", lineage.subject.metadata.get("sha256")
    remedy = "`dvc pull models/final.pt models/best.pt`, or `gan reproduce`"
    if lineage.subject.kind == "checkpoint":
        return Finding(name, True, f"{lineage.subject.file} itself")
    if sha256 is None:
        return Finding(name, False, f"its sha256 is not recorded: {remedy}")
    for file in sorted(lineage.paths.models.rglob("*.pt")):
        if _sha256(file) == sha256:
            return Finding(name, True, str(file.relative_to(lineage.paths.root)))
    if artifact := _find_artifact(lineage, sha256):
        return Finding(name, True, f"artefact {artifact} of the MLflow run")
    return Finding(name, False, f"neither in models/ nor among the run's artefacts: {remedy}")


def _find_artifact(lineage: Lineage, sha256: str) -> str | None:
    """Artefact with this sha256; those of as many images seen are fetched and compared."""
    run, images_seen = lineage.run, lineage.subject.metadata.get("images_seen")
    if run is None:
        return None
    with tempfile.TemporaryDirectory(prefix="gan-") as folder:
        for each in FOLDERS:
            for file in run.runs.list_files(run.id, each):
                if Path(file).stem.removeprefix("state-").lstrip("0") != str(images_seen):
                    continue
                if _sha256(run.runs.download(run.id, file, Path(folder))) == sha256:
                    return file
    return None


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
