"""The evaluate stage, and the evaluation of one checkpoint or folder, on a cache of noise."""

import json
import shutil
import sqlite3
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from corner_features import FILE, save_corners
from mlflow import MlflowClient
from PIL import Image
from typer.testing import CliRunner

from gan.checkpoints import Origin, load_generator, save_checkpoint
from gan.errors import GanError
from gan.features.extraction import allocate_features, extract_features, image_batches
from gan.features.statistics import statistics_of
from gan.metrics.frechet_distance import frechet_distance
from gan.models.build import build_generator, initialise
from gan.sampling import draw_latents, generate
from gan.tensor_cache import TensorCache
from pipeline.cli.main import app
from pipeline.evaluation.result import read_result
from pipeline.evaluation.subject import CheckpointSubject
from pipeline.features.extractors import open_extractor
from pipeline.paths import Paths
from pipeline.runs.evaluate_one import Request, evaluate_one
from pipeline.stages import evaluate, reference
from pipeline.tracking import open_run, stage_runs
from pipeline.tracking.evaluation_run import Own

SMALL = {
    "evaluate.num_fakes": 24,
    "evaluate.report_seeds": [2, 3],
    "evaluate.selection_fakes": 20,
    "evaluate.allow_small": True,
    "evaluate.splits": ["train", "holdout"],
    "features.extractors": [FILE],
}
FEW = {"evaluate.metrics": ["frechet_distance", "kernel_distance"]}


def keys(name):
    """Keys of every metric that the stage can compute by the extractor of this name."""
    alone = {f"is_{name}_24", "memorisation_pixels_24", "memorisation_p_pixels_24"}
    compared = ("fd", "precision", "recall", "density", "coverage")
    small = {f"{each}_{name}_24{split}_small24" for each in compared for split in ("", "_holdout")}
    kernel = {f"{each}_{name}_24{split}" for each in ("kd", "kd_se") for split in ("", "_holdout")}
    return alone | small | kernel


def write_snapshot(paths, params, digest, seen, gain):
    """Save a generator whose contrast grows with `gain`, so that the distances differ."""
    generator = build_generator(params.model, 32)
    initialise(generator, params.model.generator, torch.Generator().manual_seed(seen))
    with torch.no_grad():
        list(generator.parameters())[-2].mul_(gain)
    model = params.model.model_dump()
    origin = Origin(model, 32, seen, "r" * 64, digest, "tiny")
    path = paths.models / "snapshots" / f"{seen:012d}.pt"
    raw = {name: -value for name, value in generator.state_dict().items()}
    save_checkpoint(path, origin, generator.eval(), {"generator": raw} if seen == 192 else None)
    return path


@pytest.fixture(scope="module")
def checkout(tmp_path_factory, make_params, write_cache):
    """A cache of 60 + 60 images, its reference, three snapshots of different quality."""
    paths, params = Paths(tmp_path_factory.mktemp("checkout")), make_params(SMALL)
    images = np.random.default_rng(0).integers(0, 256, (120, 32, 32, 3), dtype=np.uint8)
    write_cache(paths.cache, images, holdout=60)
    digest = TensorCache.open(paths.cache).digest
    for seen, gain in ((64, 1.0), (128, 40.0), (192, 0.0)):
        write_snapshot(paths, params, digest, seen, gain)
    save_corners(paths.weights, classes=True)
    reference.run(params, paths)
    return paths


@pytest.fixture(scope="module")
def extractor(checkout, make_params):
    return open_extractor(FILE, make_params(SMALL).features, checkout, torch.device("cpu"))


@pytest.fixture(scope="module")
def name(extractor):
    """Name of the extractor in metric keys: script_ and digits of the file's sha256."""
    return extractor.name


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture(autouse=True)
def _store(monkeypatch, store):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)


@pytest.fixture(scope="module")
def stage(checkout, make_params, store):
    """The whole stage, logged to the MLflow run of a finished training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", store)
        patch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
        run = open_run.start_run(
            checkout,
            experiment="avatars",
            name="tiny",
            run_key="r" * 64,
            folder=checkout.root / "run",
        )
        run.close()
        evaluation = stage_runs.evaluate(make_params(SMALL), checkout)
    lines = (checkout.reports / "snapshots.tsv").read_text().splitlines()[1:]
    curve = {int(seen): float(value) for seen, value in (line.split("\t") for line in lines)}
    return SimpleNamespace(evaluation=evaluation, curve=curve, run_id=run.run_id)


def distance(extractor, batches, count, real):
    """Fréchet distance of a set of images to (n, H, W, 3) real ones, step by step."""
    sides = []
    for images, length in ((batches, count), (image_batches(real, 16), len(real))):
        features = allocate_features(length, extractor)
        extract_features(images, [extractor], [features])
        sides.append(statistics_of(features))
    return frechet_distance(*sides)


def generate_fakes(path, seed, count):
    generator, _ = load_generator(path)
    return generate(generator, draw_latents(seed, "evaluate", count, generator.latent_size))


@pytest.mark.slow
def test_the_best_snapshot_is_the_minimum_of_the_curve_and_kept_byte_for_byte(
    checkout, stage, extractor
):
    assert sorted(stage.curve) == [64, 128, 192]
    best = min(stage.curve, key=stage.curve.get)
    selection = stage.evaluation.result.selection
    assert (selection.best, selection.seed) == (best, 1)
    chosen = checkout.models / "snapshots" / f"{best:012d}.pt"
    assert (checkout.models / "best.pt").read_bytes() == chosen.read_bytes()
    real = TensorCache.open(checkout.cache).split("train")
    assert stage.curve[best] == pytest.approx(
        distance(extractor, generate_fakes(chosen, 1, 20), 20, real), rel=1e-5
    )


@pytest.mark.slow
def test_a_metric_is_the_mean_over_the_report_seeds(checkout, stage, name, extractor):
    best = checkout.models / "best.pt"
    for split, key in (
        ("train", f"fd_{name}_24_small24"),
        ("holdout", f"fd_{name}_24_holdout_small24"),
    ):
        real = TensorCache.open(checkout.cache).split(split)
        found = stage.evaluation.result.metrics[key]
        fakes = [generate_fakes(best, seed, 24) for seed in (2, 3)]
        expected = [distance(extractor, each, 24, real) for each in fakes]
        assert found.values == pytest.approx(expected, rel=1e-5)
        assert found.value == pytest.approx(np.mean(expected), rel=1e-5)
        assert found.deviation == pytest.approx(np.std(expected, ddof=1), rel=0.05)
        assert (found.fakes, found.reals) == (24, 60)


@pytest.mark.slow
def test_every_metric_is_computed_or_named_in_a_note(stage, name):
    assert set(stage.evaluation.metrics) == keys(name)
    notes = stage.evaluation.result.notes
    infinity = [note for note in notes if note.startswith("no frechet_infinity")]
    assert infinity
    assert all("needs 26" in note for note in infinity)


@pytest.mark.slow
def test_reports_hold_metrics_protocol_and_pictures(checkout, stage, name):
    metrics = json.loads((checkout.reports / "metrics.json").read_text())
    assert metrics["deviation"] == stage.evaluation.deviations
    assert keys(name) | {"best_images_seen", "run_key", "deviation"} == set(metrics)
    result = json.loads((checkout.reports / "evaluation.json").read_text())
    assert read_result(checkout.reports / "evaluation.json") == stage.evaluation.result
    assert result["references"]["train"]["digest"] != result["references"]["holdout"]["digest"]
    assert not result["references"]["train"]["other"]
    page = (checkout.reports / "report.html").read_text()
    for digest in (result["subject"]["sha256"], "r" * 64, result["subject"]["trained_on"]):
        assert digest in page
    for name in ("best.png", "closest.png"):
        with Image.open(checkout.reports / name) as picture:
            assert min(picture.size) > 100


@pytest.mark.slow
def test_evaluating_again_without_kept_features_gives_equal_bytes(
    checkout, stage, make_params, tmp_path
):
    names = ("metrics.json", "evaluation.json", "report.html", "closest.png", "snapshots.tsv")
    before = {name: (checkout.reports / name).read_bytes() for name in names}
    again = Paths(tmp_path)
    (tmp_path / "cache").symlink_to(checkout.cache)
    (tmp_path / "weights").symlink_to(checkout.weights)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "snapshots").symlink_to(checkout.models / "snapshots")
    evaluate.run(make_params(SMALL), again)
    assert {name: (again.reports / name).read_bytes() for name in names} == before


@pytest.mark.slow
def test_metrics_are_logged_to_the_run_of_the_training_at_its_last_step(stage, store, name):
    client = MlflowClient(store)
    (run,) = client.search_runs(
        [client.get_experiment_by_name("avatars").experiment_id],
        f"tags.run_key = '{'r' * 64}'",
    )
    assert run.info.run_id == stage.run_id
    assert run.info.status == "FINISHED"
    best, last = stage.evaluation.result.selection.best, max(stage.curve)
    assert run.data.metrics["best_images_seen"] == best
    for key in keys(name):  # at the end, where MLflow's table looks for the latest value
        (point,) = client.get_metric_history(run.info.run_id, key)
        assert (point.step, point.value) == (last, stage.evaluation.metrics[key])
    curve = client.get_metric_history(run.info.run_id, f"selection/fd_{name}_20_small20")
    assert {point.step: point.value for point in curve} == stage.curve
    (kept,) = client.list_artifacts(run.info.run_id, "best")
    assert kept.path == f"best/{best:012d}.pt"
    pages = {each.path for each in client.list_artifacts(run.info.run_id, "evaluation")}
    assert pages == {"evaluation/evaluation.json", "evaluation/report.html"}
    images = [each.path for each in client.list_artifacts(run.info.run_id, "images")]
    assert [name for name in images if "closest" in name]
    assert set(json.loads(run.data.tags["protocols"])) == keys(name)


@pytest.mark.slow
def test_one_checkpoint_gets_the_same_metrics_beside_those_of_the_run(
    checkout, stage, make_params, store, tmp_path, name
):
    client = MlflowClient(store)
    before = {key: client.get_run(stage.run_id).data.metrics[key] for key in keys(name)}
    found = evaluate_one(
        Request(ckpt=checkout.models / "best.pt", out=tmp_path), make_params(SMALL), checkout
    )
    assert found.metrics == stage.evaluation.metrics
    after = client.get_run(stage.run_id).data.metrics
    assert {key: after[key] for key in keys(name)} == before
    assert {key: after[f"checkpoint/{key}"] for key in keys(name)} == found.metrics
    written = {"metrics.json", "evaluation.json", "report.html"}
    written |= {"grid.png", "closest.png", "interpolation.png"}
    assert {file.name for file in tmp_path.iterdir()} == written


@pytest.mark.slow
def test_the_same_images_as_files_or_as_statistics_get_the_same_metrics(
    checkout, make_params, tmp_path, name
):
    params = make_params(SMALL | FEW | {"evaluate.report_seeds": [2]})
    best = checkout.models / "snapshots" / f"{64:012d}.pt"
    images = torch.cat(list(generate_fakes(best, 2, 24))).permute(0, 2, 3, 1).numpy()
    real = TensorCache.open(checkout.cache).split("train")
    for folder, content in (("fakes", images), ("reals", real)):
        (tmp_path / folder).mkdir()
        for number, image in enumerate(content):
            Image.fromarray(image).save(tmp_path / folder / f"{number:04d}.png")
    expected = evaluate_one(Request(ckpt=best, against=["train"]), params, checkout).metrics
    request = Request(images=tmp_path / "fakes", against=["train"], workers=3)
    assert evaluate_one(request, params, checkout).metrics == expected
    elsewhere = Request(ckpt=best, against=[str(tmp_path / "reals")])
    found = evaluate_one(elsewhere, params, checkout)
    assert list(found.metrics.values()) == list(expected.values())
    assert all("_vs_reals_" in key for key in found.metrics)
    assert [each.other for each in found.result.references.values()] == [True]
    file = tmp_path / "reals.npz"
    request = Request(images=tmp_path / "reals", statistics=file)
    evaluate_one(request, params, checkout)
    assert {"mu", "sigma"} <= set(np.load(file))
    by_file = evaluate_one(Request(ckpt=best, against=[str(file)]), params, checkout)
    (key,) = by_file.metrics
    assert by_file.metrics[key] == expected[f"fd_{name}_24_small24"]
    assert [note for note in by_file.result.notes if note.startswith("no kernel_distance")]


@pytest.mark.slow
def test_pixels_that_do_not_match_the_digest_leave_no_features(checkout, make_params, tmp_path):
    paths, params = Paths(tmp_path), make_params(SMALL | FEW)
    shutil.copytree(checkout.cache, paths.cache)
    paths.weights.symlink_to(checkout.weights)
    best = checkout.models / "snapshots" / f"{64:012d}.pt"
    whole = (paths.cache / "images.npy").read_bytes()
    (paths.cache / "images.npy").write_bytes(whole[:-5] + b"wrong")
    with pytest.raises(GanError, match="pixels"):
        evaluate_one(Request(ckpt=best), params, paths)
    (paths.cache / "images.npy").write_bytes(whole)
    found = evaluate_one(Request(ckpt=best), params, paths).metrics
    assert found == evaluate_one(Request(ckpt=best), params, checkout).metrics


@pytest.mark.slow
def test_too_few_images_lose_only_the_metrics_that_need_more(
    checkout, make_params, tmp_path, name
):
    for number in range(3):
        image = np.full((32, 32, 3), 80 * number, np.uint8)
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    found = evaluate_one(Request(images=tmp_path), make_params(SMALL), checkout)
    assert f"fd_{name}_3_small3" in found.metrics
    assert not [key for key in found.metrics if key.startswith(("kd_", "is_", "precision_"))]
    notes = "\n".join(found.result.notes)
    assert "it needs 4 on each side" in notes
    assert "it needs 10" in notes


@pytest.mark.slow
def test_a_reference_or_extractor_that_is_named_twice_is_refused(checkout, make_params):
    best = checkout.models / "snapshots" / f"{64:012d}.pt"
    for request in (
        Request(ckpt=best, against=["train", "train"]),
        Request(ckpt=best, extractors=[FILE, FILE]),
    ):
        with pytest.raises(GanError, match="is named twice"):
            evaluate_one(request, make_params(SMALL | FEW), checkout)


@pytest.mark.slow
def test_a_statistics_file_is_not_written_into_dvcs_folders(checkout, make_params, name):
    best = checkout.models / "snapshots" / f"{64:012d}.pt"
    file = checkout.reference / f"{name}-train.npz"
    before = file.read_bytes()
    for name in (file, checkout.reports / "x.npz"):
        with pytest.raises(GanError, match="belongs to DVC's stages"):
            evaluate_one(Request(ckpt=best, statistics=name), make_params(SMALL), checkout)
    assert file.read_bytes() == before


@pytest.mark.slow
def test_an_evaluation_does_not_change_the_generator(checkout, make_params):
    params = make_params(SMALL | FEW)
    path = checkout.models / "snapshots" / f"{64:012d}.pt"
    before, subject = load_generator(path)[0].state_dict(), CheckpointSubject.open(path)
    list(subject.batches(2, 40))
    subject.grid()
    after = subject.generator.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not subject.generator.training
    content = path.read_bytes()
    evaluate_one(Request(ckpt=path), params, checkout)
    assert path.read_bytes() == content


@pytest.mark.slow
def test_evaluating_a_run_again_replaces_its_metrics(checkout, stage, make_params, store, name):
    params = make_params(SMALL | FEW | {"evaluate.report_seeds": [7]})
    last = max(stage.curve)
    own = Own(stage.run_id, last)
    best = checkout.models / "best.pt"
    found = evaluate_one(Request(ckpt=best, own=own), params, checkout)
    run = MlflowClient(store).get_run(stage.run_id).data
    assert {key: run.metrics[key] for key in found.metrics} == found.metrics
    assert found.metrics[f"kd_{name}_24"] != stage.evaluation.metrics[f"kd_{name}_24"]
    assert np.isnan(run.metrics[f"deviation/kd_{name}_24"])  # that of two seeds is gone
    assert set(json.loads(run.tags["protocols"])) == set(found.metrics)


@pytest.mark.slow
def test_batch_size_and_workers_change_nothing(checkout, make_params, name):
    best = checkout.models / "snapshots" / f"{64:012d}.pt"
    found = []
    for size in (1, 7, 64):
        params = make_params(SMALL | {"features.batch_size": size})
        found.append(evaluate_one(Request(ckpt=best), params, checkout).metrics)
    assert set(found[0]) == keys(name)
    for other in found[1:]:
        assert other == pytest.approx(found[0], rel=1e-6)


@pytest.mark.slow
def test_the_raw_generator_has_other_metrics_under_raw_keys(checkout, make_params, name):
    params = make_params(SMALL | FEW)
    last = checkout.models / "snapshots" / f"{192:012d}.pt"
    averaged = evaluate_one(Request(ckpt=last), params, checkout).metrics
    raw = evaluate_one(Request(ckpt=last, weights="raw"), params, checkout).metrics
    assert {key.replace("_raw", "") for key in raw} == set(averaged)
    assert all(f"{name}_raw_24" in key for key in raw)
    assert raw[f"fd_{name}_raw_24_small24"] != averaged[f"fd_{name}_24_small24"]
    first = checkout.models / "snapshots" / f"{64:012d}.pt"
    with pytest.raises(GanError, match=r"064\.pt.*averaged generator"):
        evaluate_one(Request(ckpt=first, weights="raw"), params, checkout)


@pytest.mark.slow
def test_a_checkpoint_of_other_data_is_refused_unless_asked_for(
    checkout, make_params, tmp_path, store, name
):
    params = make_params(SMALL | FEW)
    path = write_snapshot(Paths(tmp_path), params, "e" * 64, 64, 1.0)
    with pytest.raises(GanError, match="--other-data"):
        evaluate_one(Request(ckpt=path), params, checkout)
    before = count_metrics(store)
    out = tmp_path / "deep" / "out"
    found = evaluate_one(Request(ckpt=path, other_data=True, out=out), params, checkout)
    digest = TensorCache.open(checkout.cache).digest[:8]
    assert f"fd_{name}_24_other_{digest}_small24" in found.metrics
    assert all(f"_other_{digest}" in key for key in found.metrics)
    assert all(each.other for each in found.result.references.values())
    assert not found.result.memorisation
    assert "other data" in (out / "report.html").read_text()
    assert count_metrics(store) == before  # metrics on other data are not logged to the run


def count_metrics(store):
    with sqlite3.connect(store.removeprefix("sqlite:///")) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
        if "metrics" not in tables:
            return 0
        return database.execute("SELECT count(*) FROM metrics").fetchone()[0]


@pytest.mark.slow
def test_a_recorded_run_is_found_by_its_id_and_gets_the_same_metrics(
    checkout, stage, write_params, monkeypatch, tmp_path
):
    params = write_params(tmp_path / "params.yaml", SMALL)
    monkeypatch.chdir(checkout.root)
    command = ["evaluate", "--params", str(params), "--run"]
    done = CliRunner().invoke(app, [*command, stage.run_id[:8]])
    assert done.exit_code == 0
    shown = dict(line.split("\t")[:2] for line in done.stdout.splitlines() if "\t" in line)
    assert {key: float(value) for key, value in shown.items()} == pytest.approx(
        stage.evaluation.metrics, rel=1e-5
    )
    refused = CliRunner().invoke(app, [*command, "0123456789"]).exception
    assert isinstance(refused, GanError)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--ckpt", "a.pt", "--images", "b"], "exclude each other"),
        (["--fakes", "10"], "without --ckpt, --run or --images"),
        (["--images", "b", "--seeds", "2-4"], "go with --ckpt and --run"),
        (["--ckpt", "a.pt", "--metrics", "fid"], "evaluate.metrics"),
        (["--ckpt", "a.pt", "--metrics", "frechet"], "frechet_distance"),
        (["--ckpt", "a.pt", "--metrics", ""], "evaluate.metrics = []"),
        (["--ckpt", "a.pt", "--fakes", "1"], "evaluate.num_fakes = 1"),
        (["--ckpt", "a.pt", "--seeds", "1-3"], "is one of report_seeds"),
        (["--ckpt", "a.pt", "--seeds", "x"], "--seeds"),
        (["--ckpt", "a.pt"], "a.pt: no such checkpoint file"),
        (["--images", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_wrong_options_are_one_line(write_params, tmp_path, monkeypatch, options, words):
    params = write_params(tmp_path / "params.yaml", SMALL)
    monkeypatch.chdir(tmp_path)
    refused = CliRunner().invoke(app, ["evaluate", *options, "--params", str(params)]).exception
    assert isinstance(refused, GanError)
    assert words in str(refused)
    assert "\n" not in str(refused)


@pytest.mark.slow
def test_an_evaluation_without_any_metric_is_an_error(checkout, make_params):
    params = make_params(SMALL | {"evaluate.metrics": ["frechet_infinity"]})
    best = checkout.models / "snapshots" / f"{64:012d}.pt"
    with pytest.raises(GanError, match=r"frechet_infinity.* 26"):
        evaluate_one(Request(ckpt=best), params, checkout)


@pytest.mark.slow
def test_weights_that_are_not_finite_are_refused_in_one_line(checkout, make_params, tmp_path):
    params = make_params(SMALL)
    digest = TensorCache.open(checkout.cache).digest
    path = write_snapshot(Paths(tmp_path), params, digest, 64, float("nan"))
    with pytest.raises(GanError, match="not finite") as caught:
        evaluate_one(Request(ckpt=path), params, checkout)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_an_output_folder_that_belongs_to_dvc_is_refused(checkout, make_params):
    best = checkout.models / "snapshots" / f"{64:012d}.pt"
    for out in (checkout.reports, checkout.models / "deep"):
        with pytest.raises(GanError, match="choose another --out"):
            evaluate_one(Request(ckpt=best, out=out), make_params(SMALL), checkout)


@pytest.mark.slow
def test_too_few_images_are_refused_unless_asked_for(checkout, make_params, name):
    best = checkout.models / "snapshots" / f"{64:012d}.pt"
    params = make_params(SMALL | {"evaluate.allow_small": False})
    with pytest.raises(GanError, match=r"evaluate\.allow_small"):
        evaluate_one(Request(ckpt=best), params, checkout)
    only_kernel = {"evaluate.allow_small": False, "evaluate.metrics": ["kernel_distance"]}
    kernel = make_params(SMALL | only_kernel)
    found = evaluate_one(Request(ckpt=best, against=["holdout"]), kernel, checkout)
    assert set(found.metrics) == {f"kd_{name}_24_holdout", f"kd_se_{name}_24_holdout"}


@pytest.mark.slow
def test_few_images_of_a_named_reference_need_the_option(
    checkout, write_params, tmp_path, monkeypatch
):
    params = write_params(tmp_path / "params.yaml", SMALL | FEW)
    monkeypatch.chdir(checkout.root)
    for number in range(3):
        image = np.full((32, 32, 3), 80 * number, np.uint8)
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    best = str(checkout.models / "snapshots" / f"{64:012d}.pt")
    for named in (["--ckpt", best, "--against", "train"], ["--images", str(tmp_path)]):
        command = ["evaluate", *named, "--params", str(params)]
        refused = CliRunner().invoke(app, command).exception
        assert isinstance(refused, GanError)
        assert "--allow-small" in str(refused)
        allowed = CliRunner().invoke(app, [*command, "--allow-small"])
        assert allowed.exit_code == 0
        assert "_small" in allowed.stdout
    unnamed = CliRunner().invoke(app, ["evaluate", "--ckpt", best, "--params", str(params)])
    assert unnamed.exit_code == 0
    assert "_small" in unnamed.stdout


def test_snapshots_of_another_cache_are_refused(tmp_path, make_params, write_cache, noise_images):
    paths, params = Paths(tmp_path), make_params(SMALL)
    write_cache(paths.cache, noise_images, holdout=10)
    with pytest.raises(GanError, match="gan train"):
        stage_runs.evaluate(params, paths)
    write_snapshot(paths, params, "e" * 64, 64, 1.0)
    with pytest.raises(GanError, match=r"e{12}.*gan train"):
        stage_runs.evaluate(params, paths)
    assert not paths.reports.exists()
