"""The repository's history as far as lineage asks for it; every question has a quiet answer."""

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
class Commits:
    """Git's objects as seen from a folder, which may lie in no repository."""

    folder: Path

    @property
    def top(self) -> Path | None:
        """The repository's own folder."""
        said = self._text("rev-parse", "--show-toplevel")
        return Path(said) if said else None

    def has(self, commit: str) -> bool:
        """Whether this commit's objects are here; what is no full name is not."""
        return bool(COMMIT.fullmatch(commit)) and self._bytes("cat-file", "-e", commit) is not None

    def recorded(self, run_key: str) -> str | None:
        """The oldest commit whose metrics are of a run, those of DVC's experiments included."""
        needle = run_key[:16]
        found = self._text("log", "--all", "--reverse", f"-S{needle}", "--format=%H", "--", RECORD)
        for commit in (found or "").split():
            if needle in (self.read(commit, RECORD) or ""):
                return commit
        return None

    def read(self, commit: str, path: str) -> str | None:
        """A file of a commit; None if it has no such file."""
        content = self._bytes("cat-file", "blob", f"{commit}:{path}")
        return None if content is None else content.decode(errors="replace")

    @contextmanager
    def extracted(self, commit: str, patch: Path | None) -> Iterator[Path]:
        """A commit's files with a patch on them, until the block ends; GanError if it can't."""
        packed = self._bytes("archive", commit)
        if packed is None:
            raise GanError(f"commit {commit}: its files can't be read; `git fsck` says more")
        with tempfile.TemporaryDirectory(prefix="gan-") as folder:
            unpack_tar(packed, Path(folder))
            if patch:
                apply(patch, Path(folder))
            yield Path(folder)

    def _text(self, *arguments: str) -> str | None:
        return Git(self.folder, PATIENCE_S).text(*arguments)

    def _bytes(self, *arguments: str) -> bytes | None:
        return Git(self.folder, PATIENCE_S).answer(*arguments)


def apply(patch: Path, folder: Path) -> None:
    """Put a patch onto the files in a folder, whether it is a repository or not; GanError."""
    if b"diff --git " not in patch.read_bytes():
        return  # Git refuses a patch without content
    # a folder inside another repository would have its paths taken for that one's
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
        words = (done.stderr.strip() or "no message").splitlines()[0]
        raise GanError(f"the run's uncommitted changes do not fit its commit: {words}")
