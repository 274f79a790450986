"""`gan lineage`: of a picture alone, with its MLflow run and Git's history; `--check`."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from dvc_checkouts import BIN
from lineage_projects import SEED, SNAPSHOT, set_seed, train_project
from mlflow import MlflowClient
from PIL import Image
from tracking_stores import apart, empty_database

from gan.checkpoints import load_checkpoint
from gan.errors import GanError
from pipeline.pictures import generate
from pipeline.pictures.png_lineage import make_text_chunks, read_lineage
from pipeline.runs.lineage import show as lineage_command
from pipeline.runs.lineage.check import KEY
from pipeline.runs.lineage.commands import list_steps
from pipeline.runs.lineage.trace import CHANGES, PATCH, trace
from pipeline.runs.other_checkout import code_digest_in

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory, write_cache):
    store = empty_database(tmp_path_factory)
    return train_project(tmp_path_factory.mktemp("lineage"), write_cache, store)


@pytest.fixture
def here(project, monkeypatch):
    """The repository itself, for reading."""
    monkeypatch.chdir(project.paths.root)
    return apart(project.paths.root, monkeypatch)


@pytest.fixture
def copy(project, tmp_path, monkeypatch):
    """A copy of the repository to spoil; its store still names the artefacts of the original."""
    root = shutil.copytree(project.paths.root, tmp_path / "copy", symlinks=True)
    monkeypatch.chdir(root)
    return apart(root, monkeypatch)


@pytest.fixture
def nowhere(project, tmp_path, monkeypatch):
    """An empty folder with nothing but the picture."""
    folder = tmp_path / "empty"
    folder.mkdir()
    shutil.copy(project.picture, folder / "picture.png")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.chdir(folder)
    return apart(folder, monkeypatch)


@pytest.fixture
def lineage(capsys):
    """lineage(subject, paths): the JSON object; with check=True and the exit code."""

    def run(subject, paths, *, check=False):
        code = 0
        try:
            lineage_command.run(str(subject), paths, check=check, as_json=True)
        except SystemExit as stop:
            code = stop.code
        answer = json.loads(capsys.readouterr().out)
        return (answer, code) if check else answer

    return run


@pytest.fixture
def printed(capsys):
    """printed(subject, paths): the text for people."""

    def run(subject, paths):
        lineage_command.run(str(subject), paths, check=False, as_json=False)
        return capsys.readouterr().out

    return run


def missing(answer):
    return {each["name"] for each in answer["checks"] if not each["there"]}


def test_a_picture_alone_leads_to_data_settings_and_checkpoint_and_with_a_store_to_its_run(
    project, nowhere, lineage, printed, monkeypatch
):
    answer = lineage("picture.png", nowhere)
    subject, run, data = answer["subject"], answer["run"], answer["data"]
    assert (subject["kind"], subject["seeds"], subject["truncation"]) == ("picture", "7", 1.0)
    sha256 = hashlib.sha256((project.paths.models / "final.pt").read_bytes()).hexdigest()
    assert answer["checkpoint"]["sha256"] == sha256
    assert answer["checkpoint"]["images_seen"] == 64
    assert (run["key"], run["key_holds"]) == (project.run_key, True)
    assert answer["settings"]["train"]["seed"] == SEED
    meta = json.loads((project.paths.cache / "meta.json").read_text())
    assert data["cache_digest"] == meta["digest"]
    assert data["snapshot"] == SNAPSHOT
    assert data["source"]["source"] == "embedded"
    assert data["licences"] == {"CC0-1.0": 40}
    assert data["counts"] == {"train": 32, "holdout": 8}
    assert answer["code"]["commit"] is None
    assert answer["commands"] == []
    assert "MLFLOW_TRACKING_URI=" in printed("picture.png", nowhere)
    assert os.listdir() == ["picture.png"]

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project.paths.root / 'mlflow.db'}")
    answer = lineage("picture.png", nowhere)
    assert answer["run"]["id"] == project.run_id
    assert answer["code"]["commit"] == project.commit
    assert answer["code"]["here"] is False


def test_picture_checkpoint_and_run_lead_to_the_same_commit_and_changes(project, here, lineage):
    subjects = [project.picture, "models/final.pt", "latest", project.run_key[:10]]
    answers = [lineage(subject, here) for subject in subjects]
    for answer in answers:
        assert answer["run"]["id"] == project.run_id
        assert answer["code"] == answers[0]["code"]
        assert answer["settings"] == answers[0]["settings"]
    expected = {"commit": project.commit, "commit_from": "the MLflow run", "patch": PATCH}
    assert answers[0]["code"].items() >= (expected | {"dirty": True, "here": True}).items()


@pytest.mark.parametrize(
    ("gone", "names"),
    [
        ("nothing", set()),
        ("cache", {"tensor cache"}),
        ("mlflow.db", {"MLflow run", "commit"}),
        (".git", {"commit"}),
        ("models", set()),  # the MLflow run has it too
    ],
)
def test_a_missing_part_is_named_with_the_remedy(project, copy, lineage, gone, names):
    target = copy.root / gone
    shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
    answer, code = lineage(project.picture, copy, check=True)
    assert missing(answer) == names
    assert code == (1 if names else 0)


@pytest.fixture
def other_patch(project):
    """other_patch(content): replaces the run's patch during the test; None removes it."""
    file = project.artifacts / PATCH
    before = file.read_bytes()

    def put(content):
        file.write_bytes(content) if content is not None else file.unlink()

    yield put
    file.write_bytes(before)


def test_patches_that_are_missing_do_not_fit_or_have_other_code_are_named(
    project, copy, lineage, other_patch, set_tags
):
    whole = (project.artifacts / PATCH).read_bytes()
    with (copy.root / "gan/training/loop.py").open("a") as file:
        file.write("# a line\n")
    other_code = subprocess.check_output(["git", "diff", "HEAD"], cwd=copy.root)
    for patch, name in (
        (whole.replace(b"seed: 1", b"seed: 2"), "code"),
        (other_code, "code"),
        (None, "uncommitted changes"),
    ):
        other_patch(patch)
        answer, _ = lineage(project.picture, copy, check=True)
        assert missing(answer) == {name}
    set_tags(git_dirty="unknown")  # which is not taken for none
    answer, _ = lineage(project.picture, copy, check=True)
    assert answer["code"]["dirty"] is None
    assert missing(answer) == {"uncommitted changes"}


def test_without_an_mlflow_run_the_history_gives_the_commit_also_of_an_experiment(
    project, copy, lineage
):
    (copy.root / "mlflow.db").unlink()
    set_seed(copy.root, SEED)
    (copy.reports / "metrics.json").write_text(json.dumps({"run_key": project.run_key[:16]}))

    def git(*arguments):
        return subprocess.check_output(["git", *arguments], cwd=copy.root, text=True).strip()

    git("add", "-A")
    git("commit", "-qm", "an experiment")
    commit = git("rev-parse", "HEAD")
    git("update-ref", "refs/exps/ab/cd/name", commit)
    git("reset", "-q", "--hard", "HEAD~")
    answer, _ = lineage(project.picture, copy, check=True)
    assert answer["code"]["commit"] == commit
    assert answer["code"]["commit_from"] == "Git's history"
    assert missing(answer) == {"MLflow run"}


def test_a_store_that_refuses_costs_one_line(project, here, printed, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    lines = printed(project.picture, here).splitlines()
    (line,) = [each for each in lines if "127.0.0.1:9" in each]
    assert "secret" not in line


def edit_metadata(picture, file, change):
    """Write a copy of the picture with changed metadata."""
    metadata = read_lineage(picture)
    change(metadata)
    seeds, truncation = metadata.pop("seeds"), metadata.pop("truncation")
    metadata.pop("format")
    with Image.open(picture) as image:
        image.save(file, pnginfo=make_text_chunks(metadata, seeds, truncation))
    return file


def test_edited_settings_do_not_match_the_run_key(project, nowhere, lineage, printed):
    for edit in (
        lambda metadata: metadata["lineage"]["decided"]["train"].update(seed=1),
        lambda metadata: metadata.update(trained_on="0" * 64),
    ):
        edited = edit_metadata(project.picture, nowhere.root / "edited.png", edit)
        answer, code = lineage(edited, nowhere, check=True)
        assert answer["run"]["key_holds"] is False
        assert "run key" in missing(answer)
        assert code == 1
        assert KEY[False] in printed(edited, nowhere)


def test_edited_metadata_reaches_neither_shell_nor_terminal(project, here, tmp_path, printed):
    def edit(metadata):
        metadata.update(weights="\x1b]0;x", name="\x1b[2Jwiped\ud800")
        metadata["lineage"]["source"]["site"] = "\x9b2J"

    evil = edit_metadata(project.picture, tmp_path / "it's;\x1b[2J evil.png", edit)
    shown = printed(evil, here)
    assert not {"\x1b", "\x9b"} & set(shown)
    assert "]0;x" in shown
    assert "\"'\"'s;?[2J evil.png' --to" in shown


def deep(metadata):
    for _ in range(200):
        metadata["lineage"]["preprocess"] = {"more": metadata["lineage"]["preprocess"]}


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda metadata: metadata.update(seeds="1; touch hacked"), "seeds"),
        (lambda metadata: metadata.update(truncation=float("nan")), "truncation"),
        (deep, "nested"),
        (lambda metadata: metadata.update(run_key="../../etc"), "run_key"),
        (lambda metadata: metadata["lineage"]["decided"].pop("train"), "lineage.decided.train"),
    ],
)
def test_metadata_of_invalid_values_or_another_shape_is_refused(
    project, nowhere, lineage, change, key
):
    edited = edit_metadata(project.picture, nowhere.root / "edited.png", change)
    with pytest.raises(GanError, match=rf"\({key}"):
        lineage(edited, nowhere)


@pytest.fixture
def set_tags(project, copy):
    """set_tags(git_dirty="unknown"): changes the run's tags in a copy of the project."""

    def set_tags(**tags):
        client = MlflowClient(f"sqlite:///{copy.root / 'mlflow.db'}")
        for key, value in tags.items():
            client.set_tag(project.run_id, key, value)

    return set_tags


def test_what_dvc_keeps_counts_as_available(project, copy, set_tags, lineage):
    def keep(content, ending=""):
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest() + ending
        file = copy.root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return md5

    files = [
        {"md5": keep(file.read_bytes()), "relpath": file.name} for file in copy.cache.iterdir()
    ]
    folder = keep(json.dumps(files).encode(), ".dir")
    lock = {"stages": {"preprocess": {"outs": [{"path": "cache", "md5": folder}]}}}
    (copy.root / "dvc.lock").write_text(json.dumps(lock))
    shutil.rmtree(copy.cache)
    set_tags(data_md5=folder)
    answer, _ = lineage(project.picture, copy, check=True)
    assert missing(answer) == set()
    assert [folder in each["text"] for each in answer["checks"]].count(True) == 2


def test_a_patch_that_is_not_whole_is_noted_and_the_commit_of_the_results_preferred(
    project, copy, set_tags, lineage, printed
):
    for tag, changes, whole in (("nothing of it", "lost", None), ("in part", "in part", False)):
        set_tags(git_patch=tag)
        assert lineage(project.picture, copy)["code"]["patch_whole"] is whole
        assert CHANGES[changes] in printed(project.picture, copy)
    record = copy.reports / "metrics.json"
    record.write_text(json.dumps({"run_key": project.run_key[:16]}))
    for command in (["add", "-A"], ["commit", "-qm", "results"]):
        subprocess.run(["git", *command], cwd=copy.root, check=True)
    code = lineage(project.picture, copy)["code"]
    assert (code["commit_from"], code["dirty"]) == ("Git's history", False)
    set_tags(git_patch="whole")
    assert lineage(project.picture, copy)["code"]["commit_from"] == "the MLflow run"


def test_files_without_metadata_are_refused(checkpoint, nowhere, lineage):
    with Image.open("picture.png") as image:
        image.convert("RGB").save("again.jpg")
        image.save("plain.png")
    Path("cut.png").write_bytes(Path("picture.png").read_bytes()[:400])
    for name in ("again.jpg", "plain.png", "cut.png", "none.png", "none.pt"):
        with pytest.raises(GanError, match=name):
            lineage(name, nowhere)
    with pytest.raises(GanError, match=r"mlflow\.db"):
        lineage("some run", nowhere)
    with pytest.raises(GanError, match="run_key"):  # of no training
        lineage(checkpoint, nowhere)


def test_the_commands_check_out_the_code_of_the_training_and_draw_a_grid_again(
    project, here, tmp_path
):
    (grid,) = generate.run(Path("models/final.pt"), "0-8", tmp_path / "grids", grid=True)
    assert list_steps(trace(str(grid), here))[-1] == (
        "gan generate --ckpt models/snapshots/000000000064.pt --seeds 0-8 --truncation 1 "
        "--out avatars --grid"
    )
    steps = list_steps(trace(str(project.picture), here))
    assert steps[-2] == "dvc repro"
    script = "\n".join(["set -e", *steps[:-2]])
    place = tmp_path / "place"  # the commands name a folder beside the one they start in
    place.mkdir()
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "DVC"))}
    environment = keep | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script], cwd=place, env=environment, capture_output=True, text=True
    )
    again = tmp_path / "again"
    assert done.returncode == 0, done.stderr
    assert (again / "params.yaml").read_text() == (here.root / "params.yaml").read_text()
    decided = load_checkpoint(here.models / "final.pt")["origin"]["lineage"]["decided"]
    assert code_digest_in(again) == decided["code_digest"]
