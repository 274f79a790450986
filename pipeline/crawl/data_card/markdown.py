"""Markdown from numbers and from strangers' words: tables, text bars, code that can't break out.

GitHub's dialect. A stranger's text (a tag, a host, a reason) becomes a code span: in one nothing
is markup, neither HTML nor links nor emphasis, so three characters are all there is to fear: the
backtick that ends it, the bar that ends a table's cell, the backslash that may hide a bar.
"""

import unicodedata
from collections.abc import Iterable, Sequence

BAR_WIDTH = 20
LONGEST = 80
EMPTY = "*(empty)*"

# Lookalikes for people; the card's JSON has the true text.
_LOOKALIKES = str.maketrans({"`": "'", "|": "¦", "\\": "\N{REVERSE SOLIDUS OPERATOR}"})
_EIGHTHS = " ▏▎▍▌▋▊▉"


def code(text: str, longest: int = LONGEST) -> str:
    """Any text as one line of code, shortened to `longest` characters."""
    flat = "".join(_plain(character) for character in text[: 4 * longest])
    flat = " ".join(flat.split()).translate(_LOOKALIKES)
    if len(flat) > longest:
        flat = flat[: longest - 1] + "…"
    return f"`{flat}`" if flat else EMPTY


def _plain(character: str) -> str:
    """A character, or a space for what ends a line, turns the text about or can't be seen."""
    return " " if unicodedata.category(character)[0] in "CZ" else character


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a head that begins with > is of a column of numbers."""
    rules = ["---:" if head.startswith(">") else ":---" for head in heads]
    lines = [[head.removeprefix(">") for head in heads], rules, *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def bars(values: Sequence[float]) -> list[str]:
    """A text bar for each value, the longest for the largest one."""
    most = max(values, default=0)
    return [bar(value / most if most else 0.0) for value in values]


def bar(share: float) -> str:
    """`share` of a full bar, in eighths of a character; a sliver for whatever isn't nothing."""
    eighths = max(round(share * BAR_WIDTH * 8), 1 if share > 0 else 0)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def number(value: float) -> str:
    return f"{value:,}"


def percent(share: float) -> str:
    """A share of 1 in percent, never 0 for something nor 100 for less than all."""
    if 0 < share < 0.001:
        return "<0.1 %"
    if 0.999 < share < 1:
        return ">99.9 %"
    return f"{100 * share:.1f} %"


def share_of(count: int, whole: int) -> str:
    """`count` in percent of `whole`, which may be nothing."""
    return percent(count / whole) if whole else "-"


def size(count: float) -> str:
    """Bytes in the unit that fits, by thousands."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"
