"""`gan lineage`: what a picture alone says, what row and history add, what is missing."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dvc_checkouts import BIN
from lineage_projects import SEED, SNAPSHOT, set_seed, trained_project
from mlflow import MlflowClient
from PIL import Image
from tracking_stores import apart, empty_database

from gan.checkpoints import load_checkpoint
from gan.errors import GanError
from pipeline.pictures import generate
from pipeline.pictures.png_lineage import make_text_chunks, read_lineage
from pipeline.runs.lineage import show as lineage_command
from pipeline.runs.lineage.commands import recipe
from pipeline.runs.lineage.trace import trace
from pipeline.runs.lineage.tracked_row import PATCH

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory, write_cache):
    store = empty_database(tmp_path_factory)
    return trained_project(tmp_path_factory.mktemp("lineage"), write_cache, store)


@pytest.fixture
def here(project, monkeypatch):
    """The repository itself, for reading."""
    monkeypatch.chdir(project.paths.root)
    return apart(project.paths.root, monkeypatch)


@pytest.fixture
def copy(project, tmp_path, monkeypatch):
    """A copy of the repository to take things from; its row's files stay where they are."""
    paths = project.copied(tmp_path / "copy")
    monkeypatch.chdir(paths.root)
    return apart(paths.root, monkeypatch)


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
def asked(capsys):
    """asked(subject, paths): the JSON object; with check=True and the exit code."""

    def ask(subject, paths, *, check=False):
        code = 0
        try:
            lineage_command.run(str(subject), paths, check=check, as_json=True)
        except SystemExit as stop:
            code = stop.code
        answer = json.loads(capsys.readouterr().out)
        return (answer, code) if check else answer

    return ask


def missing(answer):
    return {each["name"] for each in answer["checks"] if not each["there"]}


def test_a_picture_alone_leads_to_run_data_settings_and_checkpoint(project, nowhere, asked):
    answer = asked("picture.png", nowhere)
    assert answer["subject"]["kind"] == "picture"
    assert answer["subject"]["seeds"] == "7"
    assert answer["subject"]["truncation"] == 1.0
    final = project.paths.models / "final.pt"
    sha256 = subprocess.check_output(["sha256sum", final], text=True).split()[0]
    assert answer["checkpoint"]["sha256"] == sha256
    assert answer["checkpoint"]["images_seen"] == 64
    assert answer["run"]["key"] == project.run_key
    assert answer["run"]["key_holds"] is True
    assert answer["settings"]["train"]["seed"] == SEED
    meta = json.loads((project.paths.cache / "meta.json").read_text())
    assert answer["data"]["cache_digest"] == meta["digest"]
    assert answer["data"]["snapshot"] == SNAPSHOT
    assert answer["data"]["source"]["source"] == "embedded"
    assert answer["data"]["licences"] == {"CC0-1.0": 40}
    assert answer["data"]["counts"] == {"train": 32, "holdout": 8}
    assert answer["code"]["commit"] is None
    assert answer["commands"] == []
    assert os.listdir() == ["picture.png"]


def test_without_a_store_it_says_what_is_not_known_and_how_to_find_it(nowhere, capsys):
    lineage_command.run("picture.png", nowhere, check=False, as_json=False)
    shown = capsys.readouterr().out
    assert "not known here" in shown
    assert "MLFLOW_TRACKING_URI=" in shown


def test_the_picture_finds_its_row_from_anywhere_by_the_store_alone(
    project, nowhere, asked, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project.paths.root / 'mlflow.db'}")
    answer = asked("picture.png", nowhere)
    assert answer["run"]["id"] == project.run_id
    assert answer["code"]["commit"] == project.commit
    assert answer["code"]["here"] is False


def test_picture_checkpoint_and_run_lead_to_the_same_commit_and_changes(project, here, asked):
    subjects = [project.picture, "models/final.pt", "latest", project.run_key[:10]]
    answers = [asked(subject, here) for subject in subjects]
    for answer in answers:
        assert answer["run"]["id"] == project.run_id
        assert answer["code"] == answers[0]["code"]
        assert answer["settings"] == answers[0]["settings"]
    code = answers[0]["code"]
    assert code["commit"] == project.commit
    assert code["commit_from"] == "the row"
    assert code["dirty"] is True
    assert code["patch"] == PATCH
    assert code["here"] is True


def test_all_that_the_lineage_speaks_of_is_found(project, here, asked):
    answer, code = asked(project.picture, here, check=True)
    assert missing(answer) == set()
    assert code == 0
    names = [each["name"] for each in answer["checks"]]
    assert names == [
        *("run key", "MLflow row", "its words", "commit", "uncommitted changes", "code", "data"),
        *("tensor cache", "checkpoint"),
    ]


@pytest.mark.parametrize(
    ("gone", "names"),
    [
        ("cache", {"tensor cache"}),
        ("mlflow.db", {"MLflow row", "commit"}),
        (".git", {"commit"}),
        ("models", set()),  # the row has it too
    ],
)
def test_what_is_gone_is_named_with_what_to_do(project, copy, asked, gone, names):
    target = copy.root / gone
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    answer, code = asked(project.picture, copy, check=True)
    assert missing(answer) == names
    assert code == (1 if names else 0)
    for each in answer["checks"]:
        assert each["there"] or "`" in each["text"] or "look where" in each["text"]


@pytest.fixture
def other_patch(project):
    """other_patch(content): what stands in place of the row's patch during the test."""
    file = project.artifacts / PATCH
    before = file.read_bytes()

    def put(content):
        file.write_bytes(content) if content is not None else file.unlink()

    yield put
    file.write_bytes(before)


def test_changes_that_nobody_kept_are_missed(project, here, asked, other_patch):
    other_patch(None)
    answer, _ = asked(project.picture, here, check=True)
    assert missing(answer) == {"uncommitted changes"}


def test_a_patch_that_does_not_fit_its_commit_is_named(project, here, asked, other_patch):
    other_patch((project.artifacts / PATCH).read_bytes().replace(b"seed: 1", b"seed: 2"))
    answer, _ = asked(project.picture, here, check=True)
    assert missing(answer) == {"code"}
    (text,) = [each["text"] for each in answer["checks"] if not each["there"]]
    assert "params.yaml" in text


def test_a_patch_with_a_line_of_other_code_is_not_the_code_that_trained(
    project, copy, asked, other_patch
):
    with (copy.root / "gan/training/loop.py").open("a") as file:
        file.write("# a line\n")
    other_patch(subprocess.check_output(["git", "diff", "HEAD"], cwd=copy.root))
    answer, _ = asked(project.picture, copy, check=True)
    assert missing(answer) == {"code"}


def test_without_a_row_the_history_knows_the_commit_also_of_an_experiment(project, copy, asked):
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
    answer, _ = asked(project.picture, copy, check=True)
    assert answer["code"]["commit"] == commit
    assert answer["code"]["commit_from"] == "Git's history"
    assert missing(answer) == {"MLflow row"}


def test_a_store_that_refuses_costs_one_line(project, here, capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    lineage_command.run(str(project.picture), here, check=False, as_json=False)
    (line,) = [each for each in capsys.readouterr().out.splitlines() if "127.0.0.1:9" in each]
    assert "can't be asked" in line
    assert "secret" not in line


def altered(picture, file, change):
    """The picture with other words in its text."""
    said = read_lineage(picture)
    change(said)
    seeds, truncation = said.pop("seeds"), said.pop("truncation")
    said.pop("format")
    with Image.open(picture) as image:
        image.save(file, pnginfo=make_text_chunks(said, seeds, truncation))
    return file


def test_edited_settings_are_called_out_loudly(project, nowhere, asked, capsys):
    def edit(said):
        said["lineage"]["decided"]["train"]["seed"] = 1

    edited = altered(project.picture, nowhere.root / "edited.png", edit)
    answer, code = asked(edited, nowhere, check=True)
    assert answer["run"]["key_holds"] is False
    assert "run key" in missing(answer)
    assert code == 1
    lineage_command.run(str(edited), nowhere, check=False, as_json=False)
    assert "NOT what its settings" in capsys.readouterr().out


def test_edited_data_is_called_out_too(project, nowhere, asked):
    edited = altered(
        project.picture, nowhere.root / "edited.png", lambda said: said.update(trained_on="0" * 64)
    )
    assert asked(edited, nowhere)["run"]["key_holds"] is False


def test_words_of_a_stranger_reach_neither_shell_nor_terminal(project, here, tmp_path, capsys):
    def edit(said):
        said.update(weights="\x1b]0;x", name="\x1b[2Jwiped")
        said["lineage"]["source"]["site"] = "\x9b2J"

    evil = altered(project.picture, tmp_path / "it's;\x1b[2J evil.png", edit)
    lineage_command.run(str(evil), here, check=False, as_json=False)
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\x9b" not in shown
    assert "?]0;x weights" in shown
    assert "\"'\"'s;?[2J evil.png' --to" in shown


def deep(said):
    for _ in range(200):
        said["lineage"]["preprocess"] = {"more": said["lineage"]["preprocess"]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda said: said.update(seeds="1; touch hacked"), "seeds"),
        (lambda said: said.update(seeds="1\nrm"), "seeds"),
        (lambda said: said.update(seeds="1" * 10_001), "seeds"),
        (lambda said: said.update(truncation=float("nan")), "truncation"),
        (lambda said: said.update(truncation=1.5), "truncation"),
        (deep, "nested"),
    ],
)
def test_words_that_nothing_here_writes_are_one_line(project, nowhere, asked, change, said):
    edited = altered(project.picture, nowhere.root / "edited.png", change)
    with pytest.raises(GanError, match=f"damaged or was edited.*{said}"):
        asked(edited, nowhere)


def test_half_a_letter_does_not_break_the_json(project, nowhere, asked):
    edited = altered(
        project.picture, nowhere.root / "edited.png", lambda said: said.update(name="a\ud800")
    )
    assert asked(edited, nowhere)["run"]["name"] == "a\ud800"


def _edit_licences(said):
    said["lineage"]["licences"] = {"CC0-1.0": 41}


def _edit_source(said):
    said["lineage"]["source"]["licence"] = "mine"


def _edit_snapshot(said):
    said["lineage"]["snapshot"] = "0" * 64


@pytest.mark.parametrize(
    ("gone", "edit", "name"),
    [
        ("mlflow.db", _edit_licences, "licences"),
        ("models", _edit_source, "source"),  # the row has it too
        ("nothing", _edit_snapshot, "snapshot"),
    ],
)
def test_words_that_the_run_key_does_not_cover_are_compared(
    project, copy, asked, tmp_path, gone, edit, name
):
    target = copy.root / gone
    if gone != "nothing":
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    edited = altered(project.picture, tmp_path / "edited.png", edit)
    answer, code = asked(edited, copy, check=True)
    assert answer["run"]["key_holds"] is True
    (words,) = [each for each in answer["checks"] if each["name"] == "its words"]
    assert not words["there"]
    assert words["text"].split(": ")[1].split("; ")[0] == name
    assert code == 1


@pytest.fixture
def tagged(project, copy):
    """tagged(**tags): a copy of the project whose row says so."""

    def tag(**tags):
        client = MlflowClient(f"sqlite:///{copy.root / 'mlflow.db'}")
        for key, value in tags.items():
            client.set_tag(project.run_id, key, value)
        return copy

    return tag


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"git_patch": "in part"}, "kept in part on the row"),
        ({"git_patch": "nothing of it"}, "changes, not kept"),
    ],
)
def test_a_patch_in_part_is_called_so(project, tagged, asked, capsys, tags, words):
    paths = tagged(**tags)
    lineage_command.run(str(project.picture), paths, check=False, as_json=False)
    shown = capsys.readouterr().out
    assert words in shown
    assert "the run key" in shown.partition("once more")[2]
    assert asked(project.picture, paths)["code"]["patch_whole"] in (False, None)


def test_a_commit_of_record_is_preferred_to_a_patch_in_part(project, tagged, asked):
    paths = tagged(git_patch="in part")
    (paths.reports / "metrics.json").write_text(json.dumps({"run_key": project.run_key[:16]}))
    for command in (["add", "-A"], ["commit", "-qm", "results"]):
        subprocess.run(["git", *command], cwd=paths.root, check=True)
    code = asked(project.picture, paths)["code"]
    assert code["commit_from"] == "Git's history"
    assert code["dirty"] is False
    assert asked(project.picture, tagged(git_patch="whole"))["code"]["commit_from"] == "the row"


def test_a_commit_that_git_was_too_slow_to_judge_is_not_taken_for_clean(
    project, tagged, asked, capsys, other_patch
):
    other_patch(None)
    paths = tagged(git_dirty="unknown")
    answer, _ = asked(project.picture, paths, check=True)
    assert answer["code"]["dirty"] is None
    assert missing(answer) == {"uncommitted changes"}
    lineage_command.run(str(project.picture), paths, check=False, as_json=False)
    assert "whether all was committed then is not known" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda said: said.update(run_key="../../etc"), "run_key"),
        (lambda said: said.update(images_seen="many"), "images_seen"),
        (lambda said: said["lineage"]["decided"].pop("train"), "decided"),
    ],
)
def test_a_text_of_another_shape_is_one_line(project, nowhere, asked, change, said):
    edited = altered(project.picture, nowhere.root / "edited.png", change)
    with pytest.raises(GanError, match=f"damaged or was edited.*{said}"):
        asked(edited, nowhere)


def test_a_picture_that_lost_its_text_is_one_line(project, nowhere, asked):
    with Image.open("picture.png") as image:
        image.convert("RGB").save("again.jpg")
        image.save("plain.png")
    Path("cut.png").write_bytes(Path("picture.png").read_bytes()[:400])
    for name, words in [
        ("again.jpg", "says nothing of where it is from"),
        ("plain.png", "says nothing of where it is from"),
        ("cut.png", "damaged"),
        ("none.png", "no such file"),
        ("none.pt", "no such checkpoint"),
    ]:
        with pytest.raises(GanError, match=words):
            asked(name, nowhere)
    with pytest.raises(GanError, match="no runs recorded yet"):
        asked("some run", nowhere)


def test_a_checkpoint_of_the_older_format_says_what_it_can(checkpoint, nowhere, asked, tmp_path):
    content = load_checkpoint(checkpoint)
    assert content["origin"]["lineage"] == {}
    with pytest.raises(GanError, match="run_key"):  # the shared one has no digest for a key
        asked(checkpoint, nowhere)


def test_a_grid_leads_to_the_command_that_draws_it_again(project, here, asked):
    (grid,) = generate.run(Path("models/final.pt"), "0-8", Path("grids"), grid=True)
    (command,) = [each for each in asked(grid, here)["commands"] if "generate" in each]
    assert command == (
        "gan generate --ckpt models/snapshots/000000000064.pt --seeds 0-8 --truncation 1 "
        "--out avatars --grid"
    )
    shutil.rmtree("grids")


def test_the_commands_bring_back_the_very_files_that_trained(project, here, tmp_path):
    steps = [step.command for step in recipe(trace(str(project.picture), here))]
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
    question = (
        "from pipeline.code_digest import code_digest as d; print(d('pipeline/stages/train.py'))"
    )
    digest = subprocess.check_output([sys.executable, "-c", question], cwd=again, text=True)
    decided = load_checkpoint(here.models / "final.pt")["origin"]["lineage"]["decided"]
    assert digest.strip() == decided["code_digest"]


def test_the_command_itself_answers_in_an_empty_folder(project, nowhere, gan):
    done = gan("lineage", "picture.png", "--json", cwd=nowhere.root, store="sqlite:///mlflow.db")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["run"]["key"] == project.run_key
    assert os.listdir(nowhere.root) == ["picture.png"]
