"""Uncommitted changes of a checkout, as a patch for `git apply`.

These are the tracked files that differ from the commit, and the new files of the code. The patch
is made with an index and objects of its own: a training that starts must not disturb what the user
is about to commit.
"""

import os
import tempfile
from collections.abc import Mapping
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
    changes = list_changes(git) or []
    reasons = {change: change.secret or _too_large(root, change) for change in changes}
    patch = b"" if all(reasons.values()) else _diff(git, reasons)
    if patch is None:
        return None
    if len(patch) > MOST_BYTES:
        patch, reasons = b"", {change: why or TOO_LARGE for change, why in reasons.items()}
    notes = (LEFT_OUT + f"{why}: {each.name!a}\n".encode() for each, why in reasons.items() if why)
    return b"".join(notes) + patch or None


def _too_large(root: Path, change: Change) -> str:
    file = root / change.name
    return TOO_LARGE if os.path.lexists(file) and file.lstat().st_size > MOST_BYTES else ""


def _diff(git: Git, reasons: Mapping[Change, str]) -> bytes | None:
    """Diff the files that nothing speaks against, in an index that begins as the commit's."""
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
        kept = [change.name for change, why in reasons.items() if change.new and not why]
        new = "".join(f":(literal){name}\0" for name in kept)
        git.output(*ADD, stdin=os.fsencode(new), environment=environment)
        left_out = [change.name for change, why in reasons.items() if why and not change.new]
        excluded = (f":(exclude,literal){name}" for name in left_out)
        return git.output(*DIFF, "--", *BELOW, *excluded, environment=environment)


def is_complete(patch: bytes) -> bool:
    """Whether a patch has all code: only files with secrets that are no code are left out."""
    harmless = LEFT_OUT + SECRET.encode()
    notes = [line for line in patch.split(b"diff --git ")[0].splitlines() if line]
    return all(line.startswith(harmless) for line in notes)


def is_empty(patch: bytes) -> bool:
    """Whether a patch changes no file and only names those left out."""
    return b"diff --git " not in patch
