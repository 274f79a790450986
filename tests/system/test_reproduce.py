"""`gan reproduce`: refusals, a training repeated, results that differ."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from dvc_checkouts import Checkout, small_project
from lineage_projects import keep_patch, reproduce_until_data, set_seed, train_project
from tracking_stores import apart, empty_database

from gan.errors import GanError
from pipeline.dataset.dvc_cache import directory_md5
from pipeline.paths import Paths
from pipeline.runs.reproduce import reproduce
from pipeline.runs.reproduce.checkout import ReproductionFolder
from pipeline.runs.reproduce.comparison import OUTS, explain

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory, write_cache):
    store = empty_database(tmp_path_factory)
    return train_project(tmp_path_factory.mktemp("reproduce"), write_cache, store)


@pytest.fixture
def here(project, monkeypatch):
    monkeypatch.chdir(project.paths.root)
    return apart(project.paths.root, monkeypatch)


@pytest.fixture
def prepared(project, here, tmp_path, monkeypatch):
    """A folder where a reproduction was killed after it had its data."""
    folder = tmp_path / "again"
    reproduce_until_data(str(project.picture), here, folder, monkeypatch)
    return folder


def test_a_full_folder_and_an_unknown_or_missing_commit_are_refused(
    project, here, tmp_path, monkeypatch
):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/letter.txt").write_text("mine")
    for folder in (tmp_path / "full", tmp_path / "full/letter.txt", here.root / "again"):
        with pytest.raises(GanError, match=str(folder)):
            reproduce.run("latest", here, folder)
    assert os.listdir(tmp_path / "full") == ["letter.txt"]

    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    with pytest.raises(GanError, match="MLFLOW_TRACKING_URI"):
        reproduce.run(str(project.picture), apart(empty, monkeypatch), tmp_path / "to")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{here.root / 'mlflow.db'}")
    with pytest.raises(GanError, match=project.commit):
        reproduce.run(str(project.picture), Paths(empty), tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_the_checkout_has_commit_changes_and_shared_cache_and_trains_nothing_else(
    project, here, prepared
):
    def git(*arguments):
        return subprocess.check_output(["git", *arguments], cwd=prepared, text=True).strip()

    assert git("rev-parse", "HEAD") == project.commit
    assert git("status", "--porcelain") == "M params.yaml"
    assert (prepared / "params.yaml").read_text() == (here.root / "params.yaml").read_text()
    assert f"dir = {here.root}/.dvc/cache" in (prepared / ".dvc/config.local").read_text()
    other = ReproductionFolder(prepared, {"run_key": "0" * 64, "commit": project.commit})
    with pytest.raises(GanError, match=str(prepared)), other.claim():
        pass
    set_seed(prepared, 6)
    with pytest.raises(GanError, match=r"train\.seed: 5 -> 6"):
        reproduce.run(str(project.picture), here, prepared)
    assert not (prepared / "models").exists()


def test_passwords_of_remotes_are_never_readable_by_others(tmp_path, monkeypatch):
    root, folder = tmp_path / "root", tmp_path / "again"
    for each in (root, folder):
        (each / ".dvc").mkdir(parents=True)
        (each / ".dvc/config").touch()
    local = root / ".dvc/config.local"
    local.write_text("['remote \"r\"']\nurl = https://h.org/\npassword = hunter2\n")
    monkeypatch.delattr(Path, "chmod")  # a mode that is set later is set too late
    before = os.umask(0o022)
    try:
        ReproductionFolder(folder, {}).share(root, None)
    finally:
        os.umask(before)
    copy = folder / ".dvc/config.local"
    assert "hunter2" in copy.read_text()
    assert copy.stat().st_mode & 0o777 == 0o600


def test_a_training_repeated_is_equal_and_files_changed_afterwards_differ(
    project, here, prepared, capfd
):
    reproduce.run(str(project.picture), here, prepared)
    lines = capfd.readouterr().out.splitlines()
    compared = {line.split()[1]: line for line in lines if line.startswith(("equal", "DIFFERS"))}
    outs = json.loads((project.artifacts / OUTS).read_text())["outs"]
    assert set(outs) < set(compared)
    assert all(line.startswith("equal") for line in compared.values())
    assert sum("its pixels" in line or "its checkpoint" in line for line in lines) == 2
    for name in outs:
        assert (prepared / name).read_bytes() == (here.root / name).read_bytes()
    assert not list((here.root / ".dvc").glob("cache/runs/**/*"))  # nothing in the run cache

    final = prepared / "models/final.pt"
    final.write_bytes(final.read_bytes() + b"!")
    snapshot = prepared / "models/snapshots/000000000032.pt"
    snapshot.unlink()
    with pytest.raises(SystemExit) as stop:
        reproduce.run(str(project.run_id), here, prepared)
    assert stop.value.code == 1
    out, err = capfd.readouterr()
    differing = {line.split()[1] for line in out.splitlines() if line.startswith("DIFFERS")}
    assert differing == {"models/final.pt", "models/snapshots/000000000032.pt"}
    assert "torch, device, precision" in err

    elsewhere = {"torch": "2.0.0", "device": "cuda", "precision": "float32"}
    text = explain(elsewhere, prepared, elsewhere | {"torch": "2.14.1"})
    assert "torch: 2.0.0 -> 2.14.1;" in text


@pytest.mark.soak
def test_commands_draw_the_same_picture_and_the_whole_pipeline_is_repeated_through_kills(tmp_path):
    built = small_project(tmp_path / "built")
    built.dvc("repro")
    built.commit()
    draw = ["gan", "generate", "--ckpt", "models/best.pt", "--seeds", "7", "--out", "avatars"]
    built.run(*draw)
    said = json.loads(built.run("gan", "lineage", "avatars/000007.png", "--json"))
    built.run("bash", "-ec", "\n".join(said["commands"]))
    picture, again = "avatars/000007.png", tmp_path / "built/again"
    assert (again / picture).read_bytes() == (built.root / picture).read_bytes()
    assert (again / "models/best.pt").is_file()
    shutil.rmtree(again)

    commit = built.git("rev-parse", "HEAD").strip()
    set_seed(built.root, 5)
    with (built.root / "params.yaml").open("a") as file:
        file.write("# uncommitted\n")
    built.dvc("repro")
    keep_patch(built, built.rows()[0].info.run_id)
    built.run(*draw)
    command = ("gan", "reproduce", picture, "--to", str(again))
    before = directory_md5(built.root / ".dvc/cache/runs")

    for end in (signal.SIGTERM, signal.SIGKILL):
        _until_training(built, command, again, end)
    out = built.run(*command)
    assert "resuming" in out
    lines = [line for line in out.splitlines() if line.startswith(("equal", "DIFFERS"))]
    assert len(lines) > 8
    assert not [line for line in lines if line.startswith("DIFFERS")]
    assert [line for line in lines if "fd_lite0" in line]
    assert [line for line in lines if "its pixels" in line]
    repeated = Checkout(again, tmp_path / "home")
    assert repeated.git("rev-parse", "HEAD").strip() == commit
    assert len(repeated.rows()) == 1
    assert len(built.rows()) == 2
    assert directory_md5(built.root / ".dvc/cache/runs") == before


def _until_training(built, command, folder, end):
    """Start, and stop the first process with a signal when the training has started."""

    def states():
        return set(folder.glob(".dvc/tmp/gan/*/state-*.pt"))

    known, process = states(), built.start(*command)
    deadline = time.monotonic() + 400
    while not states() - known:
        if process.poll() is not None or time.monotonic() > deadline:
            break
        time.sleep(0.01)
    if process.poll() is None:
        if end == signal.SIGKILL:
            os.killpg(process.pid, end)
        else:
            process.send_signal(end)
    out, _ = process.communicate(timeout=200)
    assert "Traceback" not in out
