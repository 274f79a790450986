"""`gan cache`: facts, verification and pictures of a tensor cache."""

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml
from numpy.typing import NDArray
from PIL import Image

from gan.atomic import open_atomically
from gan.errors import GanError
from gan.tensor_cache import TensorCache, cache_digest, damage_error
from pipeline.console import list_first, one_line, progress, tell
from pipeline.number_ranges import evenly_spaced, parse_ranges
from pipeline.pictures.captions import add_caption, fit_into_tile
from pipeline.pictures.contact_sheet import contact_sheet

INDEX = "index.parquet"
SCHEMA = pa.schema(
    [
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("pixels", pa.binary(32), nullable=False),
    ]
)
"""Columns that `verify` compares."""

COUNT = 64  # of `show`
MOST = 1024  # a sheet of them still opens in a viewer

Rows = NDArray[np.intp]


def info(folder: Path, *, as_json: bool) -> None:
    """Print counts, digests and settings; as JSON: meta.json with `bytes`, the size on disk."""
    cache = TensorCache.open(folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if as_json:
        tell(json.dumps(cache.meta | {"bytes": size}, indent=2))
        return
    first = {"folder": str(folder), "images": len(cache.images), "bytes": size}
    # six digits of each number are enough to read
    values = json.loads(
        json.dumps(first | cache.meta), parse_float=lambda number: float(f"{float(number):.6g}")
    )
    text = yaml.safe_dump(values, sort_keys=False, default_flow_style=None, allow_unicode=True)
    tell(text.rstrip())


def verify(folder: Path) -> None:
    """Read all of a cache and print that it is intact; GanError naming what is damaged."""
    cache = TensorCache.open(folder)
    with _reading_index(folder) as file:
        index = file.read(SCHEMA.names).cast(SCHEMA)
    _check_splits(cache, index)
    cache.verify_labels()
    count, parts, done = len(cache.images), [], 0
    with progress("cache verify", count) as advance:
        for part in cache.iter_pixel_digests():
            parts.append(part)
            done += len(part)
            if done < count:
                advance(done, "")
        listed = np.frombuffer(b"".join(index["pixels"].to_pylist()), np.uint8).reshape(-1, 32)
        _check_pixels(cache, np.concatenate(parts), listed)
        advance(count, "")  # only now: the log of a damaged cache does not end with all images
    tell(f"{folder}/: intact; {count:,} images, digest {cache.digest[:8]}...")


@contextmanager
def _reading_index(folder: Path) -> Iterator[pq.ParquetFile]:
    """The index; GanError if it can't be read or lacks a column."""
    try:
        with pq.ParquetFile(folder / INDEX, page_checksum_verification=True) as file:
            yield file
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise damage_error(folder, f"{INDEX}: cannot be read ({one_line(str(error))})") from None


def _check_length(cache: TensorCache, index: pa.Table) -> None:
    if len(index) != len(cache.images):
        listed = f"{INDEX} lists {len(index):,} images"
        raise damage_error(cache.folder, f"{listed}, images.npy holds {len(cache.images):,}")


def _check_splits(cache: TensorCache, index: pa.Table) -> None:
    """Check that the splits are those of meta.json, and that no file is in both."""
    _check_length(cache, index)
    train, files = cache.meta["counts"]["train"], index["sha256"].combine_chunks()
    expected = np.where(np.arange(len(index)) < train, "train", "holdout")
    if (wrong := np.flatnonzero(index["split"].to_numpy() != expected)).size:
        fault = f"another split than meta.json says in {_name_rows(wrong)}"
        raise damage_error(cache.folder, f"{INDEX}, column split: {fault}")
    in_both = pc.is_in(files[train:], value_set=files[:train]).to_numpy(zero_copy_only=False)
    if (wrong := train + np.flatnonzero(in_both)).size:
        fault = f"a file that is also in the other split in {_name_rows(wrong)}"
        raise damage_error(cache.folder, f"{INDEX} has {fault}")


def _check_pixels(
    cache: TensorCache, computed: NDArray[np.uint8], listed: NDArray[np.uint8]
) -> None:
    """Compare digests of images.npy, the index and meta.json; GanError naming the one file that
    differs from the other two."""
    wrong = np.flatnonzero((computed != listed).any(axis=1))
    of_images, of_index = (
        cache_digest(pixels, cache.meta["settings"], cache.meta["counts"]) == cache.digest
        for pixels in (computed, listed)
    )
    if of_images and not wrong.size:
        return
    if of_images:
        problem = f"{INDEX}: other digests than the images' in {_name_rows(wrong)}"
    elif of_index:
        problem = f"images.npy: other pixels than were written in {_name_rows(wrong)}"
    elif wrong.size:
        problem = f"images.npy, {INDEX} and meta.json do not agree; pixels of {_name_rows(wrong)}"
    else:
        problem = "meta.json: its digest is not that of the images, settings and counts"
    raise damage_error(cache.folder, problem)


def _name_rows(rows: Rows) -> str:
    return f"{'row' if len(rows) == 1 else 'rows'} {list_first([str(row) for row in rows])}"


def show(
    folder: Path,
    out: Path,
    *,
    count: int | None = None,
    split: str = "all",
    by: str | None = None,
    first: bool = False,
    last: bool = False,
    rows: str | None = None,
) -> None:
    """Draw chosen images on a sheet; with a column `by` their values go to stdout.

    count: at most; None for COUNT, or all that `rows`, such as "0-15,99", names. first, last: only
    the lowest or highest values. GanError if no image fits.
    """
    if out.suffix.lower() != ".png":
        raise GanError(f"--out {out}: a sheet is a PNG; end the name in .png")
    if out.resolve().is_relative_to(folder.resolve()):
        raise GanError(f"--out {out}: lies in the cache, which must not change; write elsewhere")
    if (first and last) or ((first or last) and by is None):
        raise GanError("--first or --last goes with --by COLUMN; give one of them and --by")
    cache = TensorCache.open(folder)
    chosen, texts = _list_rows(cache, split, rows), []
    number = count or (COUNT if rows is None else len(chosen))
    if by is None:
        chosen = chosen[evenly_spaced(len(chosen), number)]
    else:
        chosen, values = _sort(cache, chosen, by)
        places = evenly_spaced(len(chosen), number)
        if first or last:
            places = list(range(len(chosen)))[slice(number) if first else slice(-number, None)]
        chosen, texts = chosen[places], [_format(value) for value in values[places]]
    columns = math.isqrt(len(chosen) - 1) + 1
    table = "".join(_list_values(folder, str(by), chosen, texts, columns)) if texts else ""
    with open_atomically(out) as stream:
        _draw(cache, chosen, texts, columns).save(stream, format="PNG")
    tell(f"{table}{out}: {len(chosen):,} of {len(cache.images):,} images")


def _list_rows(cache: TensorCache, split: str, rows: str | None) -> Rows:
    """Cache rows to choose from, in the order of `rows`."""
    count, train = len(cache.images), cache.meta["counts"]["train"]
    start, end = {"train": (0, train), "holdout": (train, count), "all": (0, count)}[split]
    pool: Rows = np.arange(count) if rows is None else np.array(parse_ranges(rows, "--rows", MOST))
    if pool.max() >= count:
        raise GanError(f"--rows {rows!r}: no row {pool.max()}; the cache has rows 0-{count - 1}")
    pool = pool[(start <= pool) & (pool < end)]
    if not pool.size:
        raise GanError(f"{cache.folder}: no image is in the split {split}; take another")
    return pool


def _sort(cache: TensorCache, pool: Rows, column: str) -> tuple[Rows, NDArray[Any]]:
    """Rows of the pool whose value is known, from the lowest on, and their values."""
    with _reading_index(cache.folder) as file:
        numbers = [
            field.name
            for field in file.schema_arrow
            if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        ]
        table = file.read([column])
    if column not in numbers:
        raise GanError(f"--by {column}: no column of numbers; choose one of {', '.join(numbers)}")
    _check_length(cache, table)
    values = table[column].to_numpy()[pool]
    order = np.argsort(values, kind="stable")
    order = order[~np.isnan(values[order])]
    if not order.size:
        raise GanError(
            f"{cache.folder}: {column} was not measured for these images; choose another --by"
        )
    return pool[order], values[order]


def _format(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, np.floating) else str(value)


def _list_values(
    folder: Path, name: str, rows: Rows, values: Sequence[str], columns: int
) -> Iterator[str]:
    """Tab-separated lines, one an image; the place on the sheet is line:column, from 1."""
    with _reading_index(folder) as file:
        entries = file.read(["row"])["row"].to_numpy()[rows]
    yield f"row\t{name}\tmanifest_row\tplace\n"
    for i, (row, value, entry) in enumerate(zip(rows, values, entries, strict=True)):
        yield f"{row}\t{value}\t{entry}\t{i // columns + 1}:{i % columns + 1}\n"


def _draw(cache: TensorCache, rows: Rows, values: Sequence[str], columns: int) -> Image.Image:
    """The images, enlarged by integer factors, each above its cache row and value."""
    tiles = []
    for i, row in enumerate(rows):
        caption = f"{values[i]}   row {row}" if values else f"row {row}"
        picture = fit_into_tile(Image.fromarray(cache.images[row]))
        tiles.append(np.asarray(add_caption(picture, caption)))
    return contact_sheet(np.stack(tiles), columns)
