"""docs/tracking.md: its commands are valid, its table fits a real run."""

import os
import re
import shlex
from fnmatch import fnmatch
from pathlib import Path

import pytest
import typer
from mlflow import MlflowClient
from train_checkouts import new_checkout
from typer.testing import CliRunner

from pipeline.cli import main as cli
from pipeline.cli import runs as tracking_commands
from pipeline.tracking.mlflow.environment import SETTINGS

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs/tracking.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")
COMMANDS = sorted(
    {
        line.partition("#")[0].strip()
        for line in [
            *re.findall(r"^    (gan .*)$", TEXT, re.MULTILINE),
            *re.findall(r"`(gan [^`]*)`", TEXT),
        ]
    }
)
NOT_EVERYWHERE = {"*_run_id", "world_size", "data_md5", "git_*", "dvc_exp_*"}
"""Tags of a store with rows of the other stages, of torchrun, of a Git repository, of DVC."""


def table(title: str) -> dict[str, str]:
    """Lines of the table under a heading: first cell -> second."""
    section = TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]
    lines = re.findall(r"^\| (.+?) \| (.+) \|$", section, re.MULTILINE)
    return dict(lines[1:])


def named(*cells: str) -> list[str]:
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize(
    "command", [each for each in COMMANDS if " " in each.removeprefix("gan ")]
)
def test_a_documented_command_is_understood(command):
    name, *arguments = shlex.split(command)[1:]
    if arguments[-1] == "--run":  # the page speaks of the option as such
        arguments.append("RUN")
    typer.main.get_command(cli.app).commands[name].make_context(name, arguments)


def test_commands_that_are_named_exist_and_those_about_tracking_are_named():
    named = {command.split()[1] for command in COMMANDS}
    assert named <= set(typer.main.get_command(cli.app).commands)
    ours = {
        name
        for name, each in vars(tracking_commands).items()
        if callable(each) and getattr(each, "__module__", "") == tracking_commands.__name__
    }
    assert len(ours) >= 6
    assert ours <= named


@pytest.fixture(scope="module")
def server():
    """MLflow's command `server`; importing it takes seconds."""
    from mlflow.cli import cli as commands

    return commands.commands["server"]


@pytest.mark.slow
def test_variables_are_mlflows_and_the_values_those_that_are_set(server):
    from mlflow import environment_variables

    names = set(re.findall(r"\bMLFLOW_[A-Z0-9_]+", TEXT))
    assert len(names) >= 12
    of_server = {each.envvar for each in server.params if each.envvar}
    known = of_server | {name for name in names if hasattr(environment_variables, name)}
    assert names - known == set()
    here = {
        name: value
        for cell, meaning in table("Variables").items()
        for name in named(cell)
        for value in re.findall(r"here `?(\w+)`?", meaning)
    }
    assert len(here) == 4
    assert {name: SETTINGS[name] for name in here} == here


@pytest.mark.slow
def test_the_command_of_the_server_is_one_that_mlflow_takes(server):
    (line,) = re.findall(r"^mlflow server (.*)$", TEXT, re.MULTILINE)
    parsed = server.make_context("server", line.split()).params
    assert parsed["app_name"] == "basic-auth"
    assert parsed["host"] == "127.0.0.1"


def test_links_lead_somewhere():
    links = re.findall(r"\]\(([^)#]+)", TEXT)
    here = [each for each in links if not each.startswith("http")]
    assert here
    assert [each for each in here if not (DOCUMENT.parent / each).exists()] == []


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, write_params, write_cache, noise_images):
    """A client, and the MLflow run of a tiny training."""
    root = tmp_path_factory.mktemp("documented")
    write_params(root / "params.yaml")
    new_checkout(root, write_cache(tmp_path_factory.mktemp("made") / "cache", noise_images))
    store = f"sqlite:///{root / 'mlflow.db'}"
    with pytest.MonkeyPatch.context() as patch:
        for name in [each for each in os.environ if each.startswith(("MLFLOW", "DVC"))]:
            patch.delenv(name)
        patch.chdir(root)
        done = CliRunner().invoke(cli.app, ["train"], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        client = MlflowClient(store)
        (run,) = client.search_runs([client.get_experiment_by_name("avatars").experiment_id])
    return client, run


@pytest.mark.slow
def test_a_run_has_the_params_metrics_and_tags_of_the_table(recorded):
    _, run = recorded
    cells = table("What is recorded")
    wanted = named(cells["parameters"])
    assert {key.partition(".")[0] for key in run.data.params} == {
        each.removesuffix(".*") for each in wanted
    }
    metrics = named(cells["metrics, by images seen"])
    keys = list(run.data.metrics)
    assert [key for key in keys if not any(fnmatch(key, each) for each in metrics)] == []
    without = [each for each in metrics if not any(fnmatch(key, each) for key in keys)]
    assert without == ["penalty/*"]  # of other objectives
    tags = named(*(cell for title, cell in cells.items() if title.startswith("tags")))
    own = {key for key in run.data.tags if not key.startswith("mlflow.")} - {"spool", "stage"}
    assert [key for key in own if not any(fnmatch(key, each) for each in tags)] == []
    without = [each for each in tags if not any(fnmatch(key, each) for key in own)]
    assert [tag for tag in without if not any(fnmatch(tag, each) for each in NOT_EVERYWHERE)] == []
    assert run.inputs.dataset_inputs


@pytest.mark.slow
def test_a_run_has_the_images_and_files_of_the_table(recorded):
    client, run = recorded
    cells = table("What is recorded")
    own, _, by_evaluation = cells["images"].partition("gan evaluate")
    assert by_evaluation
    listed = client.list_artifacts(run.info.run_id, "images")
    keys = {Path(each.path).name.split("+")[0] for each in listed}
    assert keys == set(named(own.replace("`gan evaluate", "").rstrip("`")))
    folders = {each.path for each in client.list_artifacts(run.info.run_id)}
    artefacts = {name.split("/")[0] for name in named(cells["artefacts"]) if "/" in name}
    assert {"checkpoints", "lineage"} <= folders
    assert folders - {"images"} <= artefacts
    (outs,) = [each.path for each in client.list_artifacts(run.info.run_id, "lineage")]
    assert outs in named(cells["artefacts"])
