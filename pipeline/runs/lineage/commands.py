"""Shell commands that make a subject again; every word from outside is quoted."""

import os
import shlex

from pipeline.dataset.source_file import is_embedded
from pipeline.runs.lineage.dvc_cache import DvcCache
from pipeline.runs.lineage.trace import PATCH, Lineage
from pipeline.tracking.mlflow.store import sqlite_file, tracking_uri

FOLDER = "../again"
"""New folder of the commands; inside the repository it would count as an uncommitted change."""

UNKNOWN_REMOTE = "URL-OF-THE-REPOSITORY"

Step = tuple[str, str]
"""Comment, which may be empty, and command."""


def reproduce_command(lineage: Lineage) -> str:
    """The one command that runs all of them and compares."""
    return f"gan reproduce {shlex.quote(lineage.subject.given)} --to {FOLDER}"


def list_steps(lineage: Lineage) -> list[Step]:
    """The commands in their order; none if no commit is known."""
    code, top = lineage.code, lineage.history.top
    if code is None:
        return []
    remote = lineage.tag("git_remote") or UNKNOWN_REMOTE
    origin = shlex.quote(str(top) if code.available and top else remote)
    return [
        ("the files of the commit", f"git clone --quiet -- {origin} {FOLDER}"),
        ("", f"cd {FOLDER}"),
        ("", f"git checkout --quiet --detach {code.commit}"),
        *_apply_changes(lineage),
        *_bring_data(lineage),
        ("data, training and evaluation", "dvc repro"),
        *_draw_picture(lineage),
    ]


def _apply_changes(lineage: Lineage) -> list[Step]:
    run, changes = lineage.run, lineage.code.changes if lineage.code else "none"
    if changes == "unknown":
        text = "# unknown whether there were uncommitted changes: the run key may differ"
        return [("", text)]
    if changes == "lost":
        return [("", "# the uncommitted changes are lost: the run key will differ")]
    if changes == "none" or run is None:
        return []
    download = ["mlflow", "artifacts", "download", "--run-id", run.id, "--artifact-path", PATCH]
    uri = tracking_uri(lineage.paths)
    if sqlite_file(uri) or not os.environ.get("MLFLOW_TRACKING_URI"):
        # else it is in the environment, and may hold a password
        download = ["env", f"MLFLOW_TRACKING_URI={uri}", *download]
    # its last line is the copy's path, which depends on the kind of store
    copy = f'"$({shlex.join(download)} | tail -n 1)"'
    part = ", of which only a part was kept: the run key may differ"
    comment = f"the uncommitted changes{part if changes == 'in part' else ''}"
    return [(comment, f"git apply --whitespace=nowarn {copy}")]


def _bring_data(lineage: Lineage) -> list[Step]:
    """Commands that bring a crawled dataset; the embedded gallery is drawn by `dvc repro`."""
    if is_embedded(lineage.source):
        return []
    cache = DvcCache(lineage.paths.root).folder if lineage.history.top else None
    command = f"dvc cache dir --local {shlex.quote(str(cache))}" if cache else "dvc pull data.dvc"
    return [("the pinned dataset", command)]


def _draw_picture(lineage: Lineage) -> list[Step]:
    subject = lineage.subject
    if subject.kind != "picture":
        return []
    command = (
        f"gan generate --ckpt {_name_checkpoint(lineage)} --seeds {shlex.quote(subject.seeds)} "
        f"--truncation {subject.truncation:g} --out avatars"
    )
    return [("the picture", command if subject.seeds.isdecimal() else f"{command} --grid")]


def _name_checkpoint(lineage: Lineage) -> str:
    """Path at which the run writes the subject's checkpoint."""
    images_seen = lineage.subject.metadata["images_seen"]
    every = lineage.subject.key_inputs.get("train", {}).get("snapshot_every", 1)
    snapshot = images_seen % every == 0 if isinstance(every, int) and every else True
    return f"models/snapshots/{images_seen:012d}.pt" if snapshot else "models/final.pt"
