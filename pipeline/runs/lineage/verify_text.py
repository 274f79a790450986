"""Whether what a picture says is what its run's row and checkpoint say.

The run key is the digest of settings, data and code only: sources, licences, counts, the snapshot
and the checkpoint's sha256 stand beside it, and could be edited without a trace in it.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gan.errors import GanError
from pipeline.runs.lineage.subject import said_by
from pipeline.runs.lineage.trace import Lineage

OF_THE_FILE = {"sha256", "images_seen"}
"""What differs between checkpoints of one run."""


def unlike(found: Lineage) -> list[str] | None:
    """What is said otherwise than by the row or a checkpoint; None if neither can be asked."""
    snapshot = found.row.row.tags.get("snapshot_digest") if found.row else None
    own = _own(found) if found.subject.kind == "picture" else None
    if own is None and not snapshot:
        return None
    said = found.subject.said
    wrong = list(_differing(said, own)) if own else []
    if snapshot and said.get("lineage") and found.subject.lineage.get("snapshot") != snapshot:
        wrong.append("snapshot")
    return list(dict.fromkeys(wrong))


def _differing(said: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[str]:
    same_file = own["sha256"] == said.get("sha256")
    for key in own.keys() - {"weights", "lineage"} - (set() if same_file else OF_THE_FILE):
        if said.get(key) != own[key]:
            yield key
    theirs, ours = said["lineage"], json.loads(json.dumps(own["lineage"]))
    for key in sorted(theirs.keys() | ours.keys()):
        if theirs.get(key) != ours.get(key):
            yield key


def _own(found: Lineage) -> Mapping[str, Any] | None:
    """What the very checkpoint says, else another one of the run, else None."""
    here = list(_here(found))
    for said in here:
        if said["sha256"] == found.subject.said.get("sha256"):
            return said
    return here[0] if here else _stored(found)


def _here(found: Lineage) -> Iterator[Mapping[str, Any]]:
    for file in sorted(found.paths.models.rglob("*.pt")):
        try:
            said = said_by(file)
        except GanError:  # no checkpoint, or of an older format
            continue
        if said["run_key"] == found.subject.run_key:
            yield said


def _stored(found: Lineage) -> Mapping[str, Any] | None:
    from pipeline.runs.checkpoint import checkpoint_of

    if found.row is None:
        return None
    try:
        with checkpoint_of(found.row.row.run_id, found.paths) as stored:
            return said_by(stored.file)
    except GanError:
        return None
