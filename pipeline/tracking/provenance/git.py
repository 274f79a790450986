"""Git queries with a timeout: an answer that does not come in time is None."""

import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

TIMEOUT_S = 10.0
ALWAYS = ("--no-optional-locks", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false")
"""Read-only: no lock is taken, no hook or daemon of the user's is run."""


class Git:
    """Git queries about one folder; all of them together take at most `timeout_s`."""

    def __init__(self, folder: Path, timeout_s: float | None = None) -> None:
        """timeout_s: None for TIMEOUT_S."""
        self.folder = folder
        self._deadline = time.monotonic() + (TIMEOUT_S if timeout_s is None else timeout_s)

    def text(self, *arguments: str) -> str | None:
        """Output of a command, stripped; None if it fails or takes too long."""
        output = self.output(*arguments)
        return None if output is None else output.decode("utf-8", "replace").strip()

    def output(
        self, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None
    ) -> bytes | None:
        """Output of a command as bytes; None if it fails or takes too long."""
        left = self._deadline - time.monotonic()
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
