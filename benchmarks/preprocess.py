"""How fast `gan preprocess` is beside torchvision's ImageFolder, and how near to what is possible.

    python benchmarks/preprocess.py [SMALL] [--large 1000] [--rounds 3]

SMALL is a folder or tar of small JPEGs; without it 16,797 of 96 pixels are drawn. The large ones,
1000x1400, are always drawn. In turns, each in a fresh process that tells its time without imports:

peer   ImageFolder in one process, the same filter and size, every image put into one array
ours   the whole stage on all cores, snapshot verified, cache and reports on the disk, with filters
       and near duplicates off, and, on the small ones, on as in params.yaml
limit  decoding and measuring alone, by as many processes, results thrown away (limit.py)

Ratios are medians over the rounds. The last line is JSON.
"""

import argparse
import json
import os
import shutil
import statistics
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import yaml
from drawn import LARGE, SMALL, draw, draw_all, pack
from processes import PREPROCESS, ROOT, run

COUNT = 16_797
SAMPLE = 500
ENDINGS = (".jpg", ".jpeg")
ALL_PASS = {
    "min_side": 0,
    "max_aspect": 1000.0,
    "min_contrast": 0.0,
    "max_one_colour": 1.0,
    "min_sharpness": 0.0,
    "min_colour": 0.0,
}

PEER = """
import sys, time
import torch
from torchvision.datasets import ImageFolder
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, PILToTensor, Resize

start, size = time.perf_counter(), int(sys.argv[2])
resize = Resize(size, InterpolationMode.BICUBIC, antialias=True)
dataset = ImageFolder(sys.argv[1], Compose([resize, CenterCrop(size), PILToTensor()]))
images = torch.empty((len(dataset), 3, size, size), dtype=torch.uint8)
for number in range(len(dataset)):
    images[number] = dataset[number][0]
print(time.perf_counter() - start)
"""

PLAIN = """
import sys, time
from torchvision.datasets import ImageFolder
from torchvision.transforms import CenterCrop, Compose, Resize

start, size = time.perf_counter(), int(sys.argv[2])
dataset = ImageFolder(sys.argv[1], Compose([Resize(size), CenterCrop(size)]))
for number in range(len(dataset)):
    dataset[number]
print(time.perf_counter() - start)
"""

LIMIT = """
import resource, sys
from pathlib import Path
import numpy as np
from gan.params.file import load_params
from limit import seconds

settings = load_params(Path(sys.argv[1])).preprocess
taken = seconds(settings, Path(sys.argv[2]), np.load(sys.argv[3]))
children = resource.getrusage(resource.RUSAGE_CHILDREN)
print(taken, children.ru_utime + children.ru_stime)
"""

COMPARE = """
import sys
from pathlib import Path
import numpy as np
import pyarrow.parquet as pq
from torchvision.datasets import ImageFolder
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, PILToTensor, Resize
from gan.tensor_cache import TensorCache

cache = TensorCache.open(Path("cache"))
resize = Resize(cache.size, InterpolationMode.BICUBIC, antialias=True)
dataset = ImageFolder(sys.argv[1], Compose([resize, CenterCrop(cache.size), PILToTensor()]))
rows = pq.read_table("cache/index.parquet", columns=["row"])["row"].to_numpy()
places = np.linspace(0, len(rows) - 1, min(int(sys.argv[2]), len(rows))).astype(int)
theirs = np.stack([dataset[int(rows[place])][0].permute(1, 2, 0).numpy() for place in places])
print(np.abs(np.asarray(cache.images[places], int) - theirs).max())
"""


@dataclass
class Pictures:
    """A set of pictures three times: loose files, a dataset, one file with all bytes."""

    root: Path
    count: int
    bytes: int
    seconds: dict[str, list[float]] = field(default_factory=dict)  # of each contestant
    cpu: dict[str, list[float]] = field(default_factory=dict)

    @staticmethod
    def lay_out(name: str, files: Iterable[bytes], folder: Path) -> "Pictures":
        root = folder / name
        loose = root / "loose" / "all"
        loose.mkdir(parents=True)
        sizes = []
        with (root / "all.bin").open("wb") as together:
            for number, data in enumerate(files):
                (loose / f"{number:08}.jpg").write_bytes(data)
                together.write(data)
                sizes.append(len(data))
        if not sizes:
            raise SystemExit("no JPEG found")
        np.save(root / "sizes.npy", np.array(sizes, np.int64))
        pack((path.read_bytes() for path in sorted(loose.iterdir())), root, {"pictures": name})
        pictures = Pictures(root, len(sizes), sum(sizes))
        print(f"{name}: {pictures.count} JPEGs of {pictures.bytes / len(sizes):.0f} bytes")
        return pictures

    def time(self, name: str, code: str, *arguments: object) -> None:
        """Let a contestant run once, from an empty place and with nothing left to be written."""
        for made in ("cache", "reports"):
            shutil.rmtree(self.root / made, ignore_errors=True)
        os.sync()
        taken, *cpu = run(code, self.root, *arguments)
        self.seconds.setdefault(name, []).append(taken)
        self.cpu.setdefault(name, []).extend(cpu[:1])
        used = f", {cpu[0]:.2f} CPU s" if cpu else ""
        kept = f", {cpu[1]:.0f} kept" if len(cpu) > 1 else ""
        speed = self.count / taken
        print(f"  {self.root.name} {name}: {taken:.2f} s, {speed:.0f} images/s{used}{kept}")

    def ratio(self, one: str, other: str) -> float:
        """How many times the seconds of `other` `one` takes: the median over the rounds."""
        pairs = zip(self.seconds[one], self.seconds[other], strict=False)
        return round(statistics.median(a / b for a, b in pairs), 3)

    def cpu_ratio(self, one: str, other: str) -> float:
        """The same of CPU seconds."""
        pairs = zip(self.cpu[one], self.cpu[other], strict=True)
        return round(statistics.median(a / b for a, b in pairs), 3)


def small_files(source: Path | None) -> Iterator[bytes]:
    """The JPEGs in a folder or tar, in the order of their names; else drawn ones."""
    if source is None:
        yield from draw_all(COUNT, partial(draw, style=SMALL))
    elif source.is_dir():
        for path in sorted(source.rglob("*")):
            if path.suffix.lower() in ENDINGS:
                yield path.read_bytes()
    else:
        with tarfile.open(source) as tar:
            for member in sorted(tar.getmembers(), key=lambda each: each.name):
                stream = tar.extractfile(member)
                if stream and member.name.lower().endswith(ENDINGS):
                    yield stream.read()


def write_params(folder: Path) -> tuple[int, Path, Path]:
    """Side of the cache, params.yaml as shipped, and one that leaves no picture out."""
    shipped = ROOT / "params.yaml"
    values = yaml.safe_load(shipped.read_text(encoding="utf-8"))
    values["preprocess"]["filters"] = ALL_PASS
    values["preprocess"]["duplicates"]["near"] = False
    off = folder / "off.yaml"
    off.write_text(yaml.safe_dump(values), encoding="utf-8")
    return values["preprocess"]["size"], shipped, off


def race(small: Pictures, large: Pictures, folder: Path, rounds: int) -> None:
    """All contestants in turns."""
    size, shipped, off = write_params(folder)
    for number in range(rounds):
        print(f"round {number + 1}")
        small.time("peer", PEER, "loose", size)
        small.time("off", PREPROCESS, off)
        if number == 0:
            (most,) = run(COMPARE, small.root, "loose", SAMPLE)
            print(f"  pixels of {SAMPLE} images differ from the peer's by {most:.0f} at most")
        small.time("on", PREPROCESS, shipped)
        small.time("limit", LIMIT, shipped, "all.bin", "sizes.npy")
        large.time("peer", PEER, "loose", size)
        large.time("off", PREPROCESS, off)
    for pictures in (small, large):
        pictures.time("plain", PLAIN, "loose", size)
        print(
            f"{pictures.root.name}: ImageFolder with its default filter, bilinear, and no array "
            f"takes {pictures.ratio('plain', 'off')} times as long as ours"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("small", nargs="?", type=Path, help="folder or tar of small JPEGs")
    parser.add_argument("--large", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small = Pictures.lay_out("small", small_files(arguments.small), folder)
        large = Pictures.lay_out(
            "large", draw_all(arguments.large, partial(draw, style=LARGE)), folder
        )
        race(small, large, folder, arguments.rounds)
    result = {
        "small_vs_imagefolder": small.ratio("peer", "off"),
        "large_vs_imagefolder": large.ratio("peer", "off"),
        "of_limit": small.ratio("limit", "on"),
        "filters_cpu": small.cpu_ratio("on", "off"),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
