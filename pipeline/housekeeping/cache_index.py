"""Columns of a tensor cache's index.parquet."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gan.tensor_cache import damage_error

INDEX = "index.parquet"


def read_index(folder: Path, columns: Sequence[str]) -> pa.Table:
    """These columns of the index; GanError if it can't be read or lacks one."""
    with _open(folder) as file:
        for name in columns:
            if name not in file.schema_arrow.names:
                raise damage_error(folder, f"{INDEX} has no column {name}")
        return file.read(list(columns))


def number_columns(folder: Path) -> list[str]:
    """Names of the columns that hold numbers."""
    with _open(folder) as file:
        return [
            field.name
            for field in file.schema_arrow
            if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        ]


def numbers(table: pa.Table, name: str) -> NDArray[Any]:
    """A column of numbers, NaN for null."""
    return np.asarray(table[name].to_numpy())


def digests(table: pa.Table, name: str) -> NDArray[np.uint8]:
    """A column of 32 bytes each, without gaps, as (n,32) uint8."""
    return np.frombuffer(b"".join(table[name].to_pylist()), np.uint8).reshape(-1, 32)


@contextmanager
def _open(folder: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(folder / INDEX, page_checksum_verification=True) as file:
            yield file
    except FileNotFoundError:
        raise damage_error(folder, f"{INDEX} is missing") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise damage_error(folder, f"{INDEX} cannot be read ({type(error).__name__})") from None
