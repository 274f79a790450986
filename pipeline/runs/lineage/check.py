"""Whether everything that a subject's lineage speaks of is still there."""

import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gan.errors import GanError
from pipeline.runs.lineage.dvc_cache import DvcCache, locked_outs, pinned_md5
from pipeline.runs.lineage.trace import ROW, Code, Lineage
from pipeline.runs.lineage.tracked_row import PATCH
from pipeline.runs.lineage.verify_text import unlike
from pipeline.runs.other_checkout import code_digest_in
from pipeline.tracking.provenance.uncommitted import whole

FOLDERS = ("checkpoints", "best")  # of a row's artefacts


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for. text: what was found, else what to do."""

    name: str
    there: bool
    text: str


def check(found: Lineage) -> list[Finding]:
    """Look for all of it; reads only, but may fetch files of the row into a temporary folder."""
    return [
        _run_key(found),
        _row(found),
        *_words(found),
        *_code(found),
        _data(found),
        _cache(found),
        _checkpoint(found),
    ]


def _run_key(found: Lineage) -> Finding:
    match found.subject.key_holds():
        case True:
            return Finding("run key", True, "is the digest of settings, data and code")
        case False:
            return Finding("run key", False, "is not the digest of what is said: it was edited")
    return Finding("run key", False, "nothing says what it is the digest of")


def _row(found: Lineage) -> Finding:
    if found.row is None:
        return Finding("MLflow row", False, f"{found.no_row}; `gan sync` makes one from models/")
    return Finding("MLflow row", True, found.row.row.run_id)


def _words(found: Lineage) -> Iterator[Finding]:
    wrong = unlike(found)
    if wrong is None:
        return
    said = "as the row and the checkpoint have them, as far as these are here"
    if wrong:
        said = f"not what the row or the checkpoint say: {', '.join(wrong)}; edited"
    yield Finding("its words", not wrong, said)


def _code(found: Lineage) -> Iterator[Finding]:
    code = found.code
    if code is None:
        todo = "no row or record names it; look where the run was made"
        yield Finding("commit", False, todo)
        return
    if not code.here:
        yield Finding("commit", False, f"{code.commit} is not here: `git fetch --all`")
        return
    yield Finding("commit", True, f"{code.commit}, by {code.source}")
    with tempfile.TemporaryDirectory(prefix="gan-") as folder:
        patch = found.row.fetched(PATCH, Path(folder)) if code.patch and found.row else None
        if code.dirty is None:
            unknown = "whether there were any is not known; the digest of the code tells of that"
            yield Finding("uncommitted changes", False, unknown)
        if code.dirty:
            yield _patch(patch)
        yield _code_digest(found, code, patch)


def _patch(patch: Path | None) -> Finding:
    name = "uncommitted changes"
    if patch is None:
        lost = f"the row has none in {PATCH}; they are lost, unless `gan sync` still has them"
        return Finding(name, False, lost)
    content = patch.read_bytes()
    if not whole(content):
        lines = content.decode(errors="replace").splitlines()
        return Finding(name, False, f"{PATCH} is not all: {lines[0].lstrip('# ')}")
    return Finding(name, True, PATCH)


def _code_digest(found: Lineage, code: Code, patch: Path | None) -> Finding:
    try:
        with found.commits.extracted(code.commit, patch) as files:
            digest = code_digest_in(files)
    except GanError as error:
        return Finding("code", False, str(error))
    what = "of commit and changes" if code.patch else "of the commit"
    if digest == found.digest:
        return Finding("code", True, f"digest {digest} {what}")
    return Finding("code", False, f"digest {digest} {what}, the run's is {found.digest}")


def _data(found: Lineage) -> Finding:
    name = "data"
    if found.snapshot and _snapshot_here(found) == found.snapshot:
        return Finding(name, True, f"data/ is snapshot {found.snapshot}")
    cache = DvcCache(found.paths.root)
    for md5 in _pinned(found):
        if cache.holds(md5):
            return Finding(name, True, f"DVC's cache has {md5}")
    if (drawn := _drawn(found)) is not None:
        return drawn
    return Finding(name, False, "neither in data/ nor in DVC's cache: `dvc pull data.dvc`")


def _snapshot_here(found: Lineage) -> str | None:
    return _value(found.paths.data / "snapshot.json", "digest")


def _value(file: Path, key: str) -> str | None:
    try:
        return str(json.loads(file.read_bytes())[key])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _pinned(found: Lineage) -> list[str]:
    """What the row says, and data.dvc of the commits that may have it."""
    said = [found.row.row.tags.get("data_md5", "")] if found.row else []
    said += [pinned_md5(found.commits.read(commit, "data.dvc")) for commit in _recorded(found)]
    return [md5 for md5 in dict.fromkeys(said) if md5]


def _recorded(found: Lineage) -> list[str]:
    """Commits whose dvc.lock or data.dvc may be the run's: the one that records it, best."""
    named = [found.code.commit] if found.code and found.code.here else []
    return list(dict.fromkeys([*([found.recorded] if found.recorded else []), *named]))


def _drawn(found: Lineage) -> Finding | None:
    from pipeline.dataset.source_file import is_embedded
    from pipeline.gallery.settings import GallerySettings

    if not (found.source and is_embedded(found.source)):
        return None
    try:
        GallerySettings.parse(found.source, found.paths.source)
    except GanError as error:
        return Finding("data", False, f"not here, and can't be drawn again: {error}")
    return Finding("data", True, "not here, but `dvc repro` draws it again")


def _cache(found: Lineage) -> Finding:
    name, digest = "tensor cache", found.cache_digest
    if _value(found.paths.cache / "meta.json", "digest") == digest:
        return Finding(name, True, f"cache/ is {digest}")
    there = DvcCache(found.paths.root)
    for lock in _locks(found):
        md5 = locked_outs(lock, "preprocess").get("cache", "")
        meta = there.object(there.listing(md5).get("meta.json", ""))
        if meta and _value(meta, "digest") == digest and there.holds(md5):
            return Finding(name, True, f"DVC's cache has it as {md5}")
    return Finding(
        name, False, "not here: `dvc pull cache`, or `dvc repro preprocess` rebuilds it"
    )


def _locks(found: Lineage) -> Iterator[str]:
    for commit in [*_recorded(found), "HEAD"]:
        yield found.commits.read(commit, "dvc.lock") or ""
    file = found.paths.root / "dvc.lock"
    if file.is_file():
        yield file.read_text(encoding="utf-8")


def _checkpoint(found: Lineage) -> Finding:
    name, wanted = "checkpoint", found.subject.said.get("sha256")
    if found.subject.kind == "checkpoint":
        return Finding(name, True, f"{found.subject.file} itself")
    if wanted is None:
        return Finding(name, False, "nothing says which: " + _remake(found))
    for file in sorted(found.paths.models.rglob("*.pt")):
        if _sha256(file) == wanted:
            return Finding(name, True, str(file.relative_to(found.paths.root)))
    if stored := _stored(found, wanted):
        return Finding(name, True, f"the row's {stored}")
    return Finding(name, False, f"neither in models/ nor on the row: {_remake(found)}")


def _remake(found: Lineage) -> str:
    return f"`dvc pull models/final.pt models/best.pt`, or {ROW}'s run has to be made again"


def _stored(found: Lineage, wanted: str) -> str | None:
    """Which of the row's files has this sha256; fetches those that may."""
    if found.row is None:
        return None
    seen = found.subject.said.get("images_seen")
    with tempfile.TemporaryDirectory(prefix="gan-") as folder:
        for each in FOLDERS:
            for file in found.row.rows.list_files(found.row.row.run_id, each):
                if Path(file).stem.removeprefix("state-").lstrip("0") != str(seen):
                    continue
                copy = found.row.rows.download(found.row.row.run_id, file, Path(folder))
                if _sha256(copy) == wanted:
                    return file
    return None


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
