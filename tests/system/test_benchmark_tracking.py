"""Arithmetic of benchmarks/tracking.py; its tracker records every log."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    sys.modules.pop("tracking", None)
    import tracking as benchmark

    yield benchmark
    for name in ("tracking", "processes"):
        sys.modules.pop(name, None)


def test_shares_are_medians_of_pairs_over_the_training(bench):
    taken = {"null": [2.0, 1.0, 9.0], "tracked": [5.0, 4.0, 10.0], "files": [6.0, 6.0, 11.0]}
    found = bench.overhead(taken, 300.0)
    assert (found["overhead"], found["files"]) == (0.01, pytest.approx(1 / 300, abs=1e-5))
    assert (found["tracker_cpu_s"], found["files_cpu_s"]) == (3.0, 1.0)


def test_logs_come_at_the_interval_of_the_params(bench):
    every = bench.settings().train
    batch = every.batch_size
    seen = [step * batch for step in range(1, 20001) if bench._due(step * batch, 800, batch)]
    assert every.log_every == 800
    assert seen == list(range(800, 160_001, 800))
    assert len(bench.METRICS) == 10
