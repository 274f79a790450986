"""How fast training is beside torchgan and the textbook's loop, and how near to its own step.

    python benchmarks/train.py [FACES] [--images 3072] [--repeats 3] [--sizes 64,32]
                               [--objectives bce,wgan_gp] [--threads 2]

FACES is a folder or tar of JPEGs; without it some of 96 pixels are drawn. All on the CPU with as
many threads, the same DCGAN (64 pixels with width 64, 32 with width 32), the same objective, one
step of the critic for one of the generator, batches of 64, the same number of pictures (four times
as many at 32 pixels); in turns, each in a fresh process that tells its time without imports:

torchgan  torchgan 0.1.0's Trainer (peers/with_torchgan.py); pip puts it into a temporary folder
textbook  ImageFolder, a DataLoader with two workers, PyTorch's DCGAN example (peers/textbook.py)
ours      the stage's loop on the memory-mapped cache, which is made before, once; losses, grids,
          snapshots and states as the stage writes them (trainers.py)
step      our step alone, on one batch, and nothing else; compared in CPU seconds

The objective `shipped` is params.yaml as it is (64 pixels), of which only `ours` and `step` run:

    python benchmarks/train.py --objectives shipped --sizes 64 --images 20000

It also measures the machine's rate of matrix products. Ratios are medians over the repeats; the
last line is JSON: the ratios by size and objective. On a machine that others use too, threads wait
for each other all the time: `--threads 1` tells more there.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import psutil
from drawn import SMALL, draw, draw_all
from PIL import Image
from preprocess import small_files
from processes import ROOT, finish, start

TORCHGAN = "torchgan==0.1.0"
WIDTHS = {64: 64, 32: 32}
LOOK_EVERY = 0.5  # seconds; looking at memory takes time too
COUNT = 3072
SHIPPED = "shipped"

FLOPS = """
import time, torch
one = torch.randn(2048, 2048)
times = []
for _ in range(8):
    start = time.perf_counter()
    one @ one
    times.append(time.perf_counter() - start)
print(2 * 2048**3 / min(times))
"""


@dataclass
class Race:
    """One size and objective: seconds, CPU seconds and bytes of each contestant."""

    size: int
    objective: str
    images: int
    taken: dict[str, list[tuple[float, float, float]]] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.size} px {self.objective}"

    def run(self, name: str, folder: Path, command: list[object]) -> None:
        """Let a contestant train once."""
        place = folder / "run"
        place.mkdir(exist_ok=True)
        memory = Memory()
        process = start(
            f"import runpy, sys; sys.argv[:] = {[str(each) for each in command]}; "
            "runpy.run_path(sys.argv[0], run_name='__main__')",
            place,
        )
        memory.of(process.pid)
        seconds, cpu = finish(process, memory.look)
        self.taken.setdefault(name, []).append((seconds, cpu, memory.peak))
        print(
            f"  {self} {name}: {self.images / seconds:.1f} images/s, {cpu:.1f} CPU s, "
            f"{memory.peak / 2**20:.0f} MiB"
        )

    def ratio(self, one: str, other: str, place: int) -> float:
        """How many times what `other` takes `one` takes: the median over the repeats."""
        pairs = zip(self.taken[one], self.taken[other], strict=True)
        return round(statistics.median(a[place] / b[place] for a, b in pairs), 3)

    def result(self) -> dict[str, float]:
        ratios = {
            f"vs_{peer}": self.ratio(peer, "ours", 0)
            for peer in ("torchgan", "textbook")
            if peer in self.taken
        }
        return ratios | {"of_step": self.ratio("step", "ours", 1)}


class Memory:
    """The most that a process and its children hold, what they share counted once."""

    def __init__(self) -> None:
        self.peak = 0.0
        self._looked = 0.0

    def of(self, pid: int) -> None:
        self._process = psutil.Process(pid)

    def look(self) -> None:
        if time.monotonic() - self._looked < LOOK_EVERY:
            return
        self._looked = time.monotonic()
        try:
            family = [self._process, *self._process.children(recursive=True)]
            self.peak = max(self.peak, sum(each.memory_full_info().pss for each in family))
        except psutil.Error:  # one of them has just ended
            pass


def flops(size: int, width: int, objective: str) -> float:
    """Floating-point operations of a step's convolutions for one picture, done directly.

    In passes through one network forward; going back to the inputs or to the weights is one more
    each. bce: generator forward and twice back, critic on real and fake forward and twice back,
    then on fakes forward and back. wgan_gp: also the mixture forward, back, and for the penalty
    forward and to the weights.
    """
    wide = [3, *(width * 2**place for place in range(size.bit_length() - 3))]
    sides = [size // 2 ** (place + 1) for place in range(len(wide))]
    once = sum(
        2 * 16 * a * b * side**2 for (a, b), side in zip(pairwise(wide), sides, strict=False)
    )
    return float(once * (3 + 6 + 2 + (4 if objective == "wgan_gp" else 0)))


def files(source: Path | None, count: int) -> Iterator[bytes]:
    """The first `count` JPEGs of a folder or tar, else drawn ones."""
    if source is None:
        yield from draw_all(count, partial(draw, style=SMALL))
        return
    for _, data in zip(range(count), small_files(source), strict=False):
        yield data


def lay_out(source: Path | None, count: int, folder: Path) -> list[Path]:
    """The JPEGs as loose files, which ImageFolder wants."""
    loose = folder / "loose" / "all"
    loose.mkdir(parents=True)
    paths = []
    for number, data in enumerate(files(source, count)):
        paths.append(loose / f"{number:08}.jpg")
        paths[-1].write_bytes(data)
    if len(paths) < count:
        raise SystemExit(f"only {len(paths)} JPEGs found; give --images {len(paths)} or fewer")
    return paths


def links(paths: list[Path], count: int, folder: Path) -> Path:
    """A folder for ImageFolder in which the pictures repeat until there are `count` of them."""
    inside = folder / f"faces-{count}" / "all"
    if not inside.is_dir():
        inside.mkdir(parents=True)
        for number in range(count):
            os.link(paths[number % len(paths)], inside / f"{number:08}.jpg")
    return inside.parent


def make_cache(paths: list[Path], size: int, folder: Path) -> Path:
    """The pictures as one array on the disk, as the cache holds them."""
    path = folder / f"images-{size}.npy"
    shape = (len(paths), size, size, 3)
    images = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    for number, each in enumerate(paths):
        with Image.open(each) as image:
            images[number] = image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
    images.flush()
    return path


def get_torchgan(folder: Path) -> Path | None:
    """A folder to import torchgan from; None, said aloud, where it can't be had."""
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder)]
    done = subprocess.run([*pip, TORCHGAN], capture_output=True, text=True)
    if done.returncode == 0:
        return folder
    reason = (done.stderr.strip() or "pip said nothing").splitlines()[-1]
    print(f"{TORCHGAN} can't be had, so vs_torchgan is missing: {reason}")
    return None


def race(each: Race, paths: list[Path], folder: Path, torchgan: Path | None, repeats: int) -> None:
    """All contestants of one size and objective in turns."""
    here, width = ROOT / "benchmarks", WIDTHS[each.size]
    faces, cache = links(paths, each.images, folder), make_cache(paths, each.size, folder)
    same: list[object] = [each.size, width, each.objective]
    own: list[object] = [*same, each.images, cache]
    for _ in range(repeats):
        if torchgan and each.objective != SHIPPED:
            peer = here / "peers" / "with_torchgan.py"
            each.run("torchgan", folder, [peer, *same, faces, torchgan])
        if each.objective != SHIPPED:
            each.run("textbook", folder, [here / "peers" / "textbook.py", *same, faces])
        each.run("ours", folder, [here / "trainers.py", "ours", *own])
        each.run("step", folder, [here / "trainers.py", "step", *own])


def tell_limit(each: Race, rate: float) -> None:
    """How much of the machine's rate a step would need, were all multiplications done."""
    needed = flops(each.size, WIDTHS[each.size], each.objective)
    seconds = statistics.median(taken[0] for taken in each.taken["step"])
    reached = needed * each.images / seconds
    print(
        f"{each}: {needed / 1e9:.2f} GFLOP an image done directly, so {rate / needed:.0f} images/s"
        f" at {rate / 1e9:.0f} GFLOPS of matrix products; the step's {each.images / seconds:.0f}"
        f" images/s are {reached / rate:.0%} of that"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("faces", nargs="?", type=Path, help="folder or tar of JPEGs")
    parser.add_argument("--images", type=int, default=COUNT, help="at 64 pixels")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sizes", default="64,32")
    parser.add_argument("--objectives", default="bce,wgan_gp")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)  # of all that is started here
    sizes = [int(size) for size in arguments.sizes.split(",")]
    result: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # more repeat: each takes the same time as often as it is read
        paths = lay_out(arguments.faces, min(arguments.images, COUNT), folder)
        objectives = arguments.objectives.split(",")
        peers = set(objectives) != {SHIPPED}
        torchgan = get_torchgan(folder / "torchgan") if peers else None
        (rate,) = finish(start(FLOPS, folder))
        for size, objective in product(sizes, objectives):
            each = Race(size, objective, arguments.images * (64 // size) ** 2)
            race(each, paths, folder, torchgan, arguments.repeats)
            if objective != SHIPPED:
                tell_limit(each, rate)
            result.setdefault(str(size), {})[objective] = each.result()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
