"""How keys of metrics call what the user compares with."""

import re

LONGEST = 24  # characters of a name; the digest tells apart what is cut off


def tag_of(name: str, digest: str) -> str:
    """`vs_<name>_<8 digits of digest>`, the name in letters, digits and dashes only."""
    cleaned = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:LONGEST].strip("-")
    return "_".join(part for part in ("vs", cleaned, digest[:8]) if part)
