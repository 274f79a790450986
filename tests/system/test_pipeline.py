"""All stages in a real scratch repository: DVC, Git, MLflow, kills; a few dozen pictures."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from dvc_checkouts import ROOT, as_json, ran, small_project
from train_checkouts import wait_for

from pipeline.dataset.dvc_cache import directory_md5

pytestmark = pytest.mark.slow

LONGER = {
    "train": {"images": 800, "log_every": 64, "checkpoint_every": 64}
    | dict.fromkeys(("grid_every", "snapshot_every"), 400)
}
"""Long enough to be killed in between."""


def repro(checkout):
    """Run the pipeline; returns the names of the stages that ran."""
    return ran(checkout.dvc("repro"))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The project as it stands here, made small, run once from nothing, results committed."""
    checkout = small_project(tmp_path_factory.mktemp("pipeline"), changes=LONGER)
    with (checkout.root / "gan/training/loop.py").open("a") as file:
        file.write("# the scratch repository's own\n")
    checkout.commit("own code")
    checkout.first = repro(checkout)
    checkout.untracked = checkout.git("ls-files", "--others", "--exclude-standard").split()
    checkout.commit()
    return checkout


@pytest.fixture
def repository(built):
    """The built repository, put back afterwards."""
    yield built
    built.git("checkout", "-q", ".")
    built.dvc("checkout", "-q", "--force")


def test_the_row_of_the_scrape_has_counts_card_and_contact_sheet(built):
    experiment = built.client.get_experiment_by_name("avatars-stages")
    stages = built.client.search_runs([experiment.experiment_id])
    (row,) = [row for row in stages if row.data.tags.get("stage") == "scrape"]
    digest, counts = json.loads(built.read("reports/data_card.json"))["digest"], row.data.metrics
    assert row.data.tags["snapshot_digest"] == digest
    assert digest in built.read("reports/data_card.md")
    assert counts["rows/ok"] == counts["rows/new"] > 30
    assert counts["rows/gone"] == 1
    names = {each.path for each in built.client.list_artifacts(row.info.run_id)}
    assert {"data_card.md", "data_card.json"} <= names
    images = [each.path for each in built.client.list_artifacts(row.info.run_id, "images")]
    assert any("contact_sheet" in each for each in images)


def test_one_command_runs_all_stages_of_this_code_and_leaves_only_reports_and_the_lock(repository):
    assert repository.first == ["scrape", "preprocess", "reference", "train", "evaluate"]
    metrics = json.loads(repository.read("reports/metrics.json"))
    assert "run_key" in metrics
    assert [key for key in metrics if key.startswith("fd_lite0_32_holdout_small")]
    for name in ("models/best.pt", "models/final.pt", "data.ok", "reports/best.png"):
        assert (repository.root / name).is_file()
    for name in repository.untracked:
        assert name == "dvc.lock" or name.startswith("reports/")
    assert repository.git("status", "--porcelain") == ""
    assert repro(repository) == []
    assert repository.git("status", "--porcelain") == ""

    # the stages ran the code of this checkout and not the installed one
    row = repository.rows()[-1]  # the oldest: of the first `dvc repro`
    command = "from pipeline.code_digest import code_digest; "
    command += "print(code_digest('pipeline/stages/train.py'))"
    here = repository.run(sys.executable, "-c", command).strip()
    there = subprocess.check_output([sys.executable, "-c", command], cwd=ROOT, text=True).strip()
    assert row.data.tags["code_digest"] == here != there


def test_a_line_of_code_or_a_setting_re_runs_its_stages_and_no_others(repository):
    for file, again in {
        "gan/metrics/frechet_distance.py": {"reference", "evaluate"},
        "gan/training/loop.py": {"train"},
        "gan/models/dcgan.py": {"train", "evaluate"},
        "pipeline/preprocessing/decoding/decode.py": {"preprocess"},
        "pipeline/tracking/run.py": set(),  # how grids and numbers are logged
        "pipeline/cli/main.py": set(),
    }.items():
        with (repository.root / file).open("a") as code:
            code.write("# one line\n")
        assert set(as_json(repository, "status")) == again, file
        repository.git("checkout", "-q", ".")
    repository.change("evaluate", "num_fakes", 48)
    assert set(as_json(repository, "status")) == {"evaluate"}


@pytest.mark.soak
def test_an_experiment_is_a_second_row_and_going_back_costs_nothing(repository):
    before = {row.info.run_id for row in repository.rows()}
    out = repository.dvc("exp", "run", "-n", "wasserstein", "-S", "train.objective=wgan_gp")
    assert ran(out) == ["train", "evaluate"]
    (row,) = [row for row in repository.rows() if row.info.run_id not in before]
    assert row.data.params["train.objective"] == "wgan_gp"
    assert [key for key in row.data.metrics if key.startswith("fd_lite0_32")]
    assert row.data.tags["dvc_exp_name"] == "wasserstein"
    repository.git("checkout", "-q", "params.yaml")
    out = repository.dvc("repro")
    assert ran(out) == []
    assert "Stage 'train' is cached - skipping run" in out
    assert repository.git("status", "--porcelain") == ""


def test_an_experiment_in_a_copy_runs_the_copys_code_and_lands_in_the_same_store(repository):
    before = {row.info.run_id: row.data.tags["code_digest"] for row in repository.rows()}
    with (repository.root / "gan/training/loop.py").open("a") as code:
        code.write("# only in this experiment\n")
    repository.dvc("exp", "run", "--temp", "-n", "copy", "-S", "train.seed=7")
    (row,) = [row for row in repository.rows() if row.info.run_id not in before]
    assert row.data.params["train.seed"] == "7"
    assert row.data.tags["dvc_exp_name"] == "copy"
    assert row.data.tags["code_digest"] not in before.values()
    patch = repository.client.download_artifacts(row.info.run_id, "source/uncommitted.patch")
    text = Path(patch).read_text()  # leads from DVC's own commit to the experiment's files
    assert "\n+# only in this experiment\n" in text
    assert re.search(r"^\+ +seed: 7$", text, re.MULTILINE)
    metrics = {key for key in row.data.metrics if key.startswith("fd_lite0_32")}
    search = f"source_run_id = '{row.info.run_id}'"
    (model,) = repository.client.search_logged_models([row.info.experiment_id], search)
    assert metrics
    assert metrics <= {each.key for each in model.metrics}  # as its card has them


@pytest.mark.soak
def test_everything_removed_comes_back_identical(repository):
    before = {name: repository.read(name) for name in ("dvc.lock", "data.dvc")}
    for name in ("data", "cache", "models", "reports", "reference", ".dvc/cache"):
        shutil.rmtree(repository.root / name)
    (repository.root / "data.ok").unlink()
    assert repro(repository) == ["scrape", "preprocess", "reference", "train", "evaluate"]
    assert {name: repository.read(name) for name in before} == before
    assert repository.git("status", "--porcelain") == ""


def states(root):
    return {path.name for path in root.glob(".dvc/tmp/gan/*/state-*.pt")}


@pytest.mark.soak
def test_a_clone_that_is_killed_again_and_again_ends_with_the_identical_lock(built, tmp_path):
    clone = built.clone(tmp_path / "clone", tmp_path / "home")
    committed = clone.read("dvc.lock")

    process = clone.start("dvc", "repro")
    files = "data.staging/*/*.jsonl"
    wait_for(lambda: sum(p.read_text().count("\n") for p in clone.root.glob(files)) > 9, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (clone.root / "data.ok").exists()
    assert clone.git("status", "--porcelain") == ""

    process = clone.start("dvc", "repro")  # the training alone is killed: DVC sees it fail
    wait_for(lambda: states(clone.root), process)
    time.sleep(random.uniform(0, 0.5))
    (lock,) = clone.root.glob(".dvc/tmp/gan/*/lock")
    os.kill(int(lock.read_text()), signal.SIGKILL)
    out, _ = process.communicate(timeout=60)
    assert process.returncode != 0, out
    pin = yaml.safe_load(clone.read("data.dvc"))["outs"][0]["md5"]
    assert directory_md5(clone.root / "data") == pin
    before = states(clone.root)

    process = clone.start("dvc", "repro")  # DVC and the training
    wait_for(lambda: states(clone.root) - before, process)
    time.sleep(random.uniform(0, 0.3))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()

    out = clone.dvc("repro")
    assert "resuming at" in out
    assert clone.read("dvc.lock") == committed
    assert clone.git("status", "--porcelain") == ""
