"""docs/tracking.md: its commands and variables are real, its links lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from pipeline.cli import main as cli

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/tracking.md"
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


@pytest.mark.parametrize("command", COMMANDS)
def test_a_documented_command_is_understood(command):
    name, *arguments = shlex.split(command)[1:]
    known = typer.main.get_command(cli.app).commands[name]
    if arguments and arguments[-1] == "--run":  # the page speaks of the option as such
        arguments.append("RUN")
    if arguments:
        known.make_context(name, arguments)


@pytest.mark.slow
def test_variables_and_the_command_of_the_server_are_mlflows():
    from mlflow import environment_variables
    from mlflow.cli import cli as commands

    server = commands.commands["server"]
    names = set(re.findall(r"\bMLFLOW_[A-Z0-9_]+", TEXT))
    assert len(names) >= 12
    of_server = {each.envvar for each in server.params if each.envvar}
    assert {
        name for name in names - of_server if not hasattr(environment_variables, name)
    } == set()
    (line,) = re.findall(r"^mlflow server (.*)$", TEXT, re.MULTILINE)
    parsed = server.make_context("server", line.split()).params
    assert (parsed["app_name"], parsed["host"]) == ("basic-auth", "127.0.0.1")


def test_links_lead_somewhere():
    links = re.findall(r"\]\(([^)#]+)", TEXT)
    here = [each for each in links if not each.startswith("http")]
    assert here
    assert [each for each in here if not (DOCUMENT.parent / each).exists()] == []
