"""Numbers as text, with the digits that are significant."""

import math

MISSING = "\N{EN DASH}"
DIGITS = 4
"""Significant digits of a number without a deviation."""

MAX_DECIMALS = 6
TINY = 1e-4
"""Smaller numbers are written in scientific notation."""


def figure(value: float | None, deviation: float | None = None) -> str:
    """Format `value` to the second significant digit of its `deviation`, or to four of its own."""
    if value is None:
        return MISSING
    if not math.isfinite(value):
        return str(value)
    if 0 < abs(value) < TINY:
        text = f"{value:.1e}"
    else:
        known = deviation and math.isfinite(deviation)
        digits, size = (2, deviation) if known else (DIGITS, value)
        decimals = digits - 1 - math.floor(math.log10(abs(size))) if size else 0
        text = f"{value:,.{min(max(0, decimals), MAX_DECIMALS)}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def count(number: int | None) -> str:
    """Format 12000 as 12,000."""
    return MISSING if number is None else f"{number:,}"


def percent(share: float) -> str:
    """Format 0.051 as 5.1 %."""
    return f"{share * 100:.1f} %"
