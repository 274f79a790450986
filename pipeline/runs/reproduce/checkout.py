"""Folder in which a run is reproduced: its checkout, its data, and its progress."""

import fcntl
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from gan.atomic import write_atomically
from gan.errors import GanError
from pipeline.console import say
from pipeline.runs.lineage.git_history import apply_patch
from pipeline.runs.other_checkout import clean_environment
from pipeline.signals import interrupting

MARKER = Path(".git/gan-reproduce.json")
USER_FOLDERS = ("weights", "pretrained", "faces")
"""Folders whose files the user provides, and Git mostly ignores."""

TERMINATED = 143


@dataclass(frozen=True)
class ReproductionFolder:
    """The folder. identity: run key and commit of the run that is reproduced there."""

    folder: Path
    identity: dict[str, str]

    def is_done(self, step: str) -> bool:
        """Whether a step was completed, maybe before a kill."""
        return step in self._read_marker()["done"]

    def mark_done(self, step: str) -> None:
        """Record that a step is complete, so that the next start skips it."""
        marker = self._read_marker()
        marker["done"].append(step)
        self._write_marker(marker)

    def _read_marker(self) -> dict[str, Any]:
        marker: dict[str, Any] = json.loads((self.folder / MARKER).read_text(encoding="utf-8"))
        return marker

    def _write_marker(self, marker: dict[str, Any]) -> None:
        write_atomically(self.folder / MARKER, json.dumps(marker, indent=1) + "\n")

    def claim(self) -> None:
        """Create the folder, or resume in it; GanError if it is of another run or in use."""
        marker = self.folder / MARKER
        if marker.is_file():
            if self._read_marker()["identity"] != self.identity:
                raise GanError(
                    f"{self.folder}: another run is reproduced there; give a new folder"
                )
            say(f"{self.folder}: resuming")
            return
        if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise GanError(f"{self.folder}: exists already; --to takes a new or empty folder")
        try:
            marker.parent.mkdir(parents=True)
            self._write_marker({"identity": self.identity, "done": []})
        except OSError as error:
            reason = error.strerror or error
            raise GanError(
                f"{self.folder}: can't be created: {reason}; choose another --to"
            ) from None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes out of the folder; GanError if one works in it."""
        with (self.folder / MARKER).with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise GanError(
                    f"{self.folder}: another `gan reproduce` works there; wait for it"
                ) from None
            yield

    def check_out(self, repository: Path, commit: str, patch: Path | None) -> None:
        """Fill the folder with a commit's files and the changes on them; safe to repeat."""
        self._git("init", "--quiet")
        # by its name, since an experiment's commit is on no branch
        fetch = ("fetch", "--quiet", "--no-tags", "--update-shallow", str(repository), commit)
        self._git("-c", "protocol.version=2", *fetch)
        self._git("checkout", "--quiet", "--force", "--detach", commit)
        self._git("clean", "--quiet", "-fd")  # files of a patch that a kill interrupted
        if patch:
            apply_patch(patch, self.folder)

    def _git(self, *arguments: str) -> None:
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            message = (done.stderr.strip() or "no message").splitlines()[-1]
            raise GanError(f"`git {arguments[0]}` in {self.folder} failed: {message}")

    def share(self, root: Path, cache: Path | None) -> None:
        """Use the DVC cache and remotes of the repository at `root`, and its user's files."""
        from dvc.config import Config

        original = Config(str(root / ".dvc"), validate=False)
        committed, local = original.load_one("repo"), original.load_one("local")
        local_file = self.folder / ".dvc/config.local"
        local_file.unlink(missing_ok=True)
        local_file.touch(mode=0o600)  # before it holds passwords of remotes
        with Config(str(self.folder / ".dvc"), validate=False).edit("local") as config:
            config.update(local)
            config["remote"] = committed["remote"] | local["remote"]
            if cache:
                config["cache"] = config["cache"] | {"dir": str(cache)}
        for name in USER_FOLDERS:
            _copy_missing(root / name, self.folder / name)

    def run(self, *command: str) -> None:
        """Run a Python module in the folder, its output passed through; GanError if it fails."""
        with interrupting():
            process = subprocess.Popen(
                [sys.executable, "-m", *command], cwd=self.folder, env=clean_environment()
            )
            code = _wait(process)
        if code != 0:
            raise GanError(
                f"`{' '.join(command)}` in {self.folder} failed (exit code {code}); repair that "
                "and run the same command again, it resumes"
            )


def _copy_missing(folder: Path, target: Path) -> None:
    for file in sorted(folder.rglob("*")) if folder.is_dir() else []:
        copy = target / file.relative_to(folder)
        if file.is_file() and not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)


def _wait(process: "subprocess.Popen[bytes]") -> int:
    """Exit code of a process, which is waited for also when this one is stopped: it has a
    checkpoint to save."""
    try:
        return process.wait()
    except SystemExit as stop:
        if stop.code == TERMINATED:  # Ctrl-C went to the children too
            _terminate_children(process.pid)
        process.wait()
        raise


def _terminate_children(process: int) -> None:
    """Hand a SIGTERM on: DVC would end and leave its stage behind, so the stage first."""
    with suppress(psutil.NoSuchProcess):
        for child in reversed(psutil.Process(process).children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                child.terminate()
