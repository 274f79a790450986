"""One thing that `gan doctor` looked at, as a line."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

MOST_NAMED = 4


@dataclass(frozen=True)
class Point:
    """ok: fine. note: worth knowing, nothing fails. wrong: something will. advice: what to do."""

    level: Literal["ok", "note", "wrong"]
    what: str
    advice: str = ""

    @property
    def line(self) -> str:
        """In the terminal."""
        text = " ".join(f"{self.what}; {self.advice}".split() if self.advice else [self.what])
        return f"{self.level:<5}  {text}"


def ok(what: str) -> Point:
    return Point("ok", what)


def note(what: str, advice: str = "") -> Point:
    return Point("note", what, advice)


def wrong(what: str, advice: str = "") -> Point:
    return Point("wrong", what, advice)


def few(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    rest = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")
