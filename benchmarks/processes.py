"""Fresh processes that the benchmarks time: each tells its own seconds, without its imports."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EVERY = 0.05  # seconds between two looks at a process

PREPROCESS = """
import resource, sys, time
from pathlib import Path
from gan.params.file import load_params
from pipeline.paths import Paths
from pipeline.stages.preprocess import run

def cpu():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)

params, before, start = load_params(Path(sys.argv[1])), cpu(), time.perf_counter()
summary = run(params, Paths(Path.cwd()))
seconds = time.perf_counter() - start
print(seconds, cpu() - before, summary.train + summary.holdout)
"""
"""The stage in the current folder with a params file: seconds, CPU seconds, images kept."""


def start(code: str, folder: Path, *arguments: object) -> "subprocess.Popen[str]":
    """`code` in a fresh process in `folder`."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    places = os.pathsep.join(map(str, (ROOT, ROOT / "benchmarks")))
    environment = os.environ | {"PYTHONPATH": places}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True
    )


def finish(
    process: "subprocess.Popen[str]", look: Callable[[], None] = lambda: None
) -> list[float]:
    """The numbers of the last line that a process prints; calls `look` until then."""
    while True:
        try:
            out, words = process.communicate(timeout=EVERY)
            break
        except subprocess.TimeoutExpired:
            look()
    if process.returncode:
        raise SystemExit(words)
    return [float(word) for word in out.splitlines()[-1].split()]


def run(code: str, folder: Path, *arguments: object) -> list[float]:
    """Run `code` to its end; the numbers of its last line."""
    return finish(start(code, folder, *arguments))
