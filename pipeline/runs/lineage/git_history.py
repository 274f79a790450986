"""Git's history: commits of runs, and their files."""

import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gan.errors import GanError
from pipeline.runs.lineage.unpack_tar import unpack_tar
from pipeline.runs.other_checkout import clean_environment
from pipeline.tracking.provenance.git import Git

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
        path = self._text("rev-parse", "--show-toplevel")
        return Path(path) if path else None

    def has(self, commit: str) -> bool:
        """Whether the repository has the commit of this full name."""
        return bool(COMMIT.fullmatch(commit)) and self._bytes("cat-file", "-e", commit) is not None

    def find_record(self, run_key: str) -> str | None:
        """The oldest commit with metrics of the run, DVC's experiments included."""
        short = run_key[:16]
        found = self._text("log", "--all", "--reverse", f"-S{short}", "--format=%H", "--", RECORD)
        for commit in (found or "").split():
            if short in (self.read(commit, RECORD) or ""):
                return commit
        return None

    def read(self, commit: str, path: str) -> str | None:
        """Text of a commit's file; None if the commit does not have it."""
        content = self._bytes("cat-file", "blob", f"{commit}:{path}")
        return None if content is None else content.decode(errors="replace")

    @contextmanager
    def extract(self, commit: str, patch: Path | None) -> Iterator[Path]:
        """A temporary folder with a commit's files, patched; GanError if that is not possible."""
        packed = self._bytes("archive", commit)
        if packed is None:
            raise GanError(f"commit {commit}: its files can't be read; `git fsck` says more")
        with tempfile.TemporaryDirectory(prefix="gan-") as folder:
            unpack_tar(packed, Path(folder))
            if patch:
                apply_patch(patch, Path(folder))
            yield Path(folder)

    def _text(self, *arguments: str) -> str | None:
        return Git(self.folder, PATIENCE_S).text(*arguments)

    def _bytes(self, *arguments: str) -> bytes | None:
        return Git(self.folder, PATIENCE_S).output(*arguments)


def apply_patch(patch: Path, folder: Path) -> None:
    """Apply a patch to the files in a folder, in a repository or not; GanError if it fails."""
    if b"diff --git " not in patch.read_bytes():
        return  # Git refuses a patch without content
    # inside another repository, Git would take the paths for that one's
    environment = clean_environment() | {"GIT_CEILING_DIRECTORIES": str(folder.resolve().parent)}
    done = subprocess.run(
        ["git", "apply", "--whitespace=nowarn", str(patch.resolve())],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        message = (done.stderr.strip() or "no message").splitlines()[0]
        raise GanError(
            f"{patch.name}: the run's uncommitted changes do not fit its commit: {message}"
        )
