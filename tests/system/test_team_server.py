"""The server for a team of docs/tracking.md: trainings land on it whole, and come back."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from team_server import PASSWORDS, ROOT, Team, bucket_of, serving_team
from train_checkouts import new_checkout

from pipeline.paths import Paths
from pipeline.pictures.png_lineage import read_lineage
from pipeline.tracking.open_run import start_run

SMALL = {
    "evaluate.num_fakes": 24,
    "evaluate.report_seeds": [2, 3],
    "evaluate.selection_fakes": 20,
    "evaluate.allow_small": True,
    "evaluate.splits": ["train"],
    "evaluate.metrics": ["frechet_distance"],
    "features.extractors": ["lite0"],
}

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def team(tmp_path_factory):
    with serving_team(tmp_path_factory.mktemp("team")) as running:
        yield running


def start(folder: Path, env: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    """`gan` as a member of the team types it."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": os.environ.get("PYTHONPATH", "") + os.pathsep + str(ROOT),
        "OMP_NUM_THREADS": "1",
        **env,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def output_of(process: subprocess.Popen[str]) -> str:
    """Output of a command, which must succeed without a warning and print no secret."""
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert "tracking:" not in err
    assert [word for word in PASSWORDS.values() if word in out + err] == []
    return out


@pytest.fixture(scope="module")
def trained(team, tmp_path_factory, write_params, write_cache, noise_images) -> dict[str, Path]:
    """Folders of two members whose first trainings began at once."""
    cache = write_cache(tmp_path_factory.mktemp("made") / "cache", noise_images)
    folders = {}
    for seed, name in enumerate(("ann", "bob")):
        folders[name] = tmp_path_factory.mktemp(name)
        new_checkout(folders[name], cache)
        write_params(folders[name] / "params.yaml", SMALL | {"train.seed": seed})
    both = [start(folders[name], team.member(name), "train") for name in folders]
    for process in both:
        output_of(process)
    for name, folder in folders.items():  # a busy machine takes longer than a training waits
        output_of(start(folder, team.member(name), "sync"))
    return folders


def runs_by_user(team: Team, monkeypatch) -> dict[str, Run]:
    """The runs of experiment `avatars`, by the training's seed."""
    for key, value in team.member("ann").items():
        monkeypatch.setenv(key, value)
    client = MlflowClient()
    experiment = client.get_experiment_by_name("avatars")
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 2
    return {("ann", "bob")[int(run.data.params["train.seed"])]: run for run in runs}


def test_two_trainings_at_once_land_whole_with_their_files_in_the_bucket(
    team, trained, monkeypatch, tmp_path
):
    for name, run in runs_by_user(team, monkeypatch).items():
        assert run.info.status == "FINISHED"
        assert run.info.artifact_uri.startswith("mlflow-artifacts:/")
        assert run.data.tags["cache_digest"]
        assert run.inputs.dataset_inputs
        with (trained[name] / "reports/losses.tsv").open() as file:
            local = list(csv.DictReader(file, delimiter="\t"))
        history = MlflowClient().get_metric_history(run.info.run_id, "loss/generator")
        there = sorted((point.step, point.value) for point in history)
        assert [step for step, _ in there] == [int(line["images_seen"]) for line in local]
        assert [value for _, value in there] == pytest.approx(
            [float(line["loss/generator"]) for line in local], rel=1e-5
        )
        folder = folder_of(run.info.run_id)
        objects = {
            each.key.removeprefix(f"{folder}/"): each
            for each in bucket_of(team.s3).objects.filter(Prefix=folder)
        }
        grids = [key for key in objects if key.startswith("images/grid") and key.endswith(".png")]
        assert len(grids) >= 3
        picture = tmp_path / f"{name}.png"
        picture.write_bytes(objects[max(grids)].get()["Body"].read())
        assert read_lineage(picture)["run_key"] == run.data.tags["run_key"]
        last = max(key for key in objects if key.startswith("checkpoints/state-"))
        final = (trained[name] / "models/final.pt").read_bytes()
        assert objects[last].get()["Body"].read() == final


def test_a_third_machine_evaluates_both_and_compares_them(
    team, trained, write_params, monkeypatch, tmp_path
):
    """With the password in the address, as some will have it."""
    shutil.copytree(trained["ann"] / "cache", tmp_path / "cache")
    write_params(tmp_path / "params.yaml", SMALL)
    secret = quote(PASSWORDS["bob"], safe="")
    env = {"MLFLOW_TRACKING_URI": team.address.replace("//", f"//bob:{secret}@")}
    output_of(start(tmp_path, env, "reference"))
    runs = runs_by_user(team, monkeypatch)
    for run in runs.values():
        out = output_of(start(tmp_path, env, "evaluate", "--run", run.info.run_id[:12]))
        assert "fd_lite0_24" in out
    compared = output_of(start(tmp_path, env, "compare", *(r.info.run_id for r in runs.values())))
    assert all(run.info.run_id[:6] in compared for run in runs.values())
    for run in runs_by_user(team, monkeypatch).values():
        assert run.data.metrics["fd_lite0_24_small24"] > 0


def test_a_checkpoint_that_the_bucket_takes_slowly_arrives(team, tmp_path, monkeypatch):
    """The server answers an upload when its bucket has all of it: here after some 8 s."""
    for key, value in team.member("ann").items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "slow")
    big = tmp_path / "big.pt"
    big.write_bytes(os.urandom(16 << 20))
    run = start_run(Paths(tmp_path), name="slow", run_key="s" * 64, folder=tmp_path / "run")
    run.artifact(big, "checkpoints")
    monkeypatch.setattr(team.s3, "rate", 2 << 20)
    run.close(timeout_s=120)
    assert run.unsent == 0
    (there,) = bucket_of(team.s3).objects.filter(Prefix=f"{folder_of(run.run_id)}/checkpoints/")
    assert there.get()["Body"].read() == big.read_bytes()


def folder_of(run_id: str) -> str:
    """Folder of a run's artefacts in the bucket."""
    uri = MlflowClient().get_run(run_id).info.artifact_uri
    return uri.removeprefix("mlflow-artifacts:/")
