"""The evaluate stage, and the evaluation of one checkpoint or folder, on a cache of noise."""

import json
import shutil
from pathlib import Path
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
from gan.features.statistics import save_statistics, statistics_of
from gan.metrics.frechet_distance import frechet_distance
from gan.models.interfaces import build_generator, initialise
from gan.sampling import draw_latents, generate
from gan.tensor_cache import TensorCache
from pipeline.cli.main import app
from pipeline.evaluation.face_share import enlarge
from pipeline.evaluation.result import read_result
from pipeline.evaluation.subject import CheckpointSubject
from pipeline.faces import animeface, detector
from pipeline.faces.box import Box
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
PIXELS = ["sliced_wasserstein", "spectrum_distance"]
FEW = {"evaluate.metrics": ["frechet_distance", "kernel_distance", *PIXELS]}


def keys(name):
    """Keys of every metric that the stage can compute by the extractor of this name."""
    alone = {f"is_{name}_24", "memorisation_pixels_24", "memorisation_p_pixels_24"}
    biased = [f"{each}_{name}" for each in ("fd", "precision", "recall", "density", "coverage")]
    biased += ["swd", "swd_32px", "swd_16px"]
    unbiased = [f"kd_{name}", f"kd_se_{name}", "spectrum"]
    small = {f"{each}_24{split}_small24" for each in biased for split in ("", "_holdout")}
    return alone | small | {f"{each}_24{split}" for each in unbiased for split in ("", "_holdout")}


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
def first(checkout):
    """The oldest snapshot, which holds no raw weights."""
    return checkout.models / "snapshots" / f"{64:012d}.pt"


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
        folder = checkout.root / "run"
        run = open_run.start_run(checkout, name="tiny", run_key="r" * 64, folder=folder)
        run.close()
        evaluation = stage_runs.evaluate(make_params(SMALL), checkout)
    lines = (checkout.reports / "snapshots.tsv").read_text().splitlines()[1:]
    curve = {int(seen): float(value) for seen, value in (line.split("\t") for line in lines)}
    return SimpleNamespace(
        evaluation=evaluation, curve=curve, run_id=run.run_id, result=evaluation.result
    )


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
    selection = stage.result.selection
    assert (selection.best, selection.seed) == (best, 1)
    chosen = checkout.models / "snapshots" / f"{best:012d}.pt"
    assert (checkout.models / "best.pt").read_bytes() == chosen.read_bytes()
    real = TensorCache.open(checkout.cache).split("train")
    expected = distance(extractor, generate_fakes(chosen, 1, 20), 20, real)
    assert stage.curve[best] == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_a_metric_is_the_mean_over_the_report_seeds(checkout, stage, name, extractor):
    best = checkout.models / "best.pt"
    for split, mark in (("train", ""), ("holdout", "_holdout")):
        real = TensorCache.open(checkout.cache).split(split)
        found = stage.result.metrics[f"fd_{name}_24{mark}_small24"]
        fakes = [generate_fakes(best, seed, 24) for seed in (2, 3)]
        expected = [distance(extractor, each, 24, real) for each in fakes]
        assert found.values == pytest.approx(expected, rel=1e-5)
        assert found.value == pytest.approx(np.mean(expected), rel=1e-5)
        assert found.deviation == pytest.approx(np.std(expected, ddof=1), rel=0.05)
        assert (found.fakes, found.reals) == (24, 60)


@pytest.mark.slow
def test_every_metric_is_computed_or_named_in_a_note_and_stands_in_the_reports(
    checkout, stage, name
):
    assert set(stage.evaluation.metrics) == keys(name)
    infinity = [note for note in stage.result.notes if note.startswith("no frechet_infinity")]
    assert infinity
    assert all("needs 26" in note for note in infinity)
    metrics = json.loads((checkout.reports / "metrics.json").read_text())
    assert metrics["deviation"] == stage.evaluation.deviations
    assert keys(name) | {"best_images_seen", "run_key", "deviation"} == set(metrics)
    assert read_result(checkout.reports / "evaluation.json") == stage.result
    digests = {each.digest for each in stage.result.references.values()}
    assert len(digests) == 2
    assert not stage.result.other_data
    page = (checkout.reports / "report.html").read_text()
    checkpoint = stage.result.subject
    assert all(each in page for each in (checkpoint.sha256, "r" * 64, checkpoint.trained_on))
    for picture in ("best.png", "closest.png"):
        with Image.open(checkout.reports / picture) as image:
            assert min(image.size) > 100


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
    run = client.get_run(stage.run_id)
    assert run.info.status == "FINISHED"
    best, last = stage.result.selection.best, max(stage.curve)
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
    request = Request(ckpt=checkout.models / "best.pt", out=tmp_path)
    found = evaluate_one(request, make_params(SMALL), checkout)
    assert found.metrics == stage.evaluation.metrics
    after = client.get_run(stage.run_id).data.metrics
    assert {key: after[key] for key in keys(name)} == before
    assert {key: after[f"checkpoint/{key}"] for key in keys(name)} == found.metrics
    written = {"metrics.json", "evaluation.json", "report.html"}
    written |= {"grid.png", "closest.png", "interpolation.png"}
    assert {file.name for file in tmp_path.iterdir()} == written


@pytest.mark.slow
def test_the_same_images_as_files_or_as_statistics_get_the_same_metrics(
    checkout, make_params, tmp_path, name, first
):
    params = make_params(SMALL | FEW | {"evaluate.report_seeds": [2]})
    images = torch.cat(list(generate_fakes(first, 2, 24))).permute(0, 2, 3, 1).numpy()
    real = TensorCache.open(checkout.cache).split("train")
    for folder, content in (("fakes", images), ("reals", real)):
        (tmp_path / folder).mkdir()
        for number, image in enumerate(content):
            Image.fromarray(image).save(tmp_path / folder / f"{number:04d}.png")
    expected = evaluate_one(Request(ckpt=first, against=["train"]), params, checkout).metrics
    request = Request(images=tmp_path / "fakes", against=["train"], workers=3)
    assert evaluate_one(request, params, checkout).metrics == expected
    elsewhere = Request(ckpt=first, against=[str(tmp_path / "reals")])
    found = evaluate_one(elsewhere, params, checkout)
    assert list(found.metrics.values()) == list(expected.values())
    assert all("_vs_reals_" in key for key in found.metrics)
    assert [each.other for each in found.result.references.values()] == [True]
    file = tmp_path / "reals.npz"
    request = Request(images=tmp_path / "reals", statistics=file)
    evaluate_one(request, params, checkout)
    assert {"mu", "sigma"} <= set(np.load(file))
    by_file = evaluate_one(Request(ckpt=first, against=[str(file)]), params, checkout)
    (key,) = by_file.metrics
    assert by_file.metrics[key] == expected[f"fd_{name}_24_small24"]
    for metric in ("kernel_distance", *PIXELS):
        assert [note for note in by_file.result.notes if metric in note]


@pytest.mark.slow
def test_metrics_of_pixels_need_images_of_one_size(checkout, make_params, tmp_path, first):
    for number in range(8):
        colour = (30 * number, 200, 10)
        Image.new("RGB", (40, 48), colour).save(tmp_path / f"{number}.png")
    params = make_params(SMALL | {"evaluate.metrics": ["frechet_distance", *PIXELS]})
    found = evaluate_one(Request(ckpt=first, against=[str(tmp_path)]), params, checkout)
    assert not [key for key in found.metrics if key.startswith(("swd", "spectrum"))]
    assert any("spectrum_distance" in note and "size" in note for note in found.result.notes)
    # no pyramid of such images, but a spectrum
    found = evaluate_one(Request(images=tmp_path, against=[str(tmp_path)]), params, checkout)
    (key,) = [key for key in found.metrics if key.startswith(("swd", "spectrum"))]
    assert (key.startswith("spectrum_8_vs_"), found.metrics[key]) == (True, 0)
    assert any("sliced_wasserstein" in note and "40x48" in note for note in found.result.notes)


def has_face(image):
    """As a detector would say it: whether the middle of a picture is more red than green."""
    red, green, _ = np.asarray(image)[40:-40, 40:-40].mean(axis=(0, 1))
    return bool(red > green)


def share_of_faces(images):
    return np.mean([has_face(enlarge(Image.fromarray(each))) for each in images])


@pytest.fixture
def finder(monkeypatch):
    """A detector that needs no library."""
    monkeypatch.setattr(detector, "find_library", lambda: Path("any"))
    monkeypatch.setattr(detector, "check_library", lambda library: None)
    monkeypatch.setattr(detector.metadata, "version", lambda package: "1.0")

    def find(image):
        return [Box(1, 1, 50, 50)] if has_face(image) else []

    monkeypatch.setattr(detector, "_build_finder", lambda chosen: find)


@pytest.mark.slow
@pytest.mark.usefixtures("finder")
def test_the_face_share_stands_beside_that_of_the_hold_out(checkout, make_params, tmp_path, first):
    params = make_params(SMALL | {"evaluate.metrics": ["frechet_distance", "face_share"]})
    found = evaluate_one(Request(ckpt=first), params, checkout).result
    faces = {key: each for key, each in found.metrics.items() if key.startswith("face_share")}
    assert set(faces) == {"face_share_24_holdout", "face_share_real_24_holdout"}
    fakes = torch.cat(list(generate_fakes(first, 2, 24))).permute(0, 2, 3, 1).numpy()
    real = TensorCache.open(checkout.cache).split("holdout")
    for each, images in zip(faces.values(), (fakes, real), strict=True):
        assert each.values == pytest.approx([share_of_faces(images)], rel=1e-5)
        assert (each.fakes, each.reals, each.deviation) == (24, 60, None)
    assert 0 < faces["face_share_real_24_holdout"].value < 1
    assert "animeface" in found.protocol.extractors
    for number, image in enumerate(fakes[:9]):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    against = Request(ckpt=first, against=[str(tmp_path)])
    metrics = evaluate_one(against, params, checkout).result.metrics
    (key,) = [key for key in metrics if key.startswith("face_share_real_24_vs_")]
    assert metrics[key].value == pytest.approx(share_of_faces(fakes[:9]), rel=1e-5)
    file = tmp_path / "only.npz"
    save_statistics(file, statistics_of(np.eye(12, dtype=np.float32)), {})
    found = evaluate_one(Request(ckpt=first, against=[str(file)]), params, checkout).result
    assert {each.metric for each in found.metrics.values()} == {"frechet"}
    assert [note for note in found.notes if note.startswith("no face_share")]


@pytest.mark.slow
def test_without_its_package_the_face_share_is_absent_and_one_note_says_so(
    checkout, make_params, monkeypatch, first
):
    monkeypatch.setattr(animeface.util, "find_spec", lambda name: None)
    params = make_params(SMALL | {"evaluate.metrics": ["frechet_distance", "face_share"]})
    found = evaluate_one(Request(ckpt=first), params, checkout).result
    assert {each.metric for each in found.metrics.values()} == {"frechet"}
    (note,) = [note for note in found.notes if "face_share" in note]
    assert "[faces]" in note
    assert "preprocess" not in note


@pytest.mark.slow
def test_wrong_pixels_and_weights_that_are_not_finite_are_refused_and_leave_no_features(
    checkout, make_params, tmp_path, first
):
    paths, params = Paths(tmp_path), make_params(SMALL | FEW)
    shutil.copytree(checkout.cache, paths.cache)
    paths.weights.symlink_to(checkout.weights)
    whole = (paths.cache / "images.npy").read_bytes()
    (paths.cache / "images.npy").write_bytes(whole[:-5] + b"wrong")
    with pytest.raises(GanError, match="pixels"):
        evaluate_one(Request(ckpt=first), params, paths)
    (paths.cache / "images.npy").write_bytes(whole)
    found = evaluate_one(Request(ckpt=first), params, paths).metrics
    assert found == evaluate_one(Request(ckpt=first), params, checkout).metrics
    digest = TensorCache.open(paths.cache).digest
    path = write_snapshot(paths, params, digest, 64, float("nan"))
    with pytest.raises(GanError, match="not finite"):
        evaluate_one(Request(ckpt=path), params, paths)


def write_three(folder):
    for number in range(3):
        Image.new("L", (32, 32), 80 * number).save(folder / f"{number}.png")


@pytest.mark.slow
def test_too_few_images_lose_only_the_metrics_that_need_more(
    checkout, make_params, tmp_path, name
):
    write_three(tmp_path)
    found = evaluate_one(Request(images=tmp_path), make_params(SMALL), checkout)
    assert f"fd_{name}_3_small3" in found.metrics
    assert not [key for key in found.metrics if key.startswith(("kd_", "is_", "precision_"))]
    notes = "\n".join(found.result.notes)
    assert "it needs 4 on each side" in notes
    assert "it needs 10" in notes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("request_of", "changes", "words"),
    [
        (lambda place: {"against": ["train", "train"]}, {}, "is named twice"),
        (lambda place: {"extractors": [FILE, FILE]}, {}, "is named twice"),
        (lambda place: {"statistics": place.reports / "x.npz"}, {}, "belongs to DVC's stages"),
        (lambda place: {"statistics": place.root / "x.txt"}, {}, r"NAME\.npz"),
        (
            lambda place: {"statistics": place.root / "x.npz", "extractors": [FILE, "lite0"]},
            {},
            "takes one extractor",
        ),
        (lambda place: {"out": place.models / "deep"}, {}, "choose another --out"),
        (lambda place: {"out": place.weights / FILE}, {}, "choose a folder"),
        (lambda place: {}, {"evaluate.metrics": ["frechet_infinity"]}, r"frechet_infinity.* 26"),
        (lambda place: {}, {"evaluate.allow_small": False}, r"evaluate\.allow_small"),
    ],
)
def test_a_request_that_cannot_be_fulfilled_is_one_line_and_writes_nothing(
    checkout, make_params, first, request_of, changes, words
):
    def list_files():  # without kept features
        return [file for file in sorted(checkout.root.rglob("*")) if ".dvc" not in file.parts]

    before = list_files()
    with pytest.raises(GanError, match=words) as caught:
        evaluate_one(
            Request(ckpt=first, **request_of(checkout)), make_params(SMALL | changes), checkout
        )
    assert "\n" not in str(caught.value)
    assert list_files() == before


@pytest.mark.slow
def test_an_evaluation_does_not_change_the_generator(first):
    before, opened = load_generator(first)[0].state_dict(), CheckpointSubject.open(first)
    list(opened.batches(2, 40))
    opened.grid()
    after = opened.generator.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not opened.generator.training


@pytest.mark.slow
def test_evaluating_a_run_again_replaces_its_metrics(checkout, stage, make_params, store, name):
    params = make_params(SMALL | FEW | {"evaluate.report_seeds": [7]})
    own = Own(stage.run_id, max(stage.curve))
    found = evaluate_one(Request(ckpt=checkout.models / "best.pt", own=own), params, checkout)
    run = MlflowClient(store).get_run(stage.run_id).data
    assert {key: run.metrics[key] for key in found.metrics} == found.metrics
    assert found.metrics[f"kd_{name}_24"] != stage.evaluation.metrics[f"kd_{name}_24"]
    assert np.isnan(run.metrics[f"deviation/kd_{name}_24"])  # that of two seeds is gone
    assert set(json.loads(run.tags["protocols"])) == set(found.metrics)


@pytest.mark.slow
def test_batch_size_and_workers_change_nothing(checkout, make_params, name, first):
    found = []
    for size in (1, 7):
        params = make_params(SMALL | {"features.batch_size": size})
        found.append(evaluate_one(Request(ckpt=first), params, checkout).metrics)
    assert set(found[0]) == keys(name)
    assert found[1] == pytest.approx(found[0], rel=1e-6)


@pytest.mark.slow
def test_the_raw_generator_has_other_metrics_under_raw_keys(checkout, make_params, name, first):
    params = make_params(SMALL | FEW)
    last = checkout.models / "snapshots" / f"{192:012d}.pt"
    averaged = evaluate_one(Request(ckpt=last), params, checkout).metrics
    raw = evaluate_one(Request(ckpt=last, weights="raw"), params, checkout).metrics
    assert {key.replace("_raw", "") for key in raw} == set(averaged)
    assert all("_raw_24" in key for key in raw)
    assert raw[f"fd_{name}_raw_24_small24"] != averaged[f"fd_{name}_24_small24"]
    with pytest.raises(GanError, match=r"064\.pt.*averaged generator"):
        evaluate_one(Request(ckpt=first, weights="raw"), params, checkout)


@pytest.mark.slow
def test_a_checkpoint_of_other_data_is_refused_unless_asked_for(
    checkout, stage, make_params, tmp_path, store, name
):
    params = make_params(SMALL | FEW)
    path = write_snapshot(Paths(tmp_path), params, "e" * 64, 64, 1.0)
    with pytest.raises(GanError, match="--other-data"):
        evaluate_one(Request(ckpt=path), params, checkout)
    out = tmp_path / "deep" / "out"
    found = evaluate_one(Request(ckpt=path, other_data=True, out=out), params, checkout)
    digest = TensorCache.open(checkout.cache).digest[:8]
    assert f"fd_{name}_24_other_{digest}_small24" in found.metrics
    assert all(f"_other_{digest}" in key for key in found.metrics)
    assert found.result.other_data == list(found.result.references)
    assert not found.result.memorisation
    assert "other data" in (out / "report.html").read_text()
    logged = MlflowClient(store).get_run(stage.run_id).data.metrics
    assert not [key for key in logged if "_other_" in key]


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
        (["--ckpt", "a.pt", "--metrics", "frechet"], "frechet_distance"),
        (["--ckpt", "a.pt", "--seeds", "1-3"], "is one of report_seeds"),
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
def test_few_images_of_a_named_reference_need_the_option(
    checkout, write_params, tmp_path, monkeypatch, first
):
    params = write_params(tmp_path / "params.yaml", SMALL | FEW)
    monkeypatch.chdir(checkout.root)
    write_three(tmp_path)
    checkpoint = ["evaluate", "--params", str(params), "--ckpt", str(first)]
    folder = ["evaluate", "--params", str(params), "--images", str(tmp_path)]
    for command in ([*checkpoint, "--against", "train"], folder):
        refused = CliRunner().invoke(app, command).exception
        assert isinstance(refused, GanError)
        assert "--allow-small" in str(refused)
        assert "_small" in CliRunner().invoke(app, [*command, "--allow-small"]).stdout
    assert "_small" in CliRunner().invoke(app, checkpoint).stdout


def test_snapshots_of_another_cache_are_refused(tmp_path, make_params, write_cache, noise_images):
    paths, params = Paths(tmp_path), make_params(SMALL)
    write_cache(paths.cache, noise_images, holdout=10)
    for reason in ("gan train", r"e{12}.*gan train"):  # none, then one
        with pytest.raises(GanError, match=reason):
            stage_runs.evaluate(params, paths)
        write_snapshot(paths, params, "e" * 64, 64, 1.0)
    assert not paths.reports.exists()
