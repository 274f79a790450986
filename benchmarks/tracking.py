"""Cost of tracking for a training: CPU seconds of the tracker against those of the steps.

    python benchmarks/tracking.py [--steps 20000] [--repeats 3] [--server] [--whole]

The training is that of params.yaml at 64 pixels with networks of width 32 on one thread: its
batch, its intervals, 10 metrics a log, the rate and the system's numbers beside them as always.
Processes take turns, and each one's CPU seconds count whole, from its start to its exit, of all
its threads and of the processes that it starts:

null     the loop of logs and commits with a tracker that keeps nothing
tracked  the same loop with the real one: imports MLflow, creates the store, starts and describes
         the run, asks Git and makes the patch, records, sends, flushes. It waits at each commit
         until all is sent: a real training gives it the time, and small batches cost more
files    the same, and grids, snapshots and the last state, as a training records them

The tracker's cost is the median of tracked - null. It is compared with CPU seconds of real steps
on one thread, of which a sample is timed here (--sample) and multiplied; --whole makes all the
steps in both processes instead, which takes hours. With --server records go to an
`mlflow server` on this machine, whose own CPU seconds do not count; without, to a new SQLite file.

The last line is JSON: `overhead`, the tracker's share of the training, and its parts.
"""

import argparse
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image
from processes import ROOT

from gan.checkpoints import Origin, save_checkpoint
from gan.devices import choose_compute, fast_training
from gan.distributed.world import ALONE
from gan.objectives.objective import build_objective
from gan.params.file import Params
from gan.training.batches import Batches
from gan.training.state import TrainState, build_state
from gan.training.steps import Engine, train_step
from pipeline.paths import Paths
from pipeline.tracking.descriptions import describe_training
from pipeline.tracking.mlflow.environment import SETTINGS
from pipeline.tracking.open_run import start_run
from pipeline.tracking.run import Run

SIZE, WIDTH = 64, 32
WARM_UP = 20
METRICS = (
    *("loss/discriminator", "loss/generator", "score/real", "score/fake", "accuracy/real"),
    *("accuracy/fake", "gradient_norm/discriminator", "gradient_norm/generator"),
    *("learning_rate/discriminator", "learning_rate/generator"),
)


def settings() -> Params:
    """params.yaml as shipped, with the networks of this benchmark."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for name in ("generator", "discriminator"):
        values["model"][name]["width"] = WIDTH
    values["preprocess"]["size"], values["train"]["device"] = SIZE, "cpu"
    return Params.model_validate(values)


class Training:
    """Real steps on pictures of noise."""

    def __init__(self, params: Params) -> None:
        compute = choose_compute("cpu", params.train.precision)
        self.state: TrainState = build_state(params.model, SIZE, params.train, compute)
        objective = build_objective(params.train)
        latents = params.model.latent_size
        self._engine = Engine(params.train, objective, compute, ALONE, latents)
        pixels = np.random.default_rng(0).integers(0, 256, (512, SIZE, SIZE, 3), dtype=np.uint8)
        batch = params.train.batch_size
        self._batches = Batches(
            pixels, params.train.seed, batch, params.train.flip, compute.device
        )

    def steps(self, count: int) -> None:
        with fast_training(self._engine.compute.device):
            for _ in range(count):
                train_step(self.state, self._engine, self._batches)


def seconds_per_step(params: Params, sample: int) -> float:
    """CPU seconds of one step, all threads of this process together."""
    training = Training(params)
    training.steps(WARM_UP)
    before = time.process_time()
    training.steps(sample)
    return (time.process_time() - before) / sample


def lineage(params: Params) -> dict[str, object]:
    """Lineage as a checkpoint has it."""
    train = params.train.active() | {"init_from": ""}
    decided = {"model": params.model.model_dump(), "train": train, "images": params.train.images}
    digests = {"cache_digest": "c" * 64, "code_digest": "d" * 64}
    return {
        "decided": decided | digests,
        "preprocess": params.preprocess.model_dump(),
        "snapshot": "e" * 64,
        "source": {"source": "embedded"},
        "licences": {"CC0-1.0": 512},
        "counts": {"train": 512, "holdout": 0},
    }


def contestant(kind: str, steps: int, *, whole: bool) -> None:
    """Run one process: start a run in the current folder and record a whole training."""
    params, here = settings(), Path.cwd()
    torch.set_num_threads(1)
    run = _open_run(kind, params, here)
    training = Training(params) if whole else None
    every, batch = params.train, params.train.batch_size
    files = _files(params, here)  # made by all processes alike
    if kind != "files":
        files = {}
    for step in range(1, steps + 1):
        if training:
            training.steps(1)
        seen = step * batch
        if _due(seen, every.log_every, batch):
            run.metrics({key: 1 / seen for key in METRICS}, seen)
            run.metrics({"throughput/images_per_second": 100.0}, seen)
            run.system_metrics(seen)
        if files and _due(seen, every.grid_every, batch):
            run.image("grid", files["grid"], seen)
        if files and _due(seen, every.snapshot_every, batch):
            run.artifact(files["snapshot"], "checkpoints")
        if _due(seen, every.checkpoint_every, batch):
            run.prepare(seen)
            run.commit()
            _wait(run)
    if files:
        run.artifact(files["state"], "checkpoints")
    run.close(timeout_s=120)
    if run.unsent:
        raise SystemExit(f"{run.unsent} records were not sent")


def _due(seen: int, every: int, batch: int) -> bool:
    return seen // every > (seen - batch) // every


def _open_run(kind: str, params: Params, folder: Path) -> Run:
    if kind == "null":
        return Run(None)
    run = start_run(
        Paths(folder),
        name="benchmark",
        run_key="k" * 64,
        folder=folder / "run",
    )
    describe_training(run, lineage(params))
    run.links()
    run.commit()
    return run


def _wait(run: Run) -> None:
    while run.unsent:
        time.sleep(0.05)


def _files(params: Params, folder: Path) -> Mapping[str, Path]:
    """A grid of 8 x 8 pictures, a snapshot and a state, as large as real ones."""
    state = Training(params).state
    origin = Origin(params.model.model_dump(), SIZE, 0, "k" * 64, "c" * 64, "benchmark")
    files = {name: folder / name for name in ("snapshot", "state")}
    save_checkpoint(files["snapshot"], origin, state.averaged)
    save_checkpoint(files["state"], origin, state.averaged, state.state_dict())
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((8 * SIZE, 8 * SIZE)).save(folder / "grid.png")
    return files | {"grid": folder / "grid.png"}


def _checkout(folder: Path) -> None:
    """Make a clone with an uncommitted change, or an empty folder outside a repository."""
    clone = ["git", "clone", "-q", "--shared", str(ROOT), str(folder)]
    if subprocess.run(clone, capture_output=True).returncode:
        folder.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / "params.yaml", folder / "params.yaml")
    with (folder / "params.yaml").open("a", encoding="utf-8") as stream:
        stream.write("# changed\n")


def run(kind: str, arguments: argparse.Namespace, store: str) -> float:
    """CPU seconds of a contestant's process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "checkout"
        _checkout(folder)
        command = [sys.executable, str(Path(__file__).resolve()), "--contestant", kind]
        command += ["--steps", str(arguments.steps), *(["--whole"] if arguments.whole else [])]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
        environment |= {"PYTHONPATH": str(ROOT), **SETTINGS}
        if store:
            environment["MLFLOW_TRACKING_URI"] = store
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, cwd=folder, env=environment, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"  {kind}: {seconds:.2f} CPU s")
    return seconds


@contextmanager
def server(wanted: bool) -> Iterator[str]:
    """The address of an MLflow server with a new store; "" where none is wanted."""
    if not wanted:
        yield ""
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
        command += ["--port", str(port), "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{name}/mlflow.db"]
        command += ["--artifacts-destination", f"{name}/artifacts"]
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, cwd=name, stdout=quiet, stderr=quiet)
        try:
            _wait_for(f"http://127.0.0.1:{port}/health", process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def _wait_for(address: str, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(240):
        with suppress(OSError), urllib.request.urlopen(address, timeout=5):
            return
        if process.poll() is not None:
            break
        time.sleep(0.5)
    raise SystemExit("mlflow server does not come up")


def overhead(seconds: Mapping[str, list[float]], steps: float) -> dict[str, float]:
    """Shares of the training's CPU seconds `steps`, from those of each contestant's processes."""
    tracker = _difference(seconds["tracked"], seconds["null"])
    files = _difference(seconds["files"], seconds["tracked"])
    return {
        "overhead": round(tracker / steps, 5),
        "files": round(files / steps, 5),
        "tracker_cpu_s": round(tracker, 2),
        "files_cpu_s": round(files, 2),
        "training_cpu_s": round(steps, 1),
    }


def _difference(one: list[float], other: list[float]) -> float:
    """The median over pairs that ran next to each other."""
    return float(statistics.median(a - b for a, b in zip(one, other, strict=True)))


def compare(arguments: argparse.Namespace) -> None:
    """All contestants in turns, then the table."""
    seconds: dict[str, list[float]] = {"null": [], "tracked": [], "files": []}
    samples = [] if arguments.whole else [seconds_per_step(settings(), arguments.sample)]
    with server(arguments.server) as store:
        for _ in range(arguments.repeats):
            for kind, runs in seconds.items():
                runs.append(run(kind, arguments, store))
            if not arguments.whole:
                samples.append(seconds_per_step(settings(), arguments.sample))
    result = overhead(seconds, steps_of(arguments, seconds, samples))
    _print_table(result, arguments)
    print(json.dumps(result))


def steps_of(
    arguments: argparse.Namespace, seconds: Mapping[str, list[float]], samples: list[float]
) -> float:
    """CPU seconds of the training without a tracker."""
    if arguments.whole:
        return float(statistics.median(seconds["null"]))
    return float(arguments.steps * statistics.median(samples))


def _print_table(result: Mapping[str, float], arguments: argparse.Namespace) -> None:
    share, files = result["overhead"], result["files"]
    how = "measured whole" if arguments.whole else f"from samples of {arguments.sample} steps"
    print(f"{arguments.steps:,} steps  {result['training_cpu_s']:9.1f} CPU s  ({how})")
    print(f"tracker       {result['tracker_cpu_s']:9.2f} CPU s  {share:7.3%}")
    print(f"and its files {result['files_cpu_s']:9.2f} CPU s  {files:7.3%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20000)
    parser.add_argument("--sample", type=int, default=200, help="real steps that are timed")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--server", action="store_true", help="send to an `mlflow server`")
    parser.add_argument("--whole", action="store_true", help="make all the steps; takes hours")
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contestant:
        contestant(arguments.contestant, arguments.steps, whole=arguments.whole)
    else:
        torch.set_num_threads(1)
        os.environ["OMP_NUM_THREADS"] = "1"  # of what is started here
        compare(arguments)


if __name__ == "__main__":
    main()
