"""Run folders that versions before 0.2 left unsent, turned into today's; goes with version 0.3.

They lie in logs/spool/ and .dvc/tmp/gan/*/tracking/. run.json has the header as `row`, records lie
in records.jsonl; all of them count, and `file` names the one file of a record.
"""

import json
import shutil
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from gan.atomic import write_atomically
from pipeline.paths import Paths
from pipeline.tracking.run_folder.folder import COMMIT, RECORDS, runs_folder


def find(paths: Paths) -> list[Path]:
    """Find the folders, those of trainings first."""
    trainings = sorted(paths.progress.glob("[!.]*/tracking/[!.]*/"))
    return trainings + sorted((paths.main_root / "logs" / "spool").glob("[!.]*/"))


def read(folder: Path) -> tuple[dict[str, Any], list[bytes]]:
    """Read the header, {} if run.json is damaged, and records that are not confirmed."""
    header: dict[str, Any] = {}
    sent, lines = 0, list[bytes]()
    with suppress(OSError, ValueError, KeyError, TypeError):
        state = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        header, sent = dict(state["row"]), int(state["sent"])
    with suppress(OSError):
        lines = (folder / "records.jsonl").read_bytes()[sent:].splitlines(keepends=True)
    return header, [line for line in lines if line.endswith(b"\n")]


def convert_all(paths: Paths) -> None:
    """Move the folders to today's place; those that are damaged or in use stay."""
    for folder in find(paths):
        with suppress(Timeout), FileLock(folder / "lock", timeout=0):
            header, unsent = read(folder)
            if header:
                _convert(folder, header, unsent, paths)


def _convert(folder: Path, header: dict[str, Any], unsent: list[bytes], paths: Paths) -> None:
    """Write the new folder under a hidden name, then rename it: a kill leaves one of the two.

    What was confirmed already is left out, so its run is found by its id, in whatever store.
    """
    training = folder.parent.name == "tracking"
    name = f"train-{folder.name}" if training else folder.name
    target = runs_folder(paths) / f"{name}-{uuid.uuid4().hex[:12]}"
    draft = target.with_name(f".{target.name}")
    (draft / "files").mkdir(parents=True)
    if (folder / "files").is_dir():
        shutil.copytree(folder / "files", draft / "files", dirs_exist_ok=True)
    progress = {"progress": folder.parent.parent.name} if training else {}
    state = {"run": header | progress, "sent": 0}
    write_atomically(draft / RECORDS, b"".join(map(_convert_line, unsent)) + COMMIT)
    write_atomically(draft / "run.json", json.dumps(state, indent=1) + "\n")
    draft.replace(target)
    shutil.rmtree(folder)


def _convert_line(line: bytes) -> bytes:
    """Rename the fields that have another name today; a damaged line stays as it is."""
    try:
        record = json.loads(line)
        kind = record["kind"]
        if "file" in record:
            record["files"] = [record.pop("file")]
        if kind == "artifact":
            place = record.pop("folder")
            record["key"] = f"{place}/{Path(record['files'][0]).name}".lstrip("/")
        elif kind == "dataset":
            record["key"] = record.pop("digest")
    except (ValueError, KeyError, TypeError, AttributeError):
        return line
    return json.dumps(record).encode() + b"\n"
