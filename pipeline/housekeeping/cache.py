"""`gan cache`: facts, verification and pictures of a tensor cache."""

import json
import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gan.atomic import open_atomically
from gan.errors import GanError
from gan.tensor_cache import Images, TensorCache
from pipeline.housekeeping.cache_check import check
from pipeline.housekeeping.cache_choice import Choice, Chosen, choose
from pipeline.housekeeping.cache_index import numbers, read_index
from pipeline.pictures.captions import add_caption, fit_into_tile
from pipeline.pictures.contact_sheet import contact_sheet


def info(folder: Path, *, as_json: bool) -> None:
    """Print counts, digests and settings; as JSON: meta.json with `bytes`, the size on disk."""
    cache = TensorCache.open(folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if as_json:
        sys.stdout.write(json.dumps(cache.meta | {"bytes": size}, indent=2) + "\n")
        return
    console = Console()
    console.print(_table(f"{folder}/", _facts(cache, size)))
    for name, title in (("settings", "preprocess in params.yaml"), ("statistics", "statistics")):
        console.print(_table(title, dict(_flat(cache.meta.get(name)))))


def verify(folder: Path) -> None:
    """Read all of a cache and print that it is intact; GanError naming what is damaged."""
    cache = TensorCache.open(folder)
    check(cache)
    count, digest = len(cache.images), cache.digest[:8]
    sys.stdout.write(f"{folder}/: intact; {count:,} images, digest {digest}...\n")


def show(folder: Path, out: Path, choice: Choice) -> None:
    """Draw chosen images on a sheet; with a sort column their values go to stdout."""
    if out.suffix.lower() != ".png":
        raise GanError(f"--out {out}: a sheet is a PNG; end the name in .png")
    if out.resolve().is_relative_to(folder.resolve()):
        raise GanError(f"--out {out}: lies in the cache, which must not change; write elsewhere")
    cache = TensorCache.open(folder)
    chosen = choose(cache, choice)
    columns = math.isqrt(len(chosen.rows) - 1) + 1
    sheet = contact_sheet(_tiles(cache, chosen), columns)
    table = "" if choice.by is None else "".join(_lines(folder, choice.by, chosen, columns))
    with open_atomically(out) as stream:
        sheet.save(stream, format="PNG")
    sys.stdout.write(table)
    sys.stdout.write(f"{out}: {len(chosen.rows):,} of {len(cache.images):,} images\n")


def _tiles(cache: TensorCache, chosen: Chosen) -> Images:
    """The images, enlarged by integer factors, each above its cache row and value."""
    captions = [f"row {row}" for row in chosen.rows]
    if chosen.values is not None:
        pairs = zip(captions, chosen.values, strict=True)
        captions = [f"{_format_number(value)}   {caption}" for caption, value in pairs]
    pictures = (Image.fromarray(image) for image in cache.images[chosen.rows])
    tiles = (
        add_caption(fit_into_tile(picture), caption)
        for picture, caption in zip(pictures, captions, strict=True)
    )
    return np.stack([np.asarray(tile) for tile in tiles])


def _format_number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, np.floating) else str(value)


def _lines(folder: Path, name: str, chosen: Chosen, columns: int) -> Iterator[str]:
    """Tab-separated lines, one an image; the place on the sheet is line:column, from 1."""
    yield f"row\t{name}\tmanifest_row\tplace\n"
    manifest = numbers(read_index(folder, ("row",)), "row")[chosen.rows]
    values = np.asarray(chosen.values)
    for i, (row, value, source) in enumerate(zip(chosen.rows, values, manifest, strict=True)):
        yield f"{row}\t{_format_number(value)}\t{source}\t{i // columns + 1}:{i % columns + 1}\n"


def _facts(cache: TensorCache, size: int) -> dict[str, str]:
    meta, counts = cache.meta, cache.meta["counts"]
    return {
        "images": f"{len(cache.images):,}",
        "splits": f"{counts['train']:,} train, {counts['holdout']:,} holdout",
        "size": f"{cache.size} px",
        "on disk": f"{size / 1e6:,.1f} MB",
        "digest": cache.digest,
        "dataset": _format(meta.get("snapshot", "?")),
        "crop": _format(meta["settings"].get("crop", "?")),
        "filter": _format(meta.get("filter", "?")),
        "versions": ", ".join(f"{name} {value}" for name, value in _flat(meta.get("versions"))),
    }


def _table(title: str, values: Mapping[str, str]) -> Table:
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")  # digests are not cut
    for key, value in values.items():
        table.add_row(Text(key), Text(value))  # a str with [..] would be markup
    return table


def _flat(values: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted keys, as params.yaml and `dvc exp run -S` have them, and values as text."""
    for key, value in values.items() if isinstance(values, dict) else ():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _format(value)


def _format(value: Any) -> str:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, list):
        return ", ".join(_format(each) for each in value)
    return f"{value:.6g}" if isinstance(value, float) else json.dumps(value)
