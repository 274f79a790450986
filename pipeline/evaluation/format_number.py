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
        return _use_minus_sign(f"{value:.1e}")
    return _use_minus_sign(f"{value:,.{min(_decimals(value, deviation), MAX_DECIMALS)}f}")


def _decimals(value: float, deviation: float | None) -> int:
    if deviation and math.isfinite(deviation):
        return max(0, 1 - _exponent(deviation))
    return max(0, DIGITS - 1 - _exponent(value)) if value else 0


def _exponent(value: float) -> int:
    return math.floor(math.log10(abs(value)))


def _use_minus_sign(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


def count(number: int | None) -> str:
    """Format 12000 as 12,000."""
    return MISSING if number is None else f"{number:,}"


def percent(share: float) -> str:
    """Format 0.051 as 5.1 %."""
    return f"{share * 100:.1f} %"
