"""Notices and progress bars on stderr: live in a terminal, a plain line now and then in a log.

Texts of strangers and errors are made fit for one line here.
"""

import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

T = TypeVar("T")

Advance = Callable[[int, object], None]
"""advance(done, note): `done` counts from the start; str(note) is shown beside the bar."""

LOG_EVERY_S = 10.0
SECRET = r"(?i)\b(password|passwd|token|secret|api_key)=[^&\s]+"


def say(text: str) -> None:
    """Print one line on stderr; above the progress bar, where one is shown."""
    sys.stderr.write(f"{text}\n")


def tell(text: str) -> None:
    """Print one line on stdout at once, also into a pipe."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def warn(text: str) -> None:
    """Print one line on stderr that begins with `warning:`."""
    say(f"warning: {text}")


def one_line(text: str) -> str:
    """Make a text fit for one line: spaces for line ends, escapes for lone surrogates."""
    return " ".join(text.encode("utf-8", "backslashreplace").decode().split())


def without_secrets(text: str) -> str:
    """Remove user names and passwords from addresses in a text, also such as are not escaped."""
    text = re.sub(SECRET, r"\1=...", text)
    return re.sub(r"//(?:[^/\s]*@|[^/@\s:]+:(?!\d+/)[^@\s]*@)", "//", text)


def short(error: Exception) -> str:
    """Kind and first line of an error."""
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}"[:240]


def count_noun(number: int, noun: str) -> str:
    """Word a number and its noun, such as `1 sidecar` or `7 sidecars`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def list_first(names: Sequence[str], most: int = 4) -> str:
    """The first names, and how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


@contextmanager
def progress(title: str, total: int | None) -> Iterator[Advance]:
    """Show how far a job of `total` items (None: unknown) is; yields advance(done, note)."""
    live = sys.stderr.isatty()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False, table_column=Column(overflow="fold")),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not live) as bars:
        bars.add_task(title, total=total, note="")
        (task,) = bars.tasks
        last, unsaid = time.monotonic(), False

        def advance(done: int, note: object) -> None:
            nonlocal last, unsaid
            bars.update(task.id, completed=done, note=note)
            now, unsaid = time.monotonic(), not live
            if unsaid and (now - last >= LOG_EVERY_S or (total is not None and done >= total)):
                last, unsaid = now, False
                say(_describe(task))

        try:
            yield advance
        finally:
            if unsaid:
                say(_describe(task))


def _describe(task: Task) -> str:
    of = "" if task.total is None else f"/{task.total:.0f}"
    left = f" ({timedelta(seconds=task.time_remaining)} left)" if task.time_remaining else ""
    return f"{task.description}: {task.completed:.0f}{of}{left} {task.fields['note']}".rstrip()


def track(items: Iterable[T], title: str, total: int) -> Iterator[T]:
    """Iterate over `items` under a progress bar."""
    with progress(title, total) as advance:
        for done, item in enumerate(items, start=1):
            yield item
            advance(done, "")
