"""What a checkout has that its commit lacks, as a patch that `git apply` takes.

Made beside the user's index and objects, never in them: a training that starts must not disturb
what somebody is about to commit.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pipeline.git import Git

WRITTEN_BY_STAGES = (":!dvc.lock", ":!reports")  # a running `dvc repro` changes them: not "dirty"
MOST_BYTES = 5_000_000
"""Of a patch; larger files that nobody ignores are most likely data that was forgotten."""
INCOMPLETE = b"# left out, "
"""How the lines begin that name what a patch lacks; `git apply` skips them."""

DIFF = (
    *("-c", "core.quotePath=true", "-c", "diff.renames=false", "-c", "diff.ignoreSubmodules=none"),
    *("diff", "--cached", "--binary", "--full-index", "--no-color", "--no-ext-diff"),
    *("--no-textconv", "--src-prefix=a/", "--dst-prefix=b/", "HEAD", "--", "."),
    *WRITTEN_BY_STAGES,
)
"""Whatever the user's configuration says about diffs."""


def uncommitted(root: Path) -> bytes | None:
    """Changes of tracked files and files that are new and not ignored, below `root`.

    Without what the stages write. `git apply` on a clean checkout of the commit gives the same
    files. None if nothing is changed, if there is no commit, or if Git gives no answer in time.
    What makes it larger than MOST_BYTES is left out and named in its first lines.
    """
    git = Git(root)
    top, changed = git.text("rev-parse", "--show-toplevel"), _changed(git)
    if top is None or not changed or git.text("rev-parse", "--verify", "HEAD") is None:
        return None
    kept = set(_small_enough(Path(top), changed))
    left_out = [name for name in changed if name not in kept]
    patch = _diff(git, kept) if kept else b""
    if patch is None:
        return None
    if len(patch) > MOST_BYTES:
        patch, left_out = b"", changed
    notes = (INCOMPLETE + b"too large: " + ascii(os.fsdecode(n)).encode() for n in left_out)
    return b"".join(note + b"\n" for note in notes) + patch or None


def whole(patch: bytes) -> bool:
    """Whether nothing was left out of a patch."""
    return not patch.startswith(INCOMPLETE)


def changed_files(git: Git) -> list[bytes] | None:
    """Paths, from the top of the repository, that differ from the commit; None if unknown."""
    listed = git.answer(
        *("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all"),
        *("--", ".", *WRITTEN_BY_STAGES),
    )
    return None if listed is None else [entry[3:] for entry in listed.split(b"\0") if entry]


def _changed(git: Git) -> list[bytes]:
    return changed_files(git) or []


def _small_enough(top: Path, names: Iterable[bytes]) -> Iterator[bytes]:
    """The smaller files, as many as there is room for: a patch of text is no larger than these."""
    room = 4 * MOST_BYTES  # of what Git may have to read; it compresses
    for size, name in sorted((_size(top / os.fsdecode(name)), name) for name in names):
        room -= size
        if size <= MOST_BYTES and room >= 0:
            yield name


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:  # deleted
        return 0


def _diff(git: Git, names: Iterable[bytes]) -> bytes | None:
    """The files as an index and objects of their own hold them, against the commit."""
    places = [git.text("rev-parse", "--git-path", name) for name in ("index", "objects")]
    index, objects = (git.folder / place if place else None for place in places)
    if index is None or objects is None:
        return None
    with tempfile.TemporaryDirectory(prefix="gan-patch-") as name:
        apart = _apart(Path(name), index, objects)
        paths = b"".join(b":(top,literal)" + each + b"\0" for each in names)
        add = ("add", "--all", "--ignore-errors", "--pathspec-from-file=-", "--pathspec-file-nul")
        git.answer(*add, stdin=paths, environment=apart)  # fails for one file, and adds the others
        return git.answer(*DIFF, environment=apart)


def _apart(folder: Path, index: Path, objects: Path) -> Mapping[str, str]:
    """An environment in which Git changes nothing but `folder`."""
    if index.is_file():
        # with its time, by which Git knows which files may have changed since it last looked
        shutil.copy2(index, folder / "index")
    (folder / "objects").mkdir()
    others = os.environ.get("GIT_ALTERNATE_OBJECT_DIRECTORIES")
    behind = os.pathsep.join([str(objects.resolve()), *([others] if others else [])])
    return {
        "GIT_INDEX_FILE": str(folder / "index"),
        "GIT_OBJECT_DIRECTORY": str(folder / "objects"),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": behind,
    }
