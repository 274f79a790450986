"""Seeded JPEGs for the benchmarks, drawn on all cores, and datasets of pictures."""

import hashlib
import io
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from PIL import Image, ImageDraw

from pipeline.crawl.storage.journal import Journal
from pipeline.crawl.storage.writer import discard, publish
from pipeline.dataset.manifest import ManifestEntry
from pipeline.dataset.reader import Dataset
from pipeline.gallery.painter import tags
from pipeline.preprocessing.workers.pool import usable_cores

BICUBIC = Image.Resampling.BICUBIC
AT_ONCE = 8192  # drawn ahead of whoever takes them, which bounds memory
TAGS = 20  # of a picture, about as many as boards give


@dataclass(frozen=True)
class Style:
    """Pixels, cells of the fine pattern in a entry, its share of the colours, JPEG quality."""

    width: int
    height: int
    cells: int
    share: float
    quality: int


SMALL = Style(96, 96, 48, 0.55, 92)  # about 5.6 kB
LARGE = Style(1000, 1400, 400, 0.178, 88)  # about 295 kB


def draw(number: int, style: Style) -> bytes:
    """A JPEG of smooth colours, a fine pattern and an ellipse; another one for each number."""
    rng = random.Random(number)
    cells = style.cells, style.cells * style.height // style.width
    smooth = Image.frombytes("RGB", (5, 5), rng.randbytes(75)).resize(cells, BICUBIC)
    fine = Image.frombytes("RGB", cells, rng.randbytes(3 * cells[0] * cells[1]))
    image = Image.blend(smooth, fine, style.share).resize((style.width, style.height), BICUBIC)
    x, y = rng.randrange(style.width), rng.randrange(style.height)
    radius = rng.randrange(style.width // 8, style.width // 2)
    corners = (x - radius, y - radius, x + radius, y + radius)
    ImageDraw.Draw(image).ellipse(corners, fill=rng.randrange(1 << 24))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=style.quality)
    return stream.getvalue()


def draw_all(count: int, draw_one: Callable[[int], bytes]) -> Iterator[bytes]:
    """Pictures 0, 1, ... in order, drawn by processes of their own."""
    with get_context("spawn").Pool(usable_cores()) as pool:
        for first in range(0, count, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, count))
            yield from pool.imap(draw_one, numbers, chunksize=64)


def pack(files: Iterable[bytes], root: Path, description: dict[str, object]) -> Dataset:
    """A dataset of `files` at `root`/data, written as a crawl writes one."""
    staging = root / "data.staging"
    with Journal(staging, description) as journal:
        for number, data in enumerate(files):
            journal.add(number, _row(number, data), data)
        dataset = publish(journal, lambda _: description, root / "data", root / "data.old")
    discard(staging)
    return dataset


def _row(number: int, data: bytes) -> ManifestEntry:
    with Image.open(io.BytesIO(data)) as image:
        kind, (width, height) = str(image.format), image.size
    return ManifestEntry(
        page=f"https://example.org/posts/{number}",
        url=f"https://example.org/pictures/{number:08}.jpg",
        tags=(
            *tags(number),
            *(f"tag_number_{number * 7 % (97 + place)}" for place in range(TAGS)),
        ),
        rating="general",
        source="",
        licence="unknown",
        status="ok",
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        format=kind,
        width=width,
        height=height,
    )
