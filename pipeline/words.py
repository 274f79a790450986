"""What stages and commands tell a person meanwhile: single lines on stderr."""

import sys


def say(text: str) -> None:
    """One line; above the progress bar, where one is shown."""
    sys.stderr.write(f"{text}\n")


def warn(text: str) -> None:
    """One line that begins with `warning:`."""
    say(f"warning: {text}")
