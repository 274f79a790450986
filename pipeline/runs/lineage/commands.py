"""The commands that make a subject again, to be pasted into a shell as they are."""

import shlex
from dataclasses import dataclass

from gan.errors import GanError
from pipeline.runs.lineage.dvc_cache import DvcCache
from pipeline.runs.lineage.trace import Lineage
from pipeline.runs.lineage.tracked_row import PATCH

ANEW = "../again"
"""The folder that the commands make; in the repository it would count as a change."""

SOMEWHERE = "URL-OF-THE-REPOSITORY"


@dataclass(frozen=True)
class Step:
    """One command, and why it is there."""

    why: str
    command: str


def short_way(found: Lineage) -> str:
    """The one command that does and compares all of it."""
    return f"gan reproduce {shlex.quote(found.subject.given)} --to {ANEW}"


def recipe(found: Lineage) -> list[Step]:
    """The commands in their order; none where no commit is known."""
    if found.code is None:
        return []
    steps = [*_checkout(found), *_data(found)]
    steps.append(Step("data, training and evaluation", "dvc repro"))
    return steps + _picture(found)


def _checkout(found: Lineage) -> list[Step]:
    code, top = found.code, found.commits.top
    assert code is not None
    remote = found.row.row.tags.get("git_remote", SOMEWHERE) if found.row else SOMEWHERE
    origin = shlex.quote(str(top) if code.here and top else remote)
    steps = [
        Step("the files of the commit", f"git clone --quiet -- {origin} {ANEW}"),
        Step("", f"cd {ANEW}"),
        Step("", f"git checkout --quiet --detach {code.commit}"),
    ]
    if code.dirty is None:
        unknown = "# whether all was committed then is not known: the run key may differ"
        return [*steps, Step("", unknown)]
    return steps + (_patch(found) if code.dirty else [])


def _patch(found: Lineage) -> list[Step]:
    if not (found.row and found.code and found.code.patch):
        return [Step("", "# the uncommitted changes of then are lost: the run key will differ")]
    row = found.row.row.run_id
    get = f"mlflow artifacts download --run-id {row} --artifact-path {PATCH}"
    # its last line is where the copy is, which depends on the kind of store
    copy = f'"$({found.row.variable} {get} | tail -n 1)"'.replace("( ", "(")
    why = "what was not committed"
    if found.code.partial:
        why += ", but not all of it is kept: the run key may differ"
    return [Step(why, f"git apply --whitespace=nowarn {copy}")]


def _data(found: Lineage) -> list[Step]:
    """The gallery draws itself; a crawl comes out of this repository's cache or a remote."""
    from pipeline.dataset.source_file import is_embedded

    if found.source and is_embedded(found.source):
        return []
    cache = DvcCache(found.paths.root).folder if found.commits.top else None
    if cache is None:
        return [Step("the pinned crawl", "dvc pull data.dvc")]
    return [Step("the pinned crawl", f"dvc cache dir --local {shlex.quote(str(cache))}")]


def _picture(found: Lineage) -> list[Step]:
    if found.subject.kind != "picture":
        return []
    seeds = found.subject.seeds
    command = (
        f"gan generate --ckpt {checkpoint_name(found)} --seeds {shlex.quote(seeds)} "
        f"--truncation {found.subject.truncation:g} --out avatars"
    )
    return [Step("the picture", command + (" --grid" if is_grid(seeds) else ""))]


def is_grid(seeds: str) -> bool:
    """Whether a picture of these seeds is a sheet of several."""
    from pipeline.pictures.generate import parse_seeds

    try:
        return len(parse_seeds(seeds)) > 1
    except GanError:
        return False


def checkpoint_name(found: Lineage) -> str:
    """Where the run leaves the checkpoint that the subject speaks of."""
    seen = found.subject.said["images_seen"]
    every = found.subject.decided.get("train", {}).get("snapshot_every", 1)
    whole = seen % every == 0 if isinstance(every, int) and every else True
    return f"models/snapshots/{seen:012d}.pt" if whole else "models/final.pt"
