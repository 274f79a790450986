"""What a crawl tells a person on stderr: single lines, and numbers with their noun."""

import sys


def say(text: str) -> None:
    """One line; above the progress bar, where one is shown."""
    sys.stderr.write(f"{text}\n")


def counted(number: int, noun: str) -> str:
    """Such as `1 sidecar` or `7 sidecars`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
