"""Box file: faces that another tool has found, one picture a line.

JSONL in UTF-8. A line is an object that names a picture by `sha256` (of the file, 64 hex digits)
or `url` (as in manifest.jsonl), and its `boxes`: a list of [x, y, width, height] or
[x, y, width, height, score], in pixels of the full picture, turned upright as EXIF says. A box
without a score has 1. `"boxes": []` means no face. Other keys are ignored.

    {"sha256": "5f16…", "boxes": [[212, 80, 164, 171, 0.93], [530, 95, 150, 160, 0.88]]}
    {"url": "/images/17.jpg", "boxes": [[40, 31, 64, 64]]}
"""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from gan.errors import GanError
from pipeline.faces.box import Box

FORM = '{"sha256" (64 hex digits) or "url": ..., "boxes": [[x, y, width, height, score], ...]}'

Boxes = dict[str, tuple[Box, ...]]
"""Boxes of pictures by sha256 or URL."""


def _check_sides(box: list[float]) -> list[float]:
    if min(box[2:4]) <= 0:
        raise ValueError("width and height must be more than 0")
    return box


Number = Annotated[float, Field(allow_inf_nan=False)]
Numbers = Annotated[list[Number], Field(min_length=4, max_length=5), AfterValidator(_check_sides)]


class _Line(BaseModel, strict=True):
    sha256: Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")] | None = None
    url: Annotated[str, Field(min_length=1)] | None = None
    boxes: list[Numbers]

    @property
    def name(self) -> str:
        return self.sha256.lower() if self.sha256 else self.url or ""


def read_boxes(path: Path) -> Boxes:
    """Read a box file; GanError names a line that is invalid, or that repeats a picture."""
    found: Boxes = {}
    lines: dict[str, int] = {}
    try:
        with path.open(encoding="utf-8") as stream:
            for number, text in enumerate(stream, start=1):
                if text.strip():
                    line = _parse(text, f"{path}:{number}")
                    if line.name in found:
                        raise GanError(
                            f"{path}:{number}: the picture of line {lines[line.name]} again; put "
                            "all boxes of a picture on one line"
                        )
                    found[line.name] = tuple(Box(*box) for box in line.boxes)
                    lines[line.name] = number
    except UnicodeDecodeError:
        raise GanError(f"{path}: not UTF-8 text") from None
    if not found:
        raise GanError(f"{path}: no line names a picture")
    return found


def _parse(text: str, place: str) -> _Line:
    try:
        line = _Line.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        problem = f"{key} = {first['input']!r:.80}: {first['msg']}" if key else first["msg"]
        raise GanError(f"{place}: {problem}; a line is {FORM}") from None
    if not line.name:
        raise GanError(f"{place}: names no picture by sha256 or url; a line is {FORM}")
    return line
