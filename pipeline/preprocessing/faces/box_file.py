"""Box file: faces that another tool has found, one picture a line.

JSONL in UTF-8. A line is an object that names a picture by `sha256` (of the file, 64 hex digits)
or `url` (as in manifest.jsonl), and its `boxes`: a list of [x, y, width, height] or
[x, y, width, height, score], in pixels of the full picture, turned upright as EXIF says. A box
without a score has 1. `"boxes": []` means no face. Other keys are ignored.

    {"sha256": "5f16…", "boxes": [[212, 80, 164, 171, 0.93], [530, 95, 150, 160, 0.88]]}
    {"url": "/images/17.jpg", "boxes": [[40, 31, 64, 64]]}
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan.errors import GanError
from pipeline.preprocessing.faces.box import Box, Picture

SHA256 = re.compile(r"[0-9a-f]{64}")


class ListedFaces:
    """A finder that returns the boxes listed for a picture."""

    def find(self, picture: Picture) -> list[Box]:
        """The listed boxes, in the order of the file."""
        return list(picture.listed)


@dataclass(frozen=True)
class BoxFile:
    """All lines of a box file, by sha256 or URL of the picture."""

    path: Path
    boxes: dict[str, tuple[Box, ...]]

    @staticmethod
    def read(path: Path) -> "BoxFile":
        """Read a box file; GanError names a line that is invalid, or that repeats a picture."""
        found: dict[str, tuple[Box, ...]] = {}
        lines: dict[str, int] = {}
        for number, line in _lines(path):
            try:
                name, boxes = _parse(line)
            except ValueError as error:
                raise GanError(f"{path}:{number}: {error}") from None
            if name in found:
                raise GanError(
                    f"{path}:{number}: the picture of line {lines[name]} again; put all boxes of "
                    "a picture on one line"
                )
            found[name], lines[name] = boxes, number
        if not found:
            raise GanError(f"{path}: no line names a picture")
        return BoxFile(path, found)

    def find(self, *names: str) -> tuple[Box, ...] | None:
        """Boxes of a picture by the first of its names (sha256, URL) that is listed, else None."""
        for name in names:
            if name in self.boxes:
                return self.boxes[name]
        return None


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield number, line
    except UnicodeDecodeError:
        raise GanError(f"{path}: not UTF-8 text") from None


def _parse(line: str) -> tuple[str, tuple[Box, ...]]:
    try:
        values = json.loads(line)
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ValueError("not an object with `sha256` or `url`, and `boxes`")
    boxes = values.get("boxes")
    if not isinstance(boxes, list):
        raise ValueError("`boxes` must be a list of [x, y, width, height] or with a score behind")
    return _name(values), tuple(_box(each) for each in boxes)


def _name(values: dict[str, Any]) -> str:
    sha256, url = values.get("sha256"), values.get("url")
    if isinstance(sha256, str) and SHA256.fullmatch(sha256.lower()):
        return sha256.lower()
    if sha256 is None and isinstance(url, str) and url:
        return url
    raise ValueError("names no picture: `sha256` (64 hex digits) or `url` must be there")


def _box(values: Any) -> Box:
    numbers = values if isinstance(values, list) else []
    if len(numbers) not in (4, 5) or not all(_is_number(each) for each in numbers):
        raise ValueError(f"{_short(values)} is not [x, y, width, height] or with a score behind")
    box = Box(*(float(each) for each in numbers))
    if box.width <= 0 or box.height <= 0:
        raise ValueError(f"{_short(values)}: width and height must be more than 0")
    return box


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _short(value: Any) -> str:
    return json.dumps(value)[:80]
