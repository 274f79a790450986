"""Questions to Git that give up: an answer that does not come in time is none."""

import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

PATIENCE_S = 10.0
ALWAYS = ("--no-optional-locks", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false")
"""Only look: no lock is taken, no hook or daemon of the user's is run."""


class Git:
    """Asks about one folder; all questions together take at most PATIENCE_S."""

    def __init__(self, folder: Path, patience_s: float = PATIENCE_S) -> None:
        self.folder = folder
        self._until = time.monotonic() + patience_s

    def text(self, *arguments: str) -> str | None:
        """What a command prints, without blanks around; None if it fails or takes too long."""
        answer = self.answer(*arguments)
        return None if answer is None else answer.decode("utf-8", "replace").strip()

    def answer(
        self, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None
    ) -> bytes | None:
        """The same as bytes."""
        left = self._until - time.monotonic()
        if left <= 0:
            return None
        try:
            done = subprocess.run(
                ["git", *ALWAYS, *arguments],
                cwd=self.folder,
                input=stdin,
                env={**os.environ, "GIT_TERMINAL_PROMPT": "0", **(environment or {})},
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=left,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout
