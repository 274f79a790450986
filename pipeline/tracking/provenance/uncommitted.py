"""Uncommitted changes of a checkout, as a patch for `git apply`.

Made with an index and objects of its own: a training that starts must not disturb what the user is
about to commit.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from pipeline.tracking.provenance.git import Git

WRITTEN_BY_STAGES = (":!dvc.lock", ":!reports")  # a running `dvc repro` changes them: not "dirty"
MOST_BYTES = 5_000_000
"""Limit of a patch; larger untracked files are most likely data missing from .gitignore."""
LEFT_OUT = b"# left out, "
"""Beginning of the lines that name files left out; `git apply` skips them."""
TOO_LARGE, SECRET, SECRET_CODE = "too large", "may hold secrets", "code that may hold secrets"

SECRETS = (
    *(
        ".env*",
        "*.env",
        ".netrc",
        "_netrc",
        ".pgpass",
        ".pypirc",
        ".npmrc",
        ".htpasswd",
        ".my.cnf",
    ),
    *("id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "*.pem", "*.key", "*.p12", "*.pfx"),
    *(
        "*.kdbx",
        "*.ppk",
        "*.jks",
        "*.keystore",
        "*.token",
        "*credentials*",
        "secrets",
        "secrets.*",
    ),
    *("client_secret*", "kaggle.json", ".s3cfg", ".boto", "kubeconfig", "config.local"),
    *(".ssh", ".aws", ".gnupg", ".kube", ".docker"),
)
"""Patterns, in lower case, of files and folders whose content must not leave the machine."""

DIFF = (
    *("-c", "core.quotePath=true", "-c", "diff.renames=false", "-c", "diff.ignoreSubmodules=none"),
    *("diff", "--cached", "--binary", "--full-index", "--no-color", "--no-ext-diff"),
    *("--no-textconv", "--src-prefix=a/", "--dst-prefix=b/", "HEAD", "--", "."),
    *WRITTEN_BY_STAGES,
)
"""Independent of the user's configuration of diffs."""

ADD = (
    *("add", "--all", "--force", "--ignore-errors"),
    *("--pathspec-from-file=-", "--pathspec-file-nul"),
)


def make_patch(root: Path) -> bytes | None:
    """Make a patch of changed tracked files and untracked files that are not ignored.

    Below `root`, without files that stages write. `git apply` on a clean checkout of the commit
    gives the same files. None if nothing is changed, if there is no commit, or if Git does not
    answer in time. Files that make it larger than MOST_BYTES, and files that may hold secrets by
    their names, are left out and named in its first lines.
    """
    git = Git(root)
    top, changed = git.text("rev-parse", "--show-toplevel"), _changes(git)
    if top is None or not changed or git.text("rev-parse", "--verify", "HEAD") is None:
        return None
    wanted = [each.name for each in changed if not each.secret]
    kept = set(_small_enough(Path(top), wanted))
    patch = _diff(git, kept) if kept else b""
    if patch is None:
        return None
    if len(patch) > MOST_BYTES:
        patch, kept = b"", set()
    notes = [_note(TOO_LARGE, name) for name in wanted if name not in kept]
    notes += [_note(each.secret, each.name) for each in changed if each.secret]
    return b"".join(notes) + patch or None


def _note(reason: str, name: bytes) -> bytes:
    return LEFT_OUT + f"{reason}: {os.fsdecode(name)!a}\n".encode()


def is_complete(patch: bytes) -> bool:
    """Whether a patch has all code: only files with secrets that are no code are left out."""
    harmless = LEFT_OUT + SECRET.encode()
    notes = [line for line in patch.split(b"diff --git ")[0].splitlines() if line]
    return all(line.startswith(harmless) for line in notes)


def is_empty(patch: bytes) -> bool:
    """Whether a patch changes no file and only names those left out."""
    return b"diff --git " not in patch


@dataclass(frozen=True)
class _Change:
    """Changed path from the top of the repository, and its two letters of `git status`."""

    state: bytes
    name: bytes

    @property
    def secret(self) -> str:
        """Reason why its content must not be kept; empty if it may be."""
        path = PurePosixPath(os.fsdecode(self.name).lower())
        if not any(fnmatchcase(part, each) for part in path.parts for each in SECRETS):
            return ""
        if path.suffix != ".py":
            return SECRET
        # a committed module that is about credentials is as public as its repository
        return SECRET_CODE if self.state[:1] in b"?A" else ""


def list_changed_files(git: Git) -> list[bytes] | None:
    """Paths that differ from the commit, from the top of the repository; None if unknown.

    Without files that may hold secrets and are no code: no training depends on them.
    """
    changes = _changes(git)
    return None if changes is None else [c.name for c in changes if c.secret != SECRET]


def _changes(git: Git) -> list[_Change] | None:
    status = git.output(
        *("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all"),
        *("--", ".", *WRITTEN_BY_STAGES),
    )
    if status is None:
        return None
    entries = (entry for entry in status.split(b"\0") if entry)
    # staged and then deleted is as the commit has it
    return [_Change(each[:2], each[3:]) for each in entries if each[:2] != b"AD"]


def _small_enough(top: Path, names: Iterable[bytes]) -> Iterator[bytes]:
    """Choose files from the smallest up while they fit; a patch of text is no larger than them."""
    room = 4 * MOST_BYTES  # bytes that Git may have to read; it compresses
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
    """Diff the files against the commit, in a temporary index and object store.

    That index begins as the commit's: staged files are in it only if they are named here.
    """
    objects = git.text("rev-parse", "--git-path", "objects")
    if objects is None:
        return None
    with tempfile.TemporaryDirectory(prefix="gan-patch-") as name:
        environment = _separate_index(Path(name), git.folder / objects)
        if git.output("read-tree", "HEAD", environment=environment) is None:
            return None
        paths = b"".join(b":(top,literal)" + each + b"\0" for each in names)
        git.output(
            *ADD, stdin=paths, environment=environment
        )  # fails for one file, and adds the others
        return git.output(*DIFF, environment=environment)


def _separate_index(folder: Path, objects: Path) -> Mapping[str, str]:
    """Environment in which Git writes to nothing but `folder`."""
    (folder / "objects").mkdir()
    others = os.environ.get("GIT_ALTERNATE_OBJECT_DIRECTORIES")
    behind = os.pathsep.join([str(objects.resolve()), *([others] if others else [])])
    return {
        "GIT_INDEX_FILE": str(folder / "index"),
        "GIT_OBJECT_DIRECTORY": str(folder / "objects"),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": behind,
    }
