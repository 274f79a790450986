"""Comparison of a picture's metadata with its MLflow run and checkpoint.

The run key covers settings, data and code only. Sources, licences, counts, the dataset's digest
and the checkpoint's sha256 can be edited in a picture without changing it.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gan.errors import GanError
from pipeline.runs.lineage.subject import read_metadata
from pipeline.runs.lineage.trace import Lineage

OF_ONE_FILE = {"sha256", "images_seen"}
"""Keys that differ between checkpoints of one run."""


def find_edited(lineage: Lineage) -> list[str] | None:
    """Keys that differ from the MLflow run or a checkpoint; None if both are unknown."""
    subject, digest = lineage.subject, lineage.tag("snapshot_digest")
    original = _find_original(lineage) if subject.kind == "picture" else None
    if original is None and not digest:
        return None
    edited = list(_compare(subject.metadata, original)) if original else []
    if digest and subject.stored_lineage and subject.stored_lineage.get("snapshot") != digest:
        edited.append("snapshot")
    return list(dict.fromkeys(edited))


def _compare(metadata: Mapping[str, Any], original: Mapping[str, Any]) -> Iterator[str]:
    same_file = original["sha256"] == metadata.get("sha256")
    for key in original.keys() - {"weights", "lineage"} - (set() if same_file else OF_ONE_FILE):
        if metadata.get(key) != original[key]:
            yield key
    lineage, expected = metadata["lineage"], json.loads(json.dumps(original["lineage"]))
    for key in sorted(lineage.keys() | expected.keys()):
        if lineage.get(key) != expected.get(key):
            yield key


def _find_original(lineage: Lineage) -> Mapping[str, Any] | None:
    """Metadata of the picture's checkpoint, else of another one of its run."""
    local = list(_list_local(lineage))
    for metadata in local:
        if metadata["sha256"] == lineage.subject.metadata.get("sha256"):
            return metadata
    return local[0] if local else _fetch_metadata(lineage)


def _list_local(lineage: Lineage) -> Iterator[Mapping[str, Any]]:
    for file in sorted(lineage.paths.models.rglob("*.pt")):
        try:
            metadata = read_metadata(file)
        except GanError:  # no checkpoint, or of an older format
            continue
        if metadata["run_key"] == lineage.subject.run_key:
            yield metadata


def _fetch_metadata(lineage: Lineage) -> Mapping[str, Any] | None:
    from pipeline.runs.checkpoint import checkpoint_of

    if lineage.run is None:
        return None
    try:
        with checkpoint_of(lineage.run.id, lineage.paths) as checkpoint:
            return read_metadata(checkpoint.file)
    except GanError:
        return None
