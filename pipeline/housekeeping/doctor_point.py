"""Result of one check of `gan doctor`."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Point:
    """Result of a check. note: worth knowing, but nothing fails; wrong: something will fail."""

    level: Literal["ok", "note", "wrong"]
    text: str
    remedy: str = ""

    @property
    def line(self) -> str:
        """Line for the terminal."""
        text = " ".join(f"{self.text}; {self.remedy}".split() if self.remedy else [self.text])
        return f"{self.level:<5}  {text}"


def ok(text: str, remedy: str = "") -> Point:
    return Point("ok", text, remedy)


def note(text: str, remedy: str = "") -> Point:
    return Point("note", text, remedy)


def wrong(text: str, remedy: str = "") -> Point:
    return Point("wrong", text, remedy)
