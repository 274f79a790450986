"""GitHub Markdown from numbers: tables, text bars, shares."""

from collections.abc import Iterable, Sequence

BAR_WIDTH = 20

_EIGHTHS = " ▏▎▍▌▋▊▉"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a head that begins with > marks a column of numbers."""
    rules = ["---:" if head.startswith(">") else ":---" for head in heads]
    lines = [[head.removeprefix(">") for head in heads], rules, *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def bars(values: Sequence[float]) -> list[str]:
    """A text bar for each value, the longest for the largest value."""
    most = max(values, default=0)
    return [bar(value / most if most else 0.0) for value in values]


def bar(share: float) -> str:
    """`share` of a full bar, in eighths of a character, at least one for a share above 0."""
    eighths = max(round(share * BAR_WIDTH * 8), 1 if share > 0 else 0)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def number(value: float) -> str:
    """A number with commas between thousands."""
    return f"{value:,}"


def percent(share: float) -> str:
    """A share of 1 in percent, never 0 for more than none nor 100 for less than all."""
    if 0 < share < 0.001:
        return "<0.1 %"
    if 0.999 < share < 1:
        return ">99.9 %"
    return f"{100 * share:.1f} %"


def share_of(count: int, whole: int) -> str:
    """`count` in percent of `whole`; a dash where that is 0."""
    return percent(count / whole) if whole else "-"


def size(count: float) -> str:
    """Bytes in the unit that fits, by thousands."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"
