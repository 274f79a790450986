import hashlib
import json
import sqlite3
from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_fid.inception as peer
import torch
import torchvision
from mlflow import MlflowClient

from gan.cache import TensorCache
from gan.checkpoints import Origin, save_checkpoint
from gan.errors import GanError
from gan.metrics.keys import metric_key
from gan.models.build import build_generator, initialise
from pipeline import evaluate as stage
from pipeline import reference, tracking
from pipeline.paths import Paths

SMALL = {
    "evaluate.num_fakes": 24,
    "evaluate.selection_fakes": 20,
    "evaluate.allow_small": True,
    "evaluate.splits": ["train", "holdout"],
}
KEYS = {"fd_lite0_24_small24", "fd_lite0_24_holdout_small10"}


def snapshot(paths, params, digest, seen, gain):
    """A generator whose contrast grows with `gain`, so that the distances differ."""
    generator = build_generator(params.model, 32)
    initialise(generator, params.model.generator, torch.Generator().manual_seed(seen))
    with torch.no_grad():
        list(generator.parameters())[-2].mul_(gain)
    model = params.model.model_dump()
    origin = Origin(model, 32, seen, "r" * 64, digest, "tiny")
    path = paths.models / "snapshots" / f"{seen:012d}.pt"
    save_checkpoint(path, origin, generator.eval())
    return path


@pytest.fixture(scope="module")
def checkout(tmp_path_factory, make_params, write_cache, noise_images):
    """A cache of 40 + 10 images, its reference, three snapshots of different quality."""
    paths, params = Paths(tmp_path_factory.mktemp("checkout")), make_params(SMALL)
    write_cache(paths.cache, noise_images, holdout=10)
    digest = TensorCache.open(paths.cache).digest
    for seen, gain in ((64, 1.0), (128, 40.0), (192, 0.0)):
        snapshot(paths, params, digest, seen, gain)
    reference.run(params, paths)
    return paths


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture(autouse=True)
def _store(monkeypatch, store):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)


@pytest.fixture(scope="module")
def evaluated(checkout, make_params, store):
    """The whole stage on the row of a finished training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", store)
        patch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
        row = tracking.start(
            checkout,
            experiment="avatars",
            name="tiny",
            run_key="r" * 64,
            spool=checkout.root / "spool",
        )
        row.close()
        evaluation = stage.run(make_params(SMALL), checkout)
    lines = (checkout.reports / "snapshots.tsv").read_text().splitlines()[1:]
    curve = {int(seen): float(value) for seen, value in (line.split("\t") for line in lines)}
    return SimpleNamespace(evaluation=evaluation, curve=curve, row=row.run_id)


@pytest.mark.slow
def test_the_best_snapshot_is_the_minimum_of_the_curve_and_kept_byte_for_byte(checkout, evaluated):
    assert sorted(evaluated.curve) == [64, 128, 192]
    best = min(evaluated.curve, key=evaluated.curve.get)
    assert best == evaluated.evaluation.origin.images_seen
    kept = checkout.models / "snapshots" / f"{best:012d}.pt"
    assert (checkout.models / "best.pt").read_bytes() == kept.read_bytes()


@pytest.mark.slow
def test_the_report_names_its_numbers_and_holds_no_times(checkout, evaluated):
    reported = json.loads((checkout.reports / "metrics.json").read_text())
    assert set(reported) == KEYS | {"best_images_seen", "run_key"}
    assert reported["run_key"] == "r" * 16
    for key in KEYS:
        assert reported[key] == pytest.approx(evaluated.evaluation.metrics[key], rel=1e-5)
    assert (checkout.reports / "best.png").is_file()


@pytest.mark.slow
def test_the_numbers_are_reported_on_another_seed_than_chose(checkout, evaluated, make_params):
    best = checkout.models / "best.pt"
    params = make_params(SMALL | {"evaluate.selection_fakes": 24})
    (judge,) = stage.judges(params, checkout, TensorCache.open(checkout.cache))
    key = metric_key("fd_lite0", 24, "train", 24)
    assert stage.selection_key(params, judge) == key
    chosen = stage._selection_score(best, params, judge)[1]
    assert chosen != pytest.approx(evaluated.evaluation.metrics[key], rel=1e-6)
    # on swapped seeds the chooser sees exactly what was reported
    swapped = {"evaluate.selection_seed": 2, "evaluate.report_seed": 1}
    params = make_params(SMALL | {"evaluate.selection_fakes": 24} | swapped)
    again = stage._selection_score(best, params, judge)[1]
    assert again == pytest.approx(evaluated.evaluation.metrics[key], rel=1e-9)


@pytest.mark.slow
def test_the_numbers_land_on_the_trainings_row_at_their_steps(evaluated, store):
    client = MlflowClient(store)
    (row,) = client.search_runs(
        [client.get_experiment_by_name("avatars").experiment_id],
        f"tags.run_key = '{'r' * 64}'",
    )
    assert row.info.run_id == evaluated.row
    assert row.info.status == "FINISHED"
    best, last = evaluated.evaluation.origin.images_seen, max(evaluated.curve)
    assert row.data.metrics["best_images_seen"] == best
    for key in KEYS:  # at the end, where MLflow's table looks for the latest value
        (point,) = client.get_metric_history(row.info.run_id, key)
        assert (point.step, point.value) == (last, evaluated.evaluation.metrics[key])
    curve = client.get_metric_history(row.info.run_id, "selection/fd_lite0_20_small20")
    found = {point.step: float(f"{point.value:.6g}") for point in curve}
    assert found == evaluated.curve
    (kept,) = client.list_artifacts(row.info.run_id, "best")
    assert kept.path == f"best/{best:012d}.pt"


@pytest.mark.slow
def test_without_weights_fid_is_absent_and_that_is_said(checkout, evaluated, make_params, capsys):
    best = checkout.models / "best.pt"
    found = stage.run_checkpoint(best, make_params(SMALL), checkout, None, other_data=False)
    assert not [key for key in found.metrics if key.startswith("fid")]
    assert "fid is missing" in capsys.readouterr().err
    assert found.metrics == evaluated.evaluation.metrics


@pytest.mark.slow
def test_another_checkpoint_does_not_change_the_rows_own_numbers(
    checkout, evaluated, make_params, store, tmp_path
):
    client = MlflowClient(store)
    before = {key: client.get_run(evaluated.row).data.metrics[key] for key in KEYS}
    last = max((checkout.models / "snapshots").iterdir())
    found = stage.run_checkpoint(last, make_params(SMALL), checkout, tmp_path, other_data=False)
    after = client.get_run(evaluated.row).data.metrics
    assert {key: after[key] for key in KEYS} == before
    assert {key: after[f"checkpoint/{key}"] for key in KEYS} == found.metrics


@pytest.mark.slow
def test_an_output_folder_that_belongs_to_dvc_is_refused(checkout, make_params):
    best = checkout.models / "best.pt"
    for out in (checkout.reports, checkout.models / "deep"):
        with pytest.raises(GanError, match="choose another --out"):
            stage.run_checkpoint(best, make_params(SMALL), checkout, out, other_data=False)


@pytest.mark.slow
def test_a_split_too_small_is_skipped_with_a_message_and_none_left_is_an_error(
    tmp_path, make_params, write_cache, capsys
):
    paths = Paths(tmp_path)
    images = np.random.default_rng(1).integers(0, 256, (2058, 32, 32, 3), dtype=np.uint8)
    write_cache(paths.cache, images, holdout=10)
    fair = SMALL | {"evaluate.allow_small": False, "evaluate.num_fakes": 2048}
    params = make_params(fair)
    reference.run(params, paths)
    cache = TensorCache.open(paths.cache)
    panel = stage.judges(params, paths, cache)
    assert panel[0].splits(params, 2048) == {"train": None}
    stage.say_what_is_missing(params, paths, panel)
    assert "holdout: no number for this split: 10 real images" in capsys.readouterr().err
    for change in ({"evaluate.num_fakes": 24}, {"evaluate.splits": ["holdout"]}):
        with pytest.raises(GanError, match="no split with 2048 images"):
            stage.judges(make_params(fair | change), paths, cache)


@pytest.mark.slow
def test_a_checkpoint_of_other_data_is_refused_unless_asked_for(
    checkout, make_params, tmp_path, store
):
    params = make_params(SMALL)
    path = snapshot(Paths(tmp_path), params, "e" * 64, 64, 1.0)
    with pytest.raises(GanError, match=r"other data.*--other-data"):
        stage.run_checkpoint(path, params, checkout, None, other_data=False)
    before = points(store)
    out = tmp_path / "deep" / "out"
    found = stage.run_checkpoint(path, params, checkout, out, other_data=True)
    assert set(found.metrics) == KEYS
    assert {file.name for file in out.iterdir()} == {"metrics.json", "grid.png"}
    assert points(store) == before  # a number on other data is no number of that run


def points(store):
    with sqlite3.connect(store.removeprefix("sqlite:///")) as database:
        tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
        if "metrics" not in tables:
            return 0
        return database.execute("SELECT count(*) FROM metrics").fetchone()[0]


def test_snapshots_of_another_cache_are_not_judged_by_this_one(
    tmp_path, make_params, write_cache, noise_images
):
    paths, params = Paths(tmp_path), make_params(SMALL)
    write_cache(paths.cache, noise_images, holdout=10)
    with pytest.raises(GanError, match="no snapshot to evaluate; run `gan train`"):
        stage.run(params, paths)
    snapshot(paths, params, "e" * 64, 64, 1.0)
    with pytest.raises(GanError, match=r"trained on other data.*run `gan train`"):
        stage.run(params, paths)
    assert not paths.reports.exists()


@pytest.mark.slow
def test_other_inception_weights_give_a_key_that_names_them(checkout, make_params, tmp_path):
    torch.manual_seed(0)
    paths = Paths(tmp_path)
    (tmp_path / "cache").symlink_to(checkout.cache)
    weights = paths.weights / "pt_inception-2015-12-05-6726825d.pth"
    weights.parent.mkdir()
    with pytest.MonkeyPatch.context() as patch:  # the network as built, with nothing downloaded
        patch.setattr(peer, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(torchvision.models.Inception3, "load_state_dict", lambda *_: None)
        torch.save(peer.fid_inception_v3().state_dict(), weights)
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    few = {"evaluate.num_fakes": 4, "evaluate.splits": ["holdout"]}
    params = make_params(SMALL | few | {"features.inception_sha256": sha256})
    reference.run(params, paths)
    best = snapshot(paths, params, TensorCache.open(paths.cache).digest, 64, 1.0)
    found = stage.run_checkpoint(best, params, paths, None, other_data=False)
    assert set(found.metrics) == {
        "fd_lite0_4_holdout_small4",
        f"fd_inception_{sha256[:8]}_4_holdout_small4",
    }
