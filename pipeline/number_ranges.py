"""Choice of numbers: as a person names them (7, 0-63, 1,5,10-12), or evenly spaced."""

import re

from gan.errors import GanError


def parse_ranges(text: str, option: str, most: int) -> list[int]:
    """The numbers of `text` in its order; GanError naming `option` if it is unfit or over `most`.

    The length is checked before a range is spread out, so that a slip costs no memory.
    """
    numbers: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,18})\s*(?:-\s*(\d{1,18})\s*)?", part, re.ASCII)
        if match is None:
            raise GanError(
                f"{option} {text!r}: expected numbers and ranges, such as 0-63 or 1,5,9"
            )
        first = int(match[1])
        last = int(match[2]) if match[2] else first
        if last < first:
            raise GanError(f"{option} {text!r}: the range {first}-{last} goes downwards; turn it")
        if len(numbers) + last - first >= most:
            raise GanError(f"{option} {text!r}: {most:,} numbers at most; name fewer")
        numbers += range(first, last + 1)
    return numbers


def evenly_spaced(length: int, count: int) -> list[int]:
    """At most `count` indices below `length`, evenly from the first to the last."""
    number = min(count, length)
    return [i * (length - 1) // max(1, number - 1) for i in range(number)]
