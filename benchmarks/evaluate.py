"""How fast a checkpoint's FID comes, beside writing PNGs and calling pytorch-fid's command.

    python -m benchmarks.evaluate [--fakes 5000] [--reals 10000] [--threads N] [--repeats 1]
                                  [--precision bf16]

Inception has stand-in weights (standin.py). The checkpoint is params.yaml's generator at 64
pixels, untrained; the real images are drawn. They lie there before, as tensor cache and as PNG
files. Then in turns, each a fresh process whose imports count too:

peer   the generator's images written as PNG files, in a plain loop; then `python -m pytorch_fid
       FAKES REALS` as it comes
cold   `gan evaluate` in a checkout where nothing has been evaluated yet
warm   the same again: the features of the real images are kept
bf16   with --precision bf16: as cold, but Inception computes in bf16

The fakes are the same ones, pixel for pixel, so the scores must be equal but for rounding. Ratios
are of wall clocks, medians over the repeats. The last line is JSON: cold_vs_pytorch_fid,
cached_vs_pytorch_fid, score_difference (relative), and with bf16 also bf16_vs_float32 (cold) and
bf16_deviation (relative). It takes hours on two cores: an image takes Inception 0.1 s or more.
"""

import argparse
import json
import math
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from benchmarks.judged import Judged, prepare
from benchmarks.processes import ROOT
from gan.metrics.metric import ENOUGH_IMAGES
from pipeline.preprocessing.workers.pool import usable_cores

SEED = 2
FOREIGN = ("DVC_ROOT", "DVC_STAGE", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME")
PNGS = """
import sys
from pathlib import Path
from PIL import Image
from gan.checkpoints import load_generator
from gan.devices import choose_compute
from gan.sampling import draw_latents, generate

checkpoint, folder, seed, count = sys.argv[1:]
generator, _ = load_generator(Path(checkpoint))
generator.to(choose_compute("auto", "float32").device)
latents = draw_latents(int(seed), "evaluate", int(count), generator.latent_size)
number = 0
for batch in generate(generator, latents):
    for image in batch.permute(0, 2, 3, 1).numpy():
        Image.fromarray(image).save(Path(folder, f"{number:06d}.png"), compress_level=1)
        number += 1
"""
"""A checkpoint's images as files, without anything else: quicker than `gan generate`."""


@dataclass(frozen=True)
class Taken:
    """Seconds, CPU seconds (children's too) and the score that came of it, if any."""

    seconds: float
    cpu: float
    score: float = math.nan

    def __add__(self, other: "Taken") -> "Taken":
        return Taken(self.seconds + other.seconds, self.cpu + other.cpu, other.score)


@dataclass
class Race:
    """What all contestants have in common, and what each of them has taken so far."""

    judged: Judged
    fakes: int
    threads: int
    small: bool
    taken: dict[str, list[Taken]] = field(default_factory=dict)

    def turn(self, name: str, precisions: Sequence[str]) -> None:
        """All contestants once, in a checkout of their own."""
        folder = self.judged.fresh(name)
        self._peer(folder)
        self._note("cold", self._ours(folder, "float32"))
        self._note("warm", self._ours(folder, "float32"))
        for precision in precisions:
            self._note(precision, self._ours(self.judged.fresh(f"{name}-{precision}"), precision))

    def _peer(self, folder: Path) -> None:
        fakes = folder / "fakes"
        fakes.mkdir()
        arguments = [self.judged.checkpoint, fakes, SEED, self.fakes]
        files, _ = self._run([sys.executable, "-c", PNGS, *arguments], folder)
        self._note("files", files)
        command = [sys.executable, "-m", "pytorch_fid", fakes, self.judged.reals]
        look, told = self._run(command, folder)
        score = float(re.findall(r"FID:\s+(\S+)", told)[-1])
        self._note("pytorch_fid", Taken(look.seconds, look.cpu, score))
        self._note("peer", files + self.taken["pytorch_fid"][-1])

    def _ours(self, folder: Path, precision: str) -> Taken:
        out = folder / f"out-{len(list(folder.glob('out-*')))}"
        command = [sys.executable, "-m", "pipeline.cli", "evaluate", "--out", out]
        command += ["--ckpt", self.judged.checkpoint, "--extractor", "inception"]
        command += ["--metrics", "frechet_distance", "--seeds", SEED, "--against", "train"]
        command += ["--fakes", self.fakes, "--precision", precision]
        taken, _ = self._run([*command, *(["--allow-small"] if self.small else [])], folder)
        return Taken(taken.seconds, taken.cpu, score_of(out / "evaluation.json"))

    def _run(self, command: Sequence[object], folder: Path) -> tuple[Taken, str]:
        """A command to its end; and what it said on stdout."""
        before, start = _children_cpu(), time.perf_counter()
        done = subprocess.run(
            [str(word) for word in command],
            cwd=folder,
            env=self._environment(),
            capture_output=True,
            text=True,
        )
        taken = Taken(time.perf_counter() - start, _children_cpu() - before)
        if done.returncode:
            raise SystemExit(done.stderr)
        return taken, done.stdout

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        return kept | {
            "PYTHONPATH": str(ROOT),
            "TORCH_HOME": str(self.judged.torch_home),
            "OMP_NUM_THREADS": str(self.threads),
        }

    def _note(self, name: str, taken: Taken) -> None:
        self.taken.setdefault(name, []).append(taken)
        score = "" if math.isnan(taken.score) else f", score {taken.score:.6g}"
        print(f"  {name}: {taken.seconds:.1f} s, {taken.cpu:.1f} CPU s{score}", flush=True)


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def score_of(result: Path) -> float:
    """The only Fréchet distance in an evaluation's result."""
    metrics = json.loads(result.read_text(encoding="utf-8"))["metrics"].values()
    (score,) = [float(each["value"]) for each in metrics if each["metric"] == "frechet"]
    return score


def summary(taken: dict[str, list[Taken]]) -> dict[str, float]:
    """The ratios, as they stand in the last line.

    SystemExit if the second evaluation does not come to the same score as the first.
    """

    def ratio(one: str, other: str) -> float:
        pairs = zip(taken[one], taken[other], strict=True)
        return round(statistics.median(a.seconds / b.seconds for a, b in pairs), 3)

    def difference(one: str, other: str) -> float:
        a, b = taken[one][0].score, taken[other][0].score
        return float(f"{abs(a - b) / b:.3g}")

    if difference("warm", "cold"):
        raise SystemExit("the second evaluation came to another score than the first")
    found = {
        "cold_vs_pytorch_fid": ratio("peer", "cold"),
        "cached_vs_pytorch_fid": ratio("peer", "warm"),
        "score_difference": difference("cold", "peer"),
    }
    if "bf16" in taken:
        found["bf16_vs_float32"] = ratio("cold", "bf16")
        found["bf16_deviation"] = difference("bf16", "cold")
    return found


NAMES = {
    "files": "peer: fakes as PNG files",
    "pytorch_fid": "peer: pytorch-fid's command",
    "peer": "peer, both",
    "cold": "gan evaluate, first",
    "warm": "gan evaluate, again",
    "bf16": "gan evaluate, first, bf16",
}


def table(taken: dict[str, list[Taken]]) -> None:
    """Medians of what each took, and how many times what it takes the peer takes."""
    peer = statistics.median(each.seconds for each in taken["peer"])
    print(f"{'':29}  seconds  CPU s  peer / this       score")
    for key, name in NAMES.items():
        if key in taken:
            seconds = statistics.median(each.seconds for each in taken[key])
            cpu = statistics.median(each.cpu for each in taken[key])
            score = taken[key][0].score
            words = "" if math.isnan(score) else f"{score:.8g}"
            print(f"{name:29} {seconds:8.1f} {cpu:6.0f} {peer / seconds:12.2f} {words:>11}")


def tell_hardware(threads: int, precisions: Sequence[str]) -> None:
    """What computes here, and whether it knows bf16."""
    if torch.cuda.is_available():
        print(f"on {torch.cuda.get_device_name()}, {threads} threads beside it")
        return
    able = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.9 doesn't list them
    print(f"on {able.get('cpu_name', 'a processor')}, {threads} threads")
    known = sorted(name for name, here in able.items() if "bf16" in name and here)
    if known:
        print(f"bf16 in hardware: {', '.join(known)}")
    elif able and precisions:
        print("bf16: this processor has none and emulates it, which is slower than float32")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fakes", type=int, default=5000)
    parser.add_argument("--reals", type=int, default=10000)
    parser.add_argument("--precision", action="append", choices=["bf16"], default=[])
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--repeats", type=int, default=1)
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as name:
        judged = prepare(Path(name), arguments.reals)
        small = min(arguments.fakes, arguments.reals) < ENOUGH_IMAGES
        race = Race(judged, arguments.fakes, arguments.threads, small)
        tell_hardware(arguments.threads, arguments.precision)
        print(f"{arguments.fakes} fakes against {arguments.reals} real images of 64 pixels")
        for number in range(arguments.repeats):
            race.turn(f"turn-{number}", arguments.precision)
    table(race.taken)
    print(json.dumps(summary(race.taken)))


if __name__ == "__main__":
    main()
