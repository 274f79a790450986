"""A hundred times as many images need no more memory: what is not touched is not held."""

import subprocess
import sys

import numpy as np
import pytest

FEW, MANY = 10_000, 1_000_000
SIDE, BATCH, STEPS = 64, 64, 200

READ = """
import sys, threading, time
from pathlib import Path
import numpy as np
import torch
from gan.training.batches import Batches

def held():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024

def watch():
    global most
    while True:
        most = max(most, held())
        time.sleep(0.005)

most = 0
path, batch, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
images = np.load(path, mmap_mode="r")
threading.Thread(target=watch, daemon=True).start()
with Batches(images, 1, batch, True, torch.device("cpu")) as batches:
    first = len(images) - steps // 2 * batch  # an epoch ends half-way
    for start in range(first, first + steps * batch, batch):
        batches.prefetch(start + batch)
        pixels = batches(start)
assert pixels.shape == (batch, 3, *images.shape[1:3])
print(max(most, held()))
"""


def write_sparse(path, count):
    """images.npy of `count` black images that takes no room on the disk."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, SIDE, SIDE, 3)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + count * SIDE * SIDE * 3)


def anonymous_bytes(path):
    command = [sys.executable, "-c", READ, str(path), str(BATCH), str(STEPS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    return int(done.stdout)


@pytest.mark.soak
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_million_images_need_hardly_more_memory_than_ten_thousand(tmp_path):
    needed = {}
    for count in (FEW, MANY):
        path = tmp_path / f"{count}.npy"
        write_sparse(path, count)
        needed[count] = anonymous_bytes(path)
        path.unlink()
    print(f"RssAnon: {needed[FEW] / 1e6:.0f} MB, {needed[MANY] / 1e6:.0f} MB")  # noqa: T201
    # two orders of 8 MB and the making of a third; 12 GB of images
    assert needed[MANY] - needed[FEW] < 50e6
