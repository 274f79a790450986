"""Uncommitted changes of a checkout, as a patch for `git apply`.

These are the tracked files that differ from the commit, and the new files of the code. The patch
is made with an index and objects of its own: a training that starts must not disturb what the user
is about to commit.
"""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from pipeline.tracking.provenance.git import Git

CODE = ("gan", "pipeline")
"""Folders whose new files belong to the code; others that Git ignores or does not know don't."""
BELOW = (".", ":!dvc.lock", ":!reports")  # a running `dvc repro` changes these: not "dirty"
MOST_BYTES = 5_000_000
"""Limit of a patch; a larger file is most likely data."""
LEFT_OUT = b"# left out, "
"""Beginning of the lines that name files left out; `git apply` skips them."""
TOO_LARGE, SECRET, SECRET_CODE = "too large", "may hold secrets", "code that may hold secrets"

SECRETS = """
.env* *.env .netrc _netrc .pgpass .pypirc .npmrc .htpasswd .my.cnf
id_rsa* id_dsa* id_ecdsa* id_ed25519* *.pem *.key *.p12 *.pfx *.kdbx *.ppk *.jks *.keystore
*.token *credentials* secrets secrets.* client_secret* kaggle.json .s3cfg .boto kubeconfig
config.local .ssh .aws .gnupg .kube .docker
"""
"""Patterns, in lower case, of files and folders whose content must not leave the machine."""

DIFF = (
    *("-c", "core.quotePath=true", "-c", "diff.renames=false", "diff", "HEAD"),
    *("--binary", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv"),
    *("--ignore-submodules=none", "--src-prefix=a/", "--dst-prefix=b/"),
)
"""Independent of the user's configuration of diffs."""


ADD = ("add", "--force", "--ignore-errors", "--pathspec-from-file=-", "--pathspec-file-nul")


@dataclass(frozen=True)
class Change:
    """Changed file, from the folder of the checkout; new: the commit does not have it."""

    name: str
    new: bool

    @property
    def secret(self) -> str:
        """Reason why its content must not be kept; empty if it may be."""
        path = PurePosixPath(self.name.lower())
        if not any(fnmatchcase(part, each) for part in path.parts for each in SECRETS.split()):
            return ""
        if path.suffix != ".py":
            return SECRET
        # a committed module that is about credentials is as public as its repository
        return SECRET_CODE if self.new else ""


def list_changes(git: Git) -> list[Change] | None:
    """Files that differ from the commit; None if unknown, as where there is no commit."""
    names = ("--no-renames", "--name-status", "-z", "--relative", "--ignore-submodules=none")
    tracked = git.output("diff", "HEAD", *names, "--", *BELOW)
    new = git.output("ls-files", "-z", "--others", "--exclude-standard", "--", *CODE)
    if tracked is None or new is None:
        return None
    states = iter(os.fsdecode(tracked).split("\0")[:-1])
    changes = [Change(name, state == "A") for state, name in zip(states, states, strict=True)]
    return changes + [Change(name, new=True) for name in os.fsdecode(new).split("\0")[:-1]]


def make_patch(root: Path) -> bytes | None:
    """Make a patch that turns a clean checkout of the commit into the changed one below `root`.

    None if nothing is changed, if there is no commit, or if Git does not answer in time. Files
    that may hold secrets by their names and files that make it larger than MOST_BYTES are left out
    and named in its first lines.
    """
    git = Git(root)
    kept: list[Change] = []
    left_out: list[tuple[str, Change]] = []
    for change in list_changes(git) or []:
        file = root / change.name
        large = not change.secret and os.path.lexists(file) and file.lstat().st_size > MOST_BYTES
        if reason := TOO_LARGE if large else change.secret:
            left_out.append((reason, change))
        else:
            kept.append(change)
    patch = _diff(git, kept, [change for _, change in left_out]) if kept else b""
    if patch is None:
        return None
    if len(patch) > MOST_BYTES:
        patch, left_out = b"", [(TOO_LARGE, change) for change in kept] + left_out
    notes = (LEFT_OUT + f"{reason}: {change.name!a}\n".encode() for reason, change in left_out)
    return b"".join(notes) + patch or None


def _diff(git: Git, kept: Sequence[Change], left_out: Sequence[Change]) -> bytes | None:
    """Diff files against the commit, in a temporary index that begins as the commit's."""
    objects = git.text("rev-parse", "--git-path", "objects")
    if objects is None:
        return None
    others = os.environ.get("GIT_ALTERNATE_OBJECT_DIRECTORIES")
    behind = [str((git.folder / objects).resolve()), *([others] if others else [])]
    with tempfile.TemporaryDirectory(prefix="gan-patch-") as folder:
        environment = {
            "GIT_INDEX_FILE": f"{folder}/index",
            "GIT_OBJECT_DIRECTORY": folder,
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.pathsep.join(behind),
        }
        if git.output("read-tree", "HEAD", environment=environment) is None:
            return None
        new = "".join(f":(literal){change.name}\0" for change in kept if change.new)
        git.output(*ADD, stdin=os.fsencode(new), environment=environment)
        excluded = [f":(exclude,literal){change.name}" for change in left_out if not change.new]
        return git.output(*DIFF, "--", *BELOW, *excluded, environment=environment)


def is_complete(patch: bytes) -> bool:
    """Whether a patch has all code: only files with secrets that are no code are left out."""
    harmless = LEFT_OUT + SECRET.encode()
    notes = [line for line in patch.split(b"diff --git ")[0].splitlines() if line]
    return all(line.startswith(harmless) for line in notes)


def is_empty(patch: bytes) -> bool:
    """Whether a patch changes no file and only names those left out."""
    return b"diff --git " not in patch
