"""Shell commands that make a subject again."""

import shlex
from dataclasses import dataclass

from gan.errors import GanError
from pipeline.runs.lineage.dvc_cache import DvcCache
from pipeline.runs.lineage.trace import Lineage
from pipeline.runs.lineage.tracked_run import PATCH

FOLDER = "../again"
"""New folder of the commands; inside the repository it would count as an uncommitted change."""

UNKNOWN_REMOTE = "URL-OF-THE-REPOSITORY"


@dataclass(frozen=True)
class Step:
    """A command, and a comment on it, which may be empty."""

    comment: str
    command: str


def reproduce_command(lineage: Lineage) -> str:
    """The one command that runs all of them and compares."""
    return f"gan reproduce {shlex.quote(lineage.subject.given)} --to {FOLDER}"


def list_steps(lineage: Lineage) -> list[Step]:
    """The commands in their order; none if no commit is known."""
    if lineage.code is None:
        return []
    steps = [*_check_out(lineage), *_bring_data(lineage)]
    steps.append(Step("data, training and evaluation", "dvc repro"))
    return steps + _make_picture(lineage)


def _check_out(lineage: Lineage) -> list[Step]:
    code, top = lineage.code, lineage.history.top
    assert code is not None
    remote = lineage.tag("git_remote") or UNKNOWN_REMOTE
    origin = shlex.quote(str(top) if code.available and top else remote)
    steps = [
        Step("the files of the commit", f"git clone --quiet -- {origin} {FOLDER}"),
        Step("", f"cd {FOLDER}"),
        Step("", f"git checkout --quiet --detach {code.commit}"),
    ]
    if code.dirty is None:
        unknown = "# unknown whether there were uncommitted changes: the run key may differ"
        return [*steps, Step("", unknown)]
    return steps + (_apply_patch(lineage) if code.dirty else [])


def _apply_patch(lineage: Lineage) -> list[Step]:
    if not (lineage.run and lineage.code and lineage.code.has_patch):
        return [Step("", "# the uncommitted changes are lost: the run key will differ")]
    get = f"mlflow artifacts download --run-id {lineage.run.id} --artifact-path {PATCH}"
    # its last line is the copy's path, which depends on the kind of store
    copy = f'"$({lineage.run.variable} {get} | tail -n 1)"'.replace("( ", "(")
    comment = "the uncommitted changes"
    if lineage.code.partial:
        comment += ", of which only a part was kept: the run key may differ"
    return [Step(comment, f"git apply --whitespace=nowarn {copy}")]


def _bring_data(lineage: Lineage) -> list[Step]:
    """Commands that bring a crawled dataset; the embedded gallery is drawn by `dvc repro`."""
    from pipeline.dataset.source_file import is_embedded

    if lineage.source and is_embedded(lineage.source):
        return []
    cache = DvcCache(lineage.paths.root).folder if lineage.history.top else None
    if cache is None:
        return [Step("the pinned dataset", "dvc pull data.dvc")]
    return [Step("the pinned dataset", f"dvc cache dir --local {shlex.quote(str(cache))}")]


def _make_picture(lineage: Lineage) -> list[Step]:
    subject = lineage.subject
    if subject.kind != "picture":
        return []
    command = (
        f"gan generate --ckpt {checkpoint_name(lineage)} --seeds {shlex.quote(subject.seeds)} "
        f"--truncation {subject.truncation:g} --out avatars"
    )
    return [Step("the picture", command + (" --grid" if is_grid(subject.seeds) else ""))]


def is_grid(seeds: str) -> bool:
    """Whether a picture of these seeds is a sheet of several."""
    from pipeline.pictures.generate import parse_seeds

    try:
        return len(parse_seeds(seeds)) > 1
    except GanError:
        return False


def checkpoint_name(lineage: Lineage) -> str:
    """Path at which the run writes the subject's checkpoint."""
    images_seen = lineage.subject.metadata["images_seen"]
    every = lineage.subject.key_inputs.get("train", {}).get("snapshot_every", 1)
    snapshot = images_seen % every == 0 if isinstance(every, int) and every else True
    return f"models/snapshots/{images_seen:012d}.pt" if snapshot else "models/final.pt"
