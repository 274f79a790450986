"""The evaluate stage, and judging a checkpoint or folder alone, on a cache of drawn noise."""

import json
import shutil
import sqlite3
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from PIL import Image
from typer.testing import CliRunner

from gan.checkpoints import Origin, load_generator, save_checkpoint
from gan.errors import GanError
from gan.features.efficientnet import Lite0
from gan.features.extraction import allocate_features, extract_features, image_batches
from gan.features.statistics import statistics_of
from gan.metrics.frechet_distance import frechet_distance
from gan.models.build import build_generator, initialise
from gan.sampling import draw_latents, generate
from gan.tensor_cache import TensorCache
from pipeline.cli.main import app
from pipeline.evaluation.subject import CheckpointSubject
from pipeline.paths import Paths
from pipeline.runs.evaluate_one import Request, evaluate_one
from pipeline.stages import reference
from pipeline.tracking import open_run, stage_runs
from pipeline.tracking.evaluation_run import Own

SMALL = {
    "evaluate.num_fakes": 24,
    "evaluate.report_seeds": [2, 3],
    "evaluate.selection_fakes": 20,
    "evaluate.allow_small": True,
    "evaluate.splits": ["train", "holdout"],
    "features.extractors": ["lite0"],
}
FEW = {"evaluate.metrics": ["frechet_distance", "kernel_distance"]}
COMPARED = ("fd_lite0_24{}_small{}", "precision_lite0_24{}_small{}", "recall_lite0_24{}_small{}",
            "density_lite0_24{}_small{}", "coverage_lite0_24{}_small{}")  # fmt: skip
KEYS = {
    *(key.format("", 24) for key in COMPARED),
    *(key.format("_holdout", 24) for key in COMPARED),
    "kd_lite0_24", "kd_se_lite0_24", "kd_lite0_24_holdout", "kd_se_lite0_24_holdout",
    "is_lite0_24", "memorisation_pixels_24", "memorisation_p_pixels_24",
}  # fmt: skip


def snapshot(paths, params, digest, seen, gain):
    """A generator whose contrast grows with `gain`, so that the distances differ."""
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
        row = open_run.start_run(
            checkout,
            experiment="avatars",
            name="tiny",
            run_key="r" * 64,
            folder=checkout.root / "run",
        )
        row.close()
        judgement = stage_runs.evaluate(make_params(SMALL), checkout)
    lines = (checkout.reports / "snapshots.tsv").read_text().splitlines()[1:]
    curve = {int(seen): float(value) for seen, value in (line.split("\t") for line in lines)}
    return SimpleNamespace(judgement=judgement, curve=curve, row=row.run_id)


def distance(batches, count, real):
    """Fréchet distance of a set of images to (n, H, W, 3) real ones, step by step."""
    lite0 = Lite0(torch.device("cpu"))
    sides = []
    for images, length in ((batches, count), (image_batches(real, 16), len(real))):
        rows = allocate_features(length, lite0)
        extract_features(images, [lite0], [rows])
        sides.append(statistics_of(rows))
    return frechet_distance(*sides)


def fakes_of(path, seed, count):
    generator, _ = load_generator(path)
    return generate(generator, draw_latents(seed, "evaluate", count, generator.latent_size))


@pytest.mark.slow
def test_the_best_snapshot_is_the_minimum_of_the_curve_and_kept_byte_for_byte(checkout, evaluated):
    assert sorted(evaluated.curve) == [64, 128, 192]
    best = min(evaluated.curve, key=evaluated.curve.get)
    selection = evaluated.judgement.result["selection"]
    assert (selection["best"], selection["seed"]) == (best, 1)
    chosen = checkout.models / "snapshots" / f"{best:012d}.pt"
    assert (checkout.models / "best.pt").read_bytes() == chosen.read_bytes()
    real = TensorCache.open(checkout.cache).split("train")
    assert evaluated.curve[best] == pytest.approx(
        distance(fakes_of(chosen, 1, 20), 20, real), rel=1e-5
    )


@pytest.mark.slow
def test_the_reported_number_is_the_mean_over_seeds_that_did_not_choose(checkout, evaluated):
    best = checkout.models / "best.pt"
    for split, key in (
        ("train", "fd_lite0_24_small24"),
        ("holdout", "fd_lite0_24_holdout_small24"),
    ):
        real = TensorCache.open(checkout.cache).split(split)
        found = evaluated.judgement.result["metrics"][key]
        expected = [distance(fakes_of(best, seed, 24), 24, real) for seed in (2, 3)]
        assert found["values"] == pytest.approx(expected, rel=1e-5)
        assert found["value"] == pytest.approx(np.mean(expected), rel=1e-5)
        assert found["deviation"] == pytest.approx(np.std(expected, ddof=1), rel=0.05)
        assert (found["fakes"], found["reals"]) == (24, 60)


@pytest.mark.slow
def test_every_metric_is_there_and_what_is_missing_is_said(evaluated):
    assert set(evaluated.judgement.metrics) == KEYS
    notes = evaluated.judgement.result["notes"]
    infinity = [note for note in notes if note.startswith("no frechet_infinity")]
    assert infinity
    assert all("needs 2,562" in note for note in infinity)


@pytest.mark.slow
def test_reports_hold_numbers_protocol_and_pictures(checkout, evaluated):
    metrics = json.loads((checkout.reports / "metrics.json").read_text())
    assert metrics["deviation"] == evaluated.judgement.deviations
    assert KEYS | {"best_images_seen", "run_key", "deviation"} == set(metrics)
    result = json.loads((checkout.reports / "evaluation.json").read_text())
    assert result == evaluated.judgement.result
    assert result["references"]["train"]["digest"] != result["references"]["holdout"]["digest"]
    assert not result["references"]["train"]["other"]
    page = (checkout.reports / "report.html").read_text()
    for digest in (result["subject"]["sha256"], "r" * 64, result["subject"]["trained_on"]):
        assert digest in page
    for name in ("best.png", "closest.png"):
        with Image.open(checkout.reports / name) as picture:
            assert min(picture.size) > 100


@pytest.mark.slow
def test_evaluating_again_gives_equal_bytes_also_without_the_kept_features(
    checkout, evaluated, make_params, tmp_path, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'another.db'}")
    names = ("metrics.json", "evaluation.json", "report.html", "closest.png", "snapshots.tsv")
    before = {name: (checkout.reports / name).read_bytes() for name in names}
    again = Paths(tmp_path)
    (tmp_path / "cache").symlink_to(checkout.cache)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "snapshots").symlink_to(checkout.models / "snapshots")
    stage_runs.evaluate(make_params(SMALL), again)
    assert {name: (again.reports / name).read_bytes() for name in names} == before


@pytest.mark.slow
def test_the_numbers_land_on_the_trainings_row_at_their_steps(evaluated, store):
    client = MlflowClient(store)
    (row,) = client.search_runs(
        [client.get_experiment_by_name("avatars").experiment_id],
        f"tags.run_key = '{'r' * 64}'",
    )
    assert row.info.run_id == evaluated.row
    assert row.info.status == "FINISHED"
    best, last = evaluated.judgement.result["selection"]["best"], max(evaluated.curve)
    assert row.data.metrics["best_images_seen"] == best
    for key in KEYS:  # at the end, where MLflow's table looks for the latest value
        (point,) = client.get_metric_history(row.info.run_id, key)
        assert (point.step, point.value) == (last, evaluated.judgement.metrics[key])
    curve = client.get_metric_history(row.info.run_id, "selection/fd_lite0_20_small20")
    assert {point.step: point.value for point in curve} == evaluated.curve
    (kept,) = client.list_artifacts(row.info.run_id, "best")
    assert kept.path == f"best/{best:012d}.pt"
    pages = {each.path for each in client.list_artifacts(row.info.run_id, "evaluation")}
    assert pages == {"evaluation/evaluation.json", "evaluation/report.html"}
    images = [each.path for each in client.list_artifacts(row.info.run_id, "images")]
    assert [name for name in images if "closest" in name]
    assert set(json.loads(row.data.tags["protocols"])) == KEYS


@pytest.mark.slow
def test_a_checkpoint_alone_gets_the_same_numbers_and_leaves_the_rows_own(
    checkout, evaluated, make_params, store, tmp_path
):
    client = MlflowClient(store)
    before = {key: client.get_run(evaluated.row).data.metrics[key] for key in KEYS}
    found = evaluate_one(
        Request(ckpt=checkout.models / "best.pt", out=tmp_path), make_params(SMALL), checkout
    )
    assert found.metrics == evaluated.judgement.metrics
    after = client.get_run(evaluated.row).data.metrics
    assert {key: after[key] for key in KEYS} == before
    assert {key: after[f"checkpoint/{key}"] for key in KEYS} == found.metrics
    written = {"metrics.json", "evaluation.json", "report.html"}
    written |= {"grid.png", "closest.png", "interpolation.png"}
    assert {file.name for file in tmp_path.iterdir()} == written


@pytest.mark.slow
def test_the_same_pictures_as_files_or_as_statistics_get_the_same_numbers(
    checkout, make_params, tmp_path
):
    params = make_params(SMALL | FEW | {"evaluate.report_seeds": [2]})
    best = checkout.models / "snapshots" / f"{64:012d}.pt"
    images = torch.cat(list(fakes_of(best, 2, 24))).permute(0, 2, 3, 1).numpy()
    real = TensorCache.open(checkout.cache).split("train")
    for name, rows in (("fakes", images), ("reals", real)):
        (tmp_path / name).mkdir()
        for number, image in enumerate(rows):
            Image.fromarray(image).save(tmp_path / name / f"{number:04d}.png")
    expected = evaluate_one(Request(ckpt=best, against=["train"]), params, checkout).metrics
    folder = Request(images=tmp_path / "fakes", against=["train"], workers=3)
    assert evaluate_one(folder, params, checkout).metrics == expected
    elsewhere = Request(ckpt=best, against=[str(tmp_path / "reals")])
    found = evaluate_one(elsewhere, params, checkout)
    assert list(found.metrics.values()) == list(expected.values())
    assert all("_vs_reals_" in key for key in found.metrics)
    assert [each["other"] for each in found.result["references"].values()] == [True]
    file = tmp_path / "reals.npz"
    judged = Request(images=tmp_path / "reals", statistics=file)
    evaluate_one(judged, params, checkout)
    assert {"mu", "sigma"} <= set(np.load(file))
    told = evaluate_one(Request(ckpt=best, against=[str(file)]), params, checkout)
    (key,) = told.metrics
    assert told.metrics[key] == expected["fd_lite0_24_small24"]
    assert [note for note in told.result["notes"] if note.startswith("no kernel_distance")]


@pytest.mark.slow
def test_pixels_that_are_not_the_digests_leave_no_features(
    checkout, make_params, tmp_path, monkeypatch
):
    paths, params = Paths(tmp_path), make_params(SMALL | FEW)
    shutil.copytree(checkout.cache, paths.cache)
    best = checkout.models / "snapshots" / f"{64:012d}.pt"
    whole = (paths.cache / "images.npy").read_bytes()
    (paths.cache / "images.npy").write_bytes(whole[:-5] + b"wrong")
    with pytest.raises(GanError, match="pixels"):
        evaluate_one(Request(ckpt=best), params, paths)
    (paths.cache / "images.npy").write_bytes(whole)
    found = evaluate_one(Request(ckpt=best), params, paths).metrics
    assert found == evaluate_one(Request(ckpt=best), params, checkout).metrics


@pytest.mark.slow
def test_too_few_pictures_cost_the_numbers_that_need_more_and_no_others(
    checkout, make_params, tmp_path
):
    for number in range(3):
        image = np.full((32, 32, 3), 80 * number, np.uint8)
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    found = evaluate_one(Request(images=tmp_path), make_params(SMALL), checkout)
    assert "fd_lite0_3_small3" in found.metrics
    assert not [key for key in found.metrics if key.startswith(("kd_", "is_", "precision_"))]
    notes = "\n".join(found.result["notes"])
    assert "it needs 4 on each side" in notes
    assert "it needs 10" in notes


@pytest.mark.slow
def test_what_is_named_twice_is_refused(checkout, make_params):
    best = checkout.models / "snapshots" / f"{64:012d}.pt"
    for request in (
        Request(ckpt=best, against=["train", "train"]),
        Request(ckpt=best, extractors=["lite0", "lite0"]),
    ):
        with pytest.raises(GanError, match="is named twice"):
            evaluate_one(request, make_params(SMALL | FEW), checkout)


@pytest.mark.slow
def test_a_statistics_file_is_not_written_into_dvcs_folders(checkout, make_params):
    best = checkout.models / "snapshots" / f"{64:012d}.pt"
    file = checkout.reference / "lite0-train.npz"
    before = file.read_bytes()
    for name in (file, checkout.reports / "x.npz"):
        with pytest.raises(GanError, match="belongs to DVC's stages"):
            evaluate_one(Request(ckpt=best, statistics=name), make_params(SMALL), checkout)
    assert file.read_bytes() == before


@pytest.mark.slow
def test_judging_leaves_the_generator_as_it_was(checkout, make_params):
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
def test_judging_a_run_again_renews_the_numbers_that_its_row_shows(
    checkout, evaluated, make_params, store
):
    params = make_params(SMALL | FEW | {"evaluate.report_seeds": [7]})
    last = max(evaluated.curve)
    own = Own(evaluated.row, last)
    best = checkout.models / "best.pt"
    found = evaluate_one(Request(ckpt=best, own=own), params, checkout)
    row = MlflowClient(store).get_run(evaluated.row).data
    assert {key: row.metrics[key] for key in found.metrics} == found.metrics
    assert found.metrics["kd_lite0_24"] != evaluated.judgement.metrics["kd_lite0_24"]
    assert np.isnan(row.metrics["deviation/kd_lite0_24"])  # that of three seeds is gone
    assert set(json.loads(row.tags["protocols"])) == set(found.metrics)


@pytest.mark.slow
def test_batch_size_and_workers_change_nothing(checkout, make_params):
    best = checkout.models / "snapshots" / f"{64:012d}.pt"
    found = []
    for size in (1, 7, 64):
        params = make_params(SMALL | {"features.batch_size": size})
        found.append(evaluate_one(Request(ckpt=best), params, checkout).metrics)
    assert set(found[0]) == KEYS
    for other in found[1:]:
        assert other == pytest.approx(found[0], rel=1e-6)


@pytest.mark.slow
def test_the_raw_generator_is_another_one_and_its_keys_say_so(checkout, make_params):
    params = make_params(SMALL | FEW)
    last = checkout.models / "snapshots" / f"{192:012d}.pt"
    averaged = evaluate_one(Request(ckpt=last), params, checkout).metrics
    raw = evaluate_one(Request(ckpt=last, weights="raw"), params, checkout).metrics
    assert {key.replace("_raw", "") for key in raw} == set(averaged)
    assert all("lite0_raw_24" in key for key in raw)
    assert raw["fd_lite0_raw_24_small24"] != averaged["fd_lite0_24_small24"]
    first = checkout.models / "snapshots" / f"{64:012d}.pt"
    with pytest.raises(GanError, match="averaged generator"):
        evaluate_one(Request(ckpt=first, weights="raw"), params, checkout)


@pytest.mark.slow
def test_a_checkpoint_of_other_data_is_refused_unless_asked_for(
    checkout, make_params, tmp_path, store
):
    params = make_params(SMALL | FEW)
    path = snapshot(Paths(tmp_path), params, "e" * 64, 64, 1.0)
    with pytest.raises(GanError, match=r"other data.*--other-data"):
        evaluate_one(Request(ckpt=path), params, checkout)
    before = points(store)
    out = tmp_path / "deep" / "out"
    found = evaluate_one(Request(ckpt=path, other_data=True, out=out), params, checkout)
    digest = TensorCache.open(checkout.cache).digest[:8]
    assert f"fd_lite0_24_other_{digest}_small24" in found.metrics
    assert all(f"_other_{digest}" in key for key in found.metrics)
    assert all(each["other"] for each in found.result["references"].values())
    assert not found.result["memorisation"]
    assert "other data" in (out / "report.html").read_text()
    assert points(store) == before  # a number on other data is no number of that run


def points(store):
    with sqlite3.connect(store.removeprefix("sqlite:///")) as database:
        tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
        if "metrics" not in tables:
            return 0
        return database.execute("SELECT count(*) FROM metrics").fetchone()[0]


@pytest.mark.slow
def test_a_run_in_the_tracker_is_found_by_its_id_and_gets_the_numbers(
    checkout, evaluated, gan, write_params, store, tmp_path
):
    params = write_params(tmp_path / "params.yaml", SMALL)
    done = gan(
        "evaluate", "--run", evaluated.row[:8], "--params", params, cwd=checkout.root, store=store
    )
    assert done.returncode == 0, done.stderr
    shown = dict(line.split("\t")[:2] for line in done.stdout.splitlines() if "\t" in line)
    assert {key: float(value) for key, value in shown.items()} == pytest.approx(
        evaluated.judgement.metrics, rel=1e-5
    )
    wrong = gan(
        "evaluate", "--run", "0123456789", "--params", params, cwd=checkout.root, store=store
    )
    assert wrong.returncode == 1
    assert len(wrong.stderr.splitlines()) == 1


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
def test_an_evaluation_that_can_measure_nothing_is_an_error(checkout, make_params):
    params = make_params(SMALL | {"evaluate.metrics": ["frechet_infinity"]})
    best = checkout.models / "snapshots" / f"{64:012d}.pt"
    with pytest.raises(GanError, match=r"no metric could be computed: .*it needs 2,562"):
        evaluate_one(Request(ckpt=best), params, checkout)


@pytest.mark.slow
def test_weights_that_are_not_finite_are_refused_in_one_line(checkout, make_params, tmp_path):
    params = make_params(SMALL)
    digest = TensorCache.open(checkout.cache).digest
    path = snapshot(Paths(tmp_path), params, digest, 64, float("nan"))
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
def test_too_few_images_are_refused_unless_asked_for(checkout, make_params):
    best = checkout.models / "snapshots" / f"{64:012d}.pt"
    params = make_params(SMALL | {"evaluate.allow_small": False})
    with pytest.raises(GanError, match=r"24 fakes against 60 real images, fewer than 2,048"):
        evaluate_one(Request(ckpt=best), params, checkout)
    only_kernel = {"evaluate.allow_small": False, "evaluate.metrics": ["kernel_distance"]}
    kernel = make_params(SMALL | only_kernel)
    found = evaluate_one(Request(ckpt=best, against=["holdout"]), kernel, checkout)
    assert set(found.metrics) == {"kd_lite0_24_holdout", "kd_se_lite0_24_holdout"}


@pytest.mark.slow
def test_params_that_allow_few_images_do_not_speak_for_what_a_person_names(
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


def test_snapshots_of_another_cache_are_not_judged_by_this_one(
    tmp_path, make_params, write_cache, noise_images
):
    paths, params = Paths(tmp_path), make_params(SMALL)
    write_cache(paths.cache, noise_images, holdout=10)
    with pytest.raises(GanError, match="no snapshot to evaluate; run `gan train`"):
        stage_runs.evaluate(params, paths)
    snapshot(paths, params, "e" * 64, 64, 1.0)
    with pytest.raises(GanError, match=r"trained on other data.*run `gan train`"):
        stage_runs.evaluate(params, paths)
    assert not paths.reports.exists()
