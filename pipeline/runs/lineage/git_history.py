"""Git's history: commits of runs, and their files."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gan.errors import GanError
from pipeline.runs.other_checkout import call
from pipeline.tracking.provenance.git import Git
from pipeline.tracking.provenance.uncommitted import is_empty

COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
PATIENCE_S = 120.0  # a long history is searched for a run
RECORD = "reports/metrics.json"


@dataclass(frozen=True)
class GitHistory:
    """History of the repository around a folder; empty outside of one."""

    folder: Path

    @property
    def top(self) -> Path | None:
        """Top folder of the repository; None outside of one."""
        path = self._git.text("rev-parse", "--show-toplevel")
        return Path(path) if path else None

    def has(self, commit: str) -> bool:
        """Whether the repository has the commit of this full name."""
        return self._git.output("cat-file", "-e", commit) is not None

    def find_record(self, run_key: str) -> str | None:
        """The oldest commit with metrics of the run, DVC's experiments included."""
        short = run_key[:16]
        search = ("log", "--all", "--reverse", f"-S{short}", "--format=%H", "--", RECORD)
        for commit in (self._git.text(*search) or "").split():
            if short in (self.read(commit, RECORD) or ""):
                return commit
        return None

    def read(self, commit: str, path: str) -> str | None:
        """Text of a commit's file; None if the commit does not have it."""
        content = self._git.output("cat-file", "blob", f"{commit}:{path}")
        return None if content is None else content.decode(errors="replace")

    @contextmanager
    def extract(self, commit: str, patch: bytes | None) -> Iterator[Path]:
        """A temporary folder with a commit's files, patched; GanError if that is not possible."""
        packed = self._git.output("archive", commit)
        if packed is None:
            raise GanError(f"commit {commit}: its files can't be read; `git fsck` says more")
        with tempfile.TemporaryDirectory(prefix="gan-") as folder:
            call(Path(folder), "tar", "-xf", "-", stdin=packed)
            apply_patch(patch, Path(folder))
            yield Path(folder)

    @property
    def _git(self) -> Git:
        return Git(self.folder, PATIENCE_S)


def apply_patch(patch: bytes | None, folder: Path) -> None:
    """Apply a patch to the files in a folder, in a repository or not; GanError if it fails."""
    if patch and not is_empty(patch):  # Git refuses a patch without content
        # inside another repository, Git would take the paths for that one's
        ceiling = str(folder.resolve().parent)
        command = ("git", "apply", "--whitespace=nowarn", "-")
        call(folder, *command, stdin=patch, GIT_CEILING_DIRECTORIES=ceiling)
