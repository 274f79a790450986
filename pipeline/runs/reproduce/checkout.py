"""A folder in which a run is made again: commit, changes, data, and how far it has come."""

import fcntl
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import psutil

from gan.atomic import write_atomically
from gan.errors import GanError
from pipeline.console import say
from pipeline.runs.lineage.git_history import apply
from pipeline.runs.other_checkout import clean_environment

MARKER = Path(".git/gan-reproduce.json")
BROUGHT = ("weights", "pretrained", "faces")
"""Folders whose files people put there, and Git mostly ignores."""

TERMINATED = 143


@dataclass(frozen=True)
class Again:
    """The folder. identity: of the run that is made again there, in plain values."""

    folder: Path
    identity: dict[str, str]

    def done(self, step: str) -> bool:
        return step in self._state()["done"]

    def mark(self, step: str) -> None:
        """Remember that a step is done, so that the same command goes on behind it."""
        state = self._state()
        state["done"].append(step)
        self._write(state)

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.folder / MARKER).read_text(encoding="utf-8"))
        return state

    def _write(self, state: dict[str, Any]) -> None:
        write_atomically(self.folder / MARKER, json.dumps(state, indent=1) + "\n")

    def claim(self) -> None:
        """Make the folder this run's own, or find that it is; GanError if it is anything else."""
        marker = self.folder / MARKER
        if marker.is_file():
            if self._state()["identity"] != self.identity:
                raise GanError(
                    f"{self.folder}: another run is made again there; give a new folder"
                )
            say(f"{self.folder}: going on")
            return
        if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise GanError(f"{self.folder}: is there already; --to names a new or empty folder")
        try:
            marker.parent.mkdir(parents=True)
            self._write({"identity": self.identity, "done": []})
        except OSError as error:
            raise GanError(f"{self.folder}: can't be made: {error.strerror or error}") from None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No second process in the folder; GanError if there is one."""
        with (self.folder / MARKER).with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise GanError(f"{self.folder}: `gan reproduce` runs there already") from None
            yield

    def check_out(self, repository: Path, commit: str, patch: Path | None) -> None:
        """Fill the folder with a commit's files and the changes on them; safe to repeat."""
        self._git("init", "--quiet")
        # by its name, since an experiment's commit is on no branch
        fetch = ("fetch", "--quiet", "--no-tags", "--update-shallow", str(repository), commit)
        self._git("-c", "protocol.version=2", *fetch)
        self._git("checkout", "--quiet", "--force", "--detach", commit)
        self._git("clean", "--quiet", "-fd")  # of a patch that a kill interrupted
        if patch:
            apply(patch, self.folder)

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
            words = (done.stderr.strip() or "no message").splitlines()[-1]
            raise GanError(f"`git {arguments[0]}` in {self.folder} failed: {words}")

    def share(self, root: Path, cache: Path | None) -> None:
        """Use the repository's DVC cache and remotes, and what a person brought to it."""
        from dvc.config import Config

        there = Config(str(root / ".dvc"), validate=False)
        committed, local = there.load_one("repo"), there.load_one("local")
        local_file = self.folder / ".dvc/config.local"
        local_file.unlink(missing_ok=True)
        local_file.touch(mode=0o600)  # before it holds passwords of remotes
        with Config(str(self.folder / ".dvc"), validate=False).edit("local") as own:
            own.update(local)
            own["remote"] = committed["remote"] | local["remote"]
            if cache:
                own["cache"] = own["cache"] | {"dir": str(cache)}
        for name in BROUGHT:
            _bring(root / name, self.folder / name)

    def runs(self, *command: str) -> None:
        """Run a program of Python's in the folder, its output passing through; GanError."""
        with _telling_children():
            process = subprocess.Popen(
                [sys.executable, "-m", *command], cwd=self.folder, env=clean_environment()
            )
            code = _waited(process)
        if code != 0:
            raise GanError(
                f"`{' '.join(command)}` in {self.folder} failed (exit code {code}); the same "
                "command goes on when that is mended"
            )


def _bring(here: Path, there: Path) -> None:
    for file in sorted(here.rglob("*")) if here.is_dir() else []:
        target = there / file.relative_to(here)
        if file.is_file() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)


@contextmanager
def _telling_children() -> Iterator[None]:
    """A SIGTERM to this process becomes SystemExit, so that it can be handed on."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(TERMINATED)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _waited(process: "subprocess.Popen[bytes]") -> int:
    """Exit code; who is stopped waits for its child, which has something to save."""
    try:
        return process.wait()
    except KeyboardInterrupt:  # Ctrl-C went to the child too
        process.wait()
        raise
    except SystemExit:
        # DVC would end and leave its stage behind: the stage first
        for child in reversed(psutil.Process(process.pid).children(recursive=True)):
            child.terminate()
        process.wait()
        raise
