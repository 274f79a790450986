"""`gan sync` of outs: MLflow runs made and completed from the files of a training alone."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from evaluation_result import checkpoint_result, metric
from PIL import Image
from tracking_stores import (
    artifacts,
    begin,
    client_of,
    database_points,
    history,
    images,
    read_runs,
    run_folder,
)

from gan.checkpoints import Origin, describe_checkpoint, load_generator, save_checkpoint
from gan.errors import GanError
from gan.models.interfaces import build_generator, initialise
from gan.tensor_cache import TensorCache
from pipeline.tracking.run import Run
from pipeline.tracking.run_folder.folder import make_run_folder
from pipeline.tracking.sync import sync
from pipeline.training.identity import digest_of

SNAPSHOT = "models/snapshots/000000000064.pt"
LINEAGE_DATA = {
    "preprocess": {"size": 32},
    "snapshot": "s" * 64,
    "source": {"source": "gallery"},
    "licences": {"CC0-1.0": 3},
    "counts": {"train": 45, "holdout": 5},
}


def lineage_of(params, cache_digest):
    decided = {
        "model": params.model.model_dump(),
        "train": params.train.active() | {"init_from": ""},
        "cache_digest": cache_digest,
        "code_digest": "c" * 64,
        "images": 192,
    }
    return {"decided": decided, **LINEAGE_DATA}


@pytest.fixture
def outs(stored, paths, make_params, write_cache, noise_images):
    """models/ and reports/ as train and evaluate leave them, without a run."""
    params = make_params()
    write_cache(paths.cache, noise_images)
    cache = TensorCache.open(paths.cache).digest
    model, lineage = params.model.model_dump(), lineage_of(params, cache)
    key = digest_of(lineage["decided"])
    generator = build_generator(params.model, 32)
    initialise(generator, params.model.generator, torch.Generator().manual_seed(3))
    for seen, file in ((64, "snapshots/000000000064.pt"), (192, "final.pt")):
        origin = Origin(model, 32, seen, key, cache, "hinge 32px w4 s0", lineage)
        save_checkpoint(paths.models / file, origin, generator.eval())
    shutil.copyfile(paths.models / "snapshots/000000000064.pt", paths.models / "best.pt")
    write_reports(paths, key)
    return key


def write_reports(paths, key):
    _, origin = load_generator(paths.models / "best.pt")
    subject = describe_checkpoint(origin)
    paths.reports.mkdir(exist_ok=True)
    losses = [f"{seen}\t{seen / 7:.6g}\t{-seen / 3:.6g}" for seen in range(16, 193, 16)]
    head = "images_seen\tloss/generator\tscore/real"
    (paths.reports / "losses.tsv").write_text("\n".join([head, *losses]) + "\n")
    for name in ("samples", "best", "closest", "interpolation"):
        Image.new("RGB", (64, 64), "teal").save(paths.reports / f"{name}.png")
    (paths.reports / "report.html").write_text("<html></html>")
    measured = {"value": 30.5, "deviation": 1.5, "protocol": "p" * 16}
    result = checkpoint_result() | {
        "subject": subject | {"kind": "checkpoint", "sha256": "0" * 64},
        "metrics": {"fd_lite0_5k": metric("frechet", 30.5) | measured},
        "selection": {"key": "fd_lite0_2048", "seed": 1, "best": 64, "curve": [[64, 950.0]]},
    }
    (paths.reports / "evaluation.json").write_text(json.dumps(result))
    (paths.reports / "metrics.json").write_text(
        json.dumps({"fd_lite0_5k": 30.5, "best_images_seen": 64, "run_key": key[:16]})
    )


@pytest.mark.slow
def test_outs_without_a_run_get_one_with_the_records_of_training_and_evaluation(
    outs, paths, synced
):
    times_file = paths.root / "logs" / "runs" / f"{outs}.json"
    times_file.parent.mkdir(parents=True)
    times = {"started": "2030-01-01 10:00:00", "finished": "2030-01-01 10:16:00"}
    times_file.write_text(json.dumps({"run_key": outs, **times}))
    assert len(synced()) == 2
    (run,) = read_runs(paths)
    run_id, began = run.info.run_id, run.info.start_time
    assert (run.info.run_name, run.info.status) == ("hinge 32px w4 s0", "FINISHED")
    assert run.info.end_time - began == 16 * 60 * 1000
    assert run.data.tags["run_key"] == outs
    assert run.data.tags["recreated"] == "true"
    assert run.data.tags["snapshot_digest"] == "s" * 64
    assert "git_commit" not in run.data.tags  # the code here is not the training's
    assert run.data.params["train.images"] == "192"
    digest = run.inputs.dataset_inputs[0].dataset.digest
    assert digest == TensorCache.open(paths.cache).digest[:36]
    assert history(paths, run_id, "loss/generator") == [
        (seen, float(f"{seen / 7:.6g}")) for seen in range(16, 193, 16)
    ]
    (middle,) = [
        point.timestamp - began
        for point in client_of(paths).get_metric_history(run_id, "score/real")
        if point.step == 96
    ]
    assert middle == 8 * 60 * 1000
    assert history(paths, run_id, "fd_lite0_5k") == [(64, 30.5)]
    assert history(paths, run_id, "deviation/fd_lite0_5k") == [(64, 1.5)]
    assert history(paths, run_id, "selection/fd_lite0_2048") == [(64, 950.0)]
    assert json.loads(run.data.tags["protocols"]) == {"fd_lite0_5k": "p" * 16}
    assert artifacts(paths, run_id, "checkpoints") == [
        "checkpoints/000000000064.pt",
        "checkpoints/state-000000000192.pt",
    ]
    assert artifacts(paths, run_id, "best") == ["best/000000000064.pt"]
    assert artifacts(paths, run_id, "evaluation") == [
        "evaluation/evaluation.json",
        "evaluation/report.html",
    ]
    keys = [path.removeprefix("images/").split("+")[0] for path in images(paths, run_id)]
    assert keys == ["best", "closest", "grid", "interpolation", "real"]
    assert artifacts(paths, run_id, "lineage") == ["lineage/outs.json"]
    kept = client_of(paths).download_artifacts(run_id, "lineage/outs.json")
    hashes = json.loads(Path(kept).read_text())
    best = hashlib.sha256((paths.models / "best.pt").read_bytes()).hexdigest()
    assert (hashes["run_key"], hashes["outs"][SNAPSHOT]) == (outs, best)
    (model,) = client_of(paths).search_logged_models([run.info.experiment_id])
    assert (str(model.status), model.source_run_id) == ("READY", run_id)
    assert model.tags["checkpoint_sha256"] == best

    points = database_points(paths.root / "mlflow.db")
    synced()
    assert database_points(paths.root / "mlflow.db") == points
    assert len(images(paths, run_id)) == 5
    assert len(read_runs(paths)) == 1
    client_of(paths).delete_logged_model(model.model_id)
    synced()
    (model,) = client_of(paths).search_logged_models([run.info.experiment_id])
    assert model.tags["checkpoint_sha256"] == best


@pytest.mark.slow
def test_a_run_that_lacks_parts_gets_just_these(outs, paths, synced):
    first = begin(paths, outs)
    for seen in range(16, 97, 16):  # as exact as the training knew them
        first.metrics({"loss/generator": seen / 7, "score/real": -seen / 3}, seen)
    first.metrics({"loss/generator": 5.0}, 192)
    first.close()
    first.remove_if_sent()
    synced()
    (run,) = read_runs(paths)
    assert run.info.run_id == first.run_id
    assert "recreated" not in run.data.tags
    losses = history(paths, first.run_id, "loss/generator")
    assert [step for step, _ in losses] == list(range(16, 193, 16))
    assert dict(losses)[192] == 5.0
    assert dict(losses)[16] == 16 / 7
    points = database_points(paths.root / "mlflow.db")
    synced()
    assert database_points(paths.root / "mlflow.db") == points


@pytest.mark.slow
def test_kept_records_come_before_files_and_leave_no_double_points(outs, paths, synced):
    header = {"experiment": "avatars", "name": "n", "start_time": 1, "tags": {"run_key": outs}}
    run = Run(make_run_folder(run_folder(paths, outs[:16]), header))
    for seen in range(16, 193, 16):
        run.metrics({"loss/generator": seen / 7, "score/real": -seen / 3}, seen)
    run.close()
    assert len(synced()) == 3
    (run,) = read_runs(paths)
    assert run.data.metrics["fd_lite0_5k"] == 30.5
    assert len(history(paths, run.info.run_id, "loss/generator")) == 12


@pytest.mark.slow
def test_an_evaluation_of_another_training_is_left_out_and_other_outs_are_refused(
    outs, paths, synced, capsys
):
    evaluation, snapshot = paths.reports / "evaluation.json", paths.root / SNAPSHOT
    generator, origin = load_generator(snapshot)
    save_checkpoint(snapshot, replace(origin, run_key="f" * 64), generator)
    with pytest.raises(GanError, match="1 of 1"):
        sync.run(paths)
    (line,) = capsys.readouterr().out.splitlines()
    assert outs[:16] in line
    assert "f" * 16 in line
    assert read_runs(paths) == []

    save_checkpoint(snapshot, origin, generator)
    content = json.loads(evaluation.read_text())
    content["subject"]["run_key"] = "f" * 64
    evaluation.write_text(json.dumps(content))
    assert "f" * 16 in synced()[0]
    (run,) = read_runs(paths)
    assert run.data.tags["run_key"] == outs
    assert sorted(run.data.metrics) == ["loss/generator", "score/real"]
    assert artifacts(paths, run.info.run_id, "evaluation") == []
    assert client_of(paths).search_logged_models([run.info.experiment_id]) == []
