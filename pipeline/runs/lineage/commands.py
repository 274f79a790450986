"""Shell commands that make a subject again; every word from outside is quoted."""

import os
import shlex

from pipeline.dataset.dvc_cache import DvcCache
from pipeline.dataset.source_file import is_embedded
from pipeline.runs.lineage.trace import PATCH, Code, Lineage
from pipeline.tracking.mlflow.store import sqlite_file, tracking_uri

FOLDER = "../again"
"""New folder of the commands; inside the repository it would count as an uncommitted change."""

UNKNOWN_REMOTE = "URL-OF-THE-REPOSITORY"


def list_steps(lineage: Lineage) -> list[str]:
    """The commands in their order; none if no commit is known."""
    code, top = lineage.code, lineage.history.top
    if code is None:
        return []
    remote = lineage.tag("git_remote") or UNKNOWN_REMOTE
    origin = shlex.quote(str(top) if code.available and top else remote)
    return [
        f"git clone --quiet -- {origin} {FOLDER}",
        f"cd {FOLDER}",
        f"git checkout --quiet --detach {code.commit}",
        *_apply_changes(lineage, code),
        *_bring_data(lineage),
        "dvc repro",
        *_draw_picture(lineage),
    ]


def _apply_changes(lineage: Lineage, code: Code) -> list[str]:
    if code.has_patch and lineage.run:
        run = ["--run-id", lineage.run.run_id, "--artifact-path", PATCH]
        download, uri = ["mlflow", "artifacts", "download", *run], tracking_uri(lineage.paths)
        if sqlite_file(uri) or not os.environ.get("MLFLOW_TRACKING_URI"):
            # else it is in the environment, and may hold a password
            download = ["env", f"MLFLOW_TRACKING_URI={uri}", *download]
        # its last line is the copy's path, which depends on the kind of store
        return [f'git apply --whitespace=nowarn "$({shlex.join(download)} | tail -n 1)"']
    return []


def _bring_data(lineage: Lineage) -> list[str]:
    """Command that brings a crawled dataset; the embedded gallery is drawn by `dvc repro`."""
    if is_embedded(lineage.source):
        return []
    cache = DvcCache(lineage.paths.root).folder if lineage.history.top else None
    return [f"dvc cache dir --local {shlex.quote(str(cache))}" if cache else "dvc pull data.dvc"]


def _draw_picture(lineage: Lineage) -> list[str]:
    subject = lineage.subject
    if subject.kind != "picture":
        return []
    images_seen = subject.metadata["images_seen"]
    every = subject.key_inputs.get("train", {}).get("snapshot_every")
    checkpoint = f"snapshots/{images_seen:012d}.pt"
    if isinstance(every, int) and every > 0 and images_seen % every:
        checkpoint = "final.pt"
    grid = "" if subject.seeds.isdecimal() else " --grid"
    return [
        f"gan generate --ckpt models/{checkpoint} --seeds {shlex.quote(subject.seeds)} "
        f"--truncation {subject.truncation:g} --out avatars{grid}"
    ]
