"""Tables of provenance beside pictures, in place of sidecars: a line a picture, CSV or JSON Lines.

Their names are tags.csv and tags.jsonl, and those of Hugging Face's ImageFolder. The column
`file_name` names a picture, relative to the table's folder; the other columns are a sidecar's.
"""

import csv
import io
import json
from collections.abc import Iterator
from posixpath import join, normpath
from typing import Any

from pipeline.crawl.archive.gallery_dl import Provenance, find_provenance
from pipeline.crawl.public_url import printable

NAMES = frozenset({"metadata.csv", "metadata.jsonl", "tags.csv", "tags.jsonl"})
MAX_BYTES = 2**29
"""A larger file is no table; a million lines of 30 tags have about that."""

FILE_COLUMNS = ("file_name", "filename", "file", "path", "image")
SEPARATORS = ",\t;"


def is_table(name: str) -> bool:
    """True for the name of a table, with forward slashes."""
    return name.rpartition("/")[2].lower() in NAMES


def read_table(name: str, data: bytes) -> Iterator[tuple[str, Provenance]]:
    """The name of each picture, with the provenance in its line.

    `name` is the table's, with forward slashes. Raises ValueError, which says why, where the table
    can't be read, or a line names no picture.
    """
    folder = name.rpartition("/")[0]
    # decoded as it is read: the whole text would take as much memory again
    lines = io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline="")
    rows = _read_jsonl(lines) if name.lower().endswith(".jsonl") else _read_csv(lines)
    for number, values in rows:
        values = {str(key).strip().lower(): value for key, value in values.items() if key}
        column = next((each for each in FILE_COLUMNS if values.get(each)), None)
        if column is None:
            raise ValueError(f"line {number}: no file_name")
        picture = normpath(join(folder, str(values.pop(column)).strip().replace("\\", "/")))
        yield printable(picture), find_provenance(values)


def _read_jsonl(lines: io.TextIOWrapper) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(lines, start=1):
        try:
            values = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError):
            raise ValueError(f"line {number}: no JSON, or not UTF-8") from None
        if values is not None:
            if not isinstance(values, dict):
                raise ValueError(f"line {number}: no object of JSON")
            yield number, values


def _read_csv(lines: io.TextIOWrapper) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        header = lines.readline()
        separator = max(SEPARATORS, key=header.count)
        names = next(csv.reader([header], delimiter=separator), [])
        rows = csv.DictReader(lines, names, delimiter=separator, strict=True)
        for values in rows:
            yield rows.line_num + 1, values
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{error}") from None
