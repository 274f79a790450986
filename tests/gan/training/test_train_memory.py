"""How much memory a training needs for a million images: as much as for ten thousand."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from train_checkouts import environment

from gan.tensor_cache import FORMAT

REPOSITORY = Path(__file__).resolve().parents[3]
SIZE = 64
BOUND = 300 * 2**20

TRAINING = """
import sys, threading, time
from pathlib import Path
from gan.params.file import load_params
from pipeline.tracking import stage_runs
from pipeline.paths import Paths

def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024

peak = 0
def watch():
    global peak
    while True:
        peak = max(peak, anonymous())
        time.sleep(0.01)

threading.Thread(target=watch, daemon=True).start()
root = Path(sys.argv[1])
stage_runs.train(load_params(root / "params.yaml"), Paths(root))
print(peak)
"""


def sparse_cache(folder, count):
    """A cache of black pictures that take no room on the disk."""
    folder.mkdir(parents=True)
    with (folder / "images.npy").open("wb") as stream:
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, SIZE, SIZE, 3)}
        np.lib.format.write_array_header_1_0(stream, header)
        stream.truncate(stream.tell() + count * SIZE * SIZE * 3)
    counts = {"train": count, "holdout": 0}
    settings = {"size": SIZE, "holdout": 0.0}
    meta = {"format": FORMAT, "digest": f"{count:064d}", "settings": settings, "counts": counts}
    (folder / "meta.json").write_text(json.dumps(meta))


def peak_of_training(root, count, write_params):
    sparse_cache(root / "cache", count)
    changes = {"preprocess.size": SIZE, "train.images": 6400, "train.batch_size": 64}
    changes |= {f"train.{name}_every": 3200 for name in ("log", "grid", "snapshot", "checkpoint")}
    write_params(root / "params.yaml", changes)
    done = subprocess.run(
        [sys.executable, "-c", TRAINING, str(root)],
        cwd=REPOSITORY,
        env=environment(root),
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.soak
@pytest.mark.skipif(sys.platform != "linux", reason="RssAnon is Linux's")
def test_a_million_images_need_hardly_more_memory_than_ten_thousand(tmp_path, write_params):
    few = peak_of_training(tmp_path / "few", 10_000, write_params)
    many = peak_of_training(tmp_path / "many", 1_000_000, write_params)
    assert many - few < BOUND, f"{few / 2**20:.0f} MiB and {many / 2**20:.0f} MiB"
