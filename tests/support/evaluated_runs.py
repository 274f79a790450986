"""Evaluated runs: MLflow runs in real stores, written by the tracker, and evaluation files."""

import json
from pathlib import Path

import pytest
from evaluation_result import checkpoint_result, folder_result, metric
from tracking_stores import attach

from gan.errors import GanError
from pipeline.paths import Paths
from pipeline.tracking.open_run import start_run

SAME = "a" * 16


def refusal(call) -> str:
    """The one line with which a call is refused."""
    with pytest.raises(GanError) as caught:
        call()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def one_protocol(**values):
    """one_protocol(fid_10k=(30.0, 1.0)): values and deviations by key, with one protocol."""
    return {key: (*each, SAME) for key, each in values.items()}


def write_run(
    paths: Paths,
    key: str,
    metrics: dict | None = None,
    name: str = "hinge 64px",
    data: str = "d" * 64,
    experiment: str = "avatars",
    files: dict[Path, str] | None = None,
    best: int = 36000,
    tagged: bool = True,
) -> str:
    """Record a training, then its evaluation; returns the run's id."""
    folder = paths.root / "runs" / f"{experiment}-{key[:12]}-{name.replace(' ', '-')}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_EXPERIMENT_NAME", experiment)
        run = start_run(paths, name=name, run_key=key, folder=folder / "train")
    run.params({"train": {"objective": "hinge"}})
    run.tags({"cache_digest": data})
    run.metrics({"loss/discriminator": 1.0}, 100)
    for file, place in (files or {}).items():
        run.artifact(file, place)
    run.close()
    if metrics is not None:
        evaluate_run(paths, key, metrics, best, tagged)
    assert run.unsent == 0
    return str(run.run_id)


def evaluate_run(paths, key, metrics, best=36000, tagged=True):
    """Record an evaluation: value, deviation and protocol by key."""
    run = attach(paths, key)
    run.metrics({each: value for each, (value, _, _) in metrics.items()}, 48000)
    run.metrics({f"deviation/{k}": d for k, (_, d, _) in metrics.items() if d is not None}, 48000)
    run.metrics({"best_images_seen": best, "selection/fd_lite0_2048": 950.0}, 48000)
    if tagged:
        run.tags({"protocols": json.dumps({each: p for each, (_, _, p) in metrics.items()})})
    run.flush()
    assert run.unsent == 0


def write_evaluation(
    folder: Path,
    metrics: dict,
    key: str = "b" * 64,
    data: str = "d" * 64,
    reference: str = "e" * 64,
    folder_of_images: bool = False,
    lineage: dict | None = None,
) -> Path:
    """Write evaluation.json as `gan evaluate --out` does."""
    content = folder_result() if folder_of_images else checkpoint_result()
    if not folder_of_images:
        content["subject"] |= {"name": "bce 64px", "images_seen": 24000, "run_key": key}
        content["subject"] |= {"trained_on": data, "lineage": lineage or {}}
    content["references"]["train"]["digest"] = reference
    facts = metric("frechet", 1.0)
    content["metrics"] = {
        each: facts | {"value": value, "deviation": deviation, "protocol": protocol}
        for each, (value, deviation, protocol) in metrics.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "evaluation.json"
    file.write_text(json.dumps(content))
    return file
