"""Reference, train, evaluate on few images: they succeed, and notes name missing metrics."""

import json
import shutil
from types import SimpleNamespace

import lxml.html
import numpy as np
import pytest
from corner_features import FILE, save_corners
from PIL import Image
from typer.testing import CliRunner

from gan.errors import GanError
from pipeline.cli.main import app
from pipeline.paths import Paths
from pipeline.stages import evaluate, reference, train
from pipeline.training.tracker import Tracker

pytestmark = pytest.mark.slow

CHANGES = {
    "train.images": 64,
    "train.snapshot_every": 32,
    "train.grid_every": 32,
    "features.extractors": [FILE],
    "evaluate.num_fakes": 40,
    "evaluate.selection_fakes": 24,
    "evaluate.report_seeds": [2, 3],
}
SETS = {
    "one": (1, 0),
    "three": (3, 0),
    "two_and_one": (2, 1),
    "sixty": (54, 6),
    "no_holdout": (60, 0),
    "one_held": (59, 1),
    "three_hundred": (240, 60),
    "two_thousand": (1800, 200),
}
"""Images to train on and held out."""

BIASED = ("frechet_distance", "frechet_infinity", "sliced_wasserstein", "precision_recall")
MIN_REALS = dict.fromkeys((*BIASED, "spectrum_distance"), 2)
MIN_REALS |= {"kernel_distance": 4, "precision_recall": 6}
"""Real images that each metric needs; there are enough fakes."""

RESULTS = {
    "frechet_distance": "frechet",
    "frechet_infinity": "infinity",
    "kernel_distance": "kernel",
    "precision_recall": "recall",
    "sliced_wasserstein": "sliced_wasserstein",
    "spectrum_distance": "spectrum",
}
"""Name in a result of one value of each metric."""


@pytest.fixture(scope="module", params=SETS)
def checkout(request, tmp_path_factory, make_params, write_cache):
    """A checkout after reference and train, and how many images each split has."""
    known, held = SETS[request.param]
    paths = Paths(tmp_path_factory.mktemp(request.param))
    images = np.random.default_rng(0).integers(0, 256, (known + held, 32, 32, 3), dtype=np.uint8)
    write_cache(paths.cache, images, holdout=held)
    save_corners(paths.weights)
    reference.run(make_params(CHANGES), paths)
    train.run(make_params(CHANGES), paths, Tracker())
    return SimpleNamespace(paths=paths, counts={"train": known, "holdout": held})


def is_computed(metric, reals, allow_small):
    return reals >= MIN_REALS[metric] and (allow_small or metric not in BIASED)


@pytest.mark.parametrize("allow_small", [True, False])
def test_what_is_possible_is_computed_and_all_else_is_named_in_a_note(
    checkout, make_params, allow_small, capsys
):
    paths = checkout.paths
    params = make_params(CHANGES | {"evaluate.allow_small": allow_small})
    result = json.loads(evaluate.run(params, paths).result.to_text())
    printed = capsys.readouterr().err.splitlines()
    assert all(printed.count(note) == 1 for note in result["notes"])
    check_metrics(result, checkout.counts, allow_small)
    check_selection(result, max(checkout.counts.values()), allow_small)
    best = paths.models / "snapshots" / f"{result['selection']['best']:012d}.pt"
    assert (paths.models / "best.pt").read_bytes() == best.read_bytes()
    check_outs(result, paths.reports)


def check_metrics(result, counts, allow_small):
    computed = {(each["metric"], each["against"]) for each in result["metrics"].values()}
    for split, reals in counts.items():
        about = [note for note in result["notes"] if f"{split} split" in note]
        for metric in MIN_REALS:
            there = (RESULTS[metric], split) in computed
            assert there == is_computed(metric, reals, allow_small)
            named = [note for note in about if metric in note or note.startswith("nothing")]
            assert bool(named) != there
    memorised = counts["holdout"] >= 50
    assert bool(result["memorisation"]) == memorised
    assert memorised != any(note.startswith("no memorisation") for note in result["notes"])
    marks = {key.rpartition("_")[2] for key in result["metrics"] if "_small" in key}
    of_marks = [note for note in result["notes"] if any(mark in note for mark in marks)]
    assert len(of_marks) == bool(marks)
    assert all(mark in of_marks[0] for mark in marks)


def check_selection(result, most, allow_small):
    """The snapshot is selected by a distance that `most` images allow."""
    selection, notes = result["selection"], result["notes"]
    curve = dict(selection["curve"])
    if most < 4:
        assert (selection["key"], selection["seed"], curve) == (None, None, {})
        assert selection["best"] == 64
        assert any("newest" in note for note in notes)
    else:
        assert selection["key"].startswith("fd_" if allow_small else "kd_")
        assert set(curve) == {32, 64}
        assert selection["best"] == min(curve, key=curve.get)
        assert allow_small or any(selection["key"] in note for note in notes)


def check_outs(result, reports):
    assert json.loads((reports / "evaluation.json").read_text()) == result
    metrics = json.loads((reports / "metrics.json").read_text())
    assert metrics["best_images_seen"] == result["selection"]["best"]
    assert set(result["metrics"]) <= set(metrics)
    lines = (reports / "snapshots.tsv").read_text().splitlines()
    assert lines[0] == "images_seen\tdistance"
    assert len(lines) == 1 + len(result["selection"]["curve"])
    for name in ("best", "closest", "interpolation"):
        with Image.open(reports / f"{name}.png") as picture:
            picture.load()
    page = lxml.html.fromstring((reports / "report.html").read_text())
    text = " ".join(page.text_content().split())
    assert all(note in text for note in result["notes"])
    assert len(page.xpath("//svg")) == bool(result["selection"]["curve"])


def test_commands_accept_a_run_without_any_metric(
    tmp_path, write_cache, write_params, monkeypatch
):
    """With three images and `allow_small: false` none of these metrics can be computed."""
    images = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    write_cache(tmp_path / "cache", images)
    save_corners(tmp_path / "weights")
    changes = {"evaluate.allow_small": False, "evaluate.metrics": [*BIASED, "kernel_distance"]}
    write_params(tmp_path / "params.yaml", CHANGES | changes)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "preprocess.json").write_text('{"train": 3, "holdout": 0}')
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)

    def gan(*command, store="mlflow.db"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / store}")
        done = CliRunner().invoke(app, command)
        if done.exception:
            raise done.exception
        return done.stdout

    for stage in ("reference", "train", "evaluate"):
        gan(stage)
    metrics = json.loads((tmp_path / "reports" / "metrics.json").read_text())
    assert set(metrics) == {"best_images_seen", "run_key"}
    assert metrics["run_key"] in gan("summary")
    (run,) = json.loads(gan("runs", "--json"))
    assert run["metrics"]["best_images_seen"] == 64
    shutil.copytree(tmp_path / "reports", tmp_path / "again")
    for runs in (["latest", "again"], ["reports", "again"]):
        with pytest.raises(GanError):
            gan("compare", *runs)
    gan("results", "add", "few", "--out", "results")
    gan("results", "render", "--folder", "results")
    assert "few" in (tmp_path / "results.md").read_text()
    (card,) = tmp_path.glob("mlartifacts/**/README.md")
    result = json.loads((tmp_path / "reports" / "evaluation.json").read_text())
    text = card.read_text().replace("\\", "")
    assert all(note in text for note in result["notes"])
    gan("sync", store="another.db")  # creates the run from the files of this checkout
    (run,) = json.loads(gan("runs", "--json", store="another.db"))
    assert run["metrics"]["best_images_seen"] == 64
