"""Whether `gan preprocess` stays fast and small as the pictures get many.

    python benchmarks/scale.py COUNT [COUNT ...] [--keep FOLDER] [--size 64]

For each COUNT as many JPEGs are drawn and packed into a dataset; then the stage, with params.yaml
as shipped, works on it in a fresh process, and memory of that process and its workers is sampled
from /proc (Linux): RssAnon, which is what they hold themselves, without the pages of files that
the system may drop. Another fresh process then opens the cache and takes the first batch of a
training, and at last every pixel is verified. With --keep everything stays in FOLDER, and the
datasets there are used again. The last line is JSON; its growth is the largest rise of seconds
over n log n from one COUNT to the next.
"""

import argparse
import io
import json
import math
import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import PIL
import yaml
from drawn import Style, draw, draw_all, pack
from PIL import Image
from processes import PREPROCESS, ROOT, finish, run, start

from gan.errors import GanError
from pipeline.dataset.reader import Dataset

FILE_BYTES = 3100  # of a picture of 64 pixels in a shard, its row included
WRITING = 2  # times that while a dataset is made: the journal and what it is packed into
COPIES = 50  # every so many pictures one is a copy of that before, a little worse
PLAIN = 100  # and one is of one colour
FEW, TRIES = 20_000, 3  # where other work on the machine would outweigh this

TRAIN = """
import sys, time
from pathlib import Path
import torch
from gan.training.batches import Batches
from gan.tensor_cache import TensorCache

start = time.perf_counter()
cache = TensorCache.open(Path("cache"))
Batches(cache.split("train"), 1, 64, True, torch.device("cpu"))(0)
seconds = time.perf_counter() - start
cache.verify()
print(seconds)
"""


@dataclass(frozen=True)
class Result:
    """Of one count: seconds of the stage, share that it kept, peaks of RssAnon in MB."""

    count: int
    seconds: float
    survivors: float
    parent_mb: float
    sum_mb: float
    first_batch: float

    @property
    def work(self) -> float:
        """Seconds over n log2 n."""
        return self.seconds / (self.count * math.log2(self.count))


def draw_one(number: int, side: int) -> bytes:
    """A picture; most are unlike all others, some are to be left out."""
    style = Style(side, side, side // 4, 0.5, 85)
    if number % COPIES == COPIES - 1:
        return draw(number - 1, replace(style, quality=60))
    if number % PLAIN == 0:
        return draw_plain(number, side)
    return draw(number, style)


def draw_plain(number: int, side: int) -> bytes:
    """A JPEG of one colour with a trace of a pattern."""
    rng = random.Random(number)
    plain = Image.new("RGB", (side, side), rng.randrange(1 << 24))
    pattern = Image.frombytes("RGB", (8, 8), rng.randbytes(192)).resize((side, side))
    stream = io.BytesIO()
    Image.blend(plain, pattern, 0.04).save(stream, "JPEG", quality=85)
    return stream.getvalue()


def bytes_needed(count: int, size: int) -> tuple[int, int]:
    """What a dataset takes while it is made, and what its cache takes."""
    side = max(64, size)
    return WRITING * FILE_BYTES * count * side**2 // 64**2, count * (3 * size**2 + 200)


def check_space(counts: list[int], size: int, folder: Path, keep: bool) -> None:
    """Say how much room is needed; refuse if the disk lacks it."""
    each = [sum(bytes_needed(count, size)) for count in counts]
    needed, free = sum(each) if keep else max(each), shutil.disk_usage(folder).free
    print(f"up to {needed / 1e9:.1f} GB are needed in {folder}, {free / 1e9:.1f} GB are free")
    if free < 1.05 * needed:
        raise SystemExit(f"{folder}: too little room; free some, or name another with --keep")


def dataset(count: int, size: int, root: Path) -> None:
    """Have a dataset of `count` pictures at `root`, at least as large as the cache's images."""
    side = max(64, size)
    description: dict[str, object] = {"drawn": count, "side": side, "pillow": PIL.__version__}
    try:
        if Dataset.open(root / "data").source == description:
            print(f"{count}: dataset used again")
            return
    except GanError:
        pass
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    begin = time.perf_counter()
    made = pack(draw_all(count, partial(draw_one, side=side)), root, description)
    taken = sum(mark.bytes for mark in made.files.values())
    seconds = time.perf_counter() - begin
    print(f"{count}: dataset drawn and packed in {seconds:.0f} s, {taken / 1e9:.2f} GB")


def family(pid: int) -> Iterator[int]:
    """A process and all below it that still run."""
    yield pid
    try:
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in children.read_text().split():
                yield from family(int(child))
    except OSError:
        return  # it ended meanwhile


def anonymous(pid: int) -> float:
    """MB that a process holds itself; 0 if it has ended."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


@dataclass
class Memory:
    """Peaks in MB of a process, and of it and its workers together."""

    alone: float = 0.0
    together: float = 0.0

    def look(self, pid: int) -> None:
        held = [anonymous(each) for each in family(pid)]
        self.alone, self.together = max(self.alone, held[0]), max(self.together, sum(held))


def measure(count: int, size: int, root: Path, params: Path) -> Result:
    """Make the dataset and time all that comes after it; of several tries the fastest counts."""
    dataset(count, size, root)
    memory, tries = Memory(), []
    for _ in range(TRIES if count <= FEW else 1):
        for made in ("cache", "reports"):
            shutil.rmtree(root / made, ignore_errors=True)
        os.sync()
        process = start(PREPROCESS, root, params)
        seconds, _, kept = finish(process, partial(memory.look, process.pid))
        tries.append(seconds)
    (first_batch,) = run(TRAIN, root)
    print(f"{count}: {min(tries):.1f} s; cache verified")
    return Result(count, min(tries), kept / count, memory.alone, memory.together, first_batch)


def table(results: list[Result]) -> None:
    print("    count  seconds  /(n log n)  kept %  parent MB  sum MB  first batch s")
    for each in results:
        print(
            f"{each.count:9} {each.seconds:8.1f} {each.work / results[0].work:11.2f} "
            f"{100 * each.survivors:7.2f} {each.parent_mb:10.0f} {each.sum_mb:7.0f} "
            f"{each.first_batch:14.3f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("counts", nargs="+", type=int, metavar="COUNT")
    parser.add_argument("--keep", type=Path, metavar="FOLDER")
    parser.add_argument("--size", type=int, default=64, help="pixels of a side of the cache")
    arguments = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder: Path = arguments.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        check_space(arguments.counts, arguments.size, folder, bool(arguments.keep))
        values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        values["preprocess"]["size"] = arguments.size
        params = Path(name) / "params.yaml"
        params.write_text(yaml.safe_dump(values), encoding="utf-8")
        for count in arguments.counts:
            root = folder / str(count)
            results.append(measure(count, arguments.size, root, params))
            if not arguments.keep:
                shutil.rmtree(root)
    table(results)
    summary = {
        "counts": [each.count for each in results],
        "seconds": [round(each.seconds, 2) for each in results],
        "survivors": [round(each.survivors, 4) for each in results],
        "rss_anon_mb": [round(each.sum_mb, 1) for each in results],
        "growth": round(max((b.work / a.work for a, b in pairwise(results)), default=1.0), 3),
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
