"""Data sets in one file: parquet as Hugging Face packs pictures, arrays of NumPy.

A row of parquet has the bytes of a picture file; a row of an array is a picture itself, uint8
(N, H, W, C), which is encoded as PNG.
"""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.lib import format as npy
from PIL import Image

from gan.errors import GanError
from pipeline.crawl.public_url import printable

ROWS = 64
"""Rows of parquet that are in memory at a time."""
COLUMNS = ("image", "img", "picture", "jpg", "png", "webp", "bytes", "content")
"""Names of a column of pictures, where a file has several of bytes."""


class UnfitError(GanError):
    """A file that is no archive of pictures: one of labels, or of a kind that is not opened."""


def read_parquet(path: Path, most: int) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each picture, in the order of the rows.

    A column of {bytes, path}, or of bytes. Raises UnfitError where there is none, or where a group
    of rows has over `most` bytes, which would have to fit into memory.
    """
    with pq.ParquetFile(path) as file:
        schema, meta = file.schema_arrow, file.metadata
        column = _find_column(schema)
        if column is None:
            names = printable(", ".join(schema.names))[:200]
            raise UnfitError(f"{path}: no column of pictures among {names}; it must hold bytes")
        sizes = (meta.row_group(group).total_byte_size for group in range(meta.num_row_groups))
        if (largest := max(sizes, default=0)) > most:
            raise UnfitError(f"{path}: a group of rows has {largest} bytes, over {most}")
        row = 0
        for batch in file.iter_batches(batch_size=ROWS, columns=[column]):
            for value in batch.column(0).to_pylist():
                held = value if isinstance(value, dict) else {"bytes": value}
                name = str(held.get("path") or "").replace("\\", "/").rpartition("/")[2]
                if data := held.get("bytes"):
                    yield name or f"{row:08}", data
                row += 1


def _find_column(schema: pa.Schema) -> str | None:
    fit = [field.name for field in schema if _holds_bytes(field.type)]
    return min(fit, key=lambda name: name.lower() not in COLUMNS, default=None)


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return "bytes" in kind.names and _holds_bytes(kind.field("bytes").type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def read_arrays(path: Path, ratio: float) -> Iterator[tuple[str, bytes]]:
    """Name and PNG of each picture in the one array of an npz or npy that holds pictures.

    One picture is in memory at a time. Raises UnfitError where no array is uint8 (N, H, W, C) with
    C of 1, 3 or 4, several are, or it unpacks to more than `ratio` times its size.
    """
    if path.suffix.lower() == ".npy":
        with path.open("rb") as stream:
            yield from _read_pictures(path, stream)
        return
    with zipfile.ZipFile(path) as archive:
        fit = []
        for info in archive.infolist():
            with archive.open(info) as stream:
                if info.filename.endswith(".npy") and _read_shape(stream) is not None:
                    fit.append(info)
        if len(fit) != 1:
            raise UnfitError(f"{path}: {len(fit)} arrays of uint8 (N, H, W, C); it must have one")
        if fit[0].file_size > ratio * max(fit[0].compress_size, 2**20):
            raise UnfitError(f"{path}: unpacks to over {ratio:g} times its size")
        with archive.open(fit[0]) as stream:
            yield from _read_pictures(path, stream)


def _read_pictures(path: Path, stream: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    shape = _read_shape(stream)
    if shape is None:
        raise UnfitError(f"{path}: no array of uint8 (N, H, W, C) with 1, 3 or 4 channels")
    count, *sides = shape
    size = int(np.prod(sides))
    for number in range(count):
        data = stream.read(size)
        if len(data) < size:
            raise ValueError("its array ends early")
        picture = np.frombuffer(data, np.uint8).reshape(sides)
        encoded = io.BytesIO()
        Image.fromarray(picture.squeeze(-1) if sides[-1] == 1 else picture).save(encoded, "PNG")
        yield f"{number:08}.png", encoded.getvalue()


def _read_shape(stream: IO[bytes]) -> tuple[int, ...] | None:
    """The shape that an array's header names; None where it does not hold pictures."""
    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, by_columns, kind = read(stream)
    fits = kind == np.uint8 and len(shape) == 4 and shape[-1] in (1, 3, 4) and not by_columns
    return shape if fits else None
