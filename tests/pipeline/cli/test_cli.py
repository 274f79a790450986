"""The `gan` command as a person meets it: help, mistakes, Ctrl-C."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tracking_stores import until
from typer.testing import CliRunner

from gan.errors import GanError
from pipeline.cli.main import app

ROOT = Path(__file__).resolve().parents[3]
STAGES = ["scrape", "preprocess", "reference", "train", "evaluate", "compare", "generate"]


def test_help_lists_the_commands_in_the_order_of_the_pipeline_and_imports_nothing_heavy():
    code = (
        "import sys\nsys.argv = ['gan', '--help']\nfrom pipeline.cli.main import main\n"
        "try: main()\nexcept SystemExit as stop: assert not stop.code\n"
        "print(sorted(sys.modules), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = done.stdout.partition("Commands:")[2].splitlines()
    assert [line.split()[0] for line in lines if line][: len(STAGES)] == STAGES
    for heavy in ("torch", "mlflow", "scrapy", "dvc", "numpy", "pydantic", "pandas", "jinja2"):
        assert f"'{heavy}'" not in done.stderr


def mistake(done, *words):
    assert done.returncode not in (0, None)
    assert done.stderr.startswith("gan: ")
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr


def test_wrong_params_are_one_line(gan, write_params, tmp_path):
    write_params(tmp_path / "params.yaml", {"preprocess.size": 50})
    mistake(gan("train"), "preprocess.size = 50", "128, 192 or 256")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train", ["cache", "gan preprocess"]),
        ("generate --ckpt text", ["text", "not a checkpoint"]),
        ("generate --ckpt none.pt", ["none.pt", "no such"]),
        ("weights add none.pth", ["none.pth", "no such file"]),
        ("weights add text", ["sha256"]),
        ("summary", ["dvc repro"]),
        ("results add mine", ["dvc repro"]),
        ("results render", ["no results"]),
    ],
)
def test_a_missing_or_wrong_file_is_an_error(write_params, tmp_path, monkeypatch, command, words):
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path / "params.yaml")
    (tmp_path / "text").write_text("no checkpoint")
    error = CliRunner().invoke(app, command.split()).exception
    assert isinstance(error, GanError)
    assert all(word in str(error) for word in words)
    assert "\n" not in str(error)
    assert not (tmp_path / "avatars").exists()


def test_a_stage_of_dvc_hands_over_to_the_checkout_it_runs_in(tmp_path):
    cli = tmp_path / "pipeline" / "cli"
    cli.mkdir(parents=True)
    for file in (cli.parent / "__init__.py", cli / "__init__.py", cli / "main.py"):
        file.touch()
    (cli / "__main__.py").write_text("import sys; print('the copy', sys.argv[1:])")
    environment = os.environ | {"DVC_STAGE": "train", "PYTHONSAFEPATH": "1", "PYTHONPATH": ""}
    start = f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
    start += "from pipeline.cli.main import main; main()"
    command = [sys.executable, "-c", start, "train", "--help"]
    settings = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 60}
    done = subprocess.run(command, env=environment, **settings)
    assert done.stdout == "the copy ['train', '--help']\n"
    environment.pop("DVC_STAGE")
    assert "the copy" not in subprocess.run(command, env=environment, **settings).stdout


@pytest.mark.slow
def test_ctrl_c_ends_a_scrape_with_130(gan, tmp_path):
    (tmp_path / "source.yaml").write_text(
        "{source: embedded, count: 3000, size: 128, seed: 1, painter: 1, view: avatars, "
        "licence: CC0-1.0}\n"
    )
    process = gan("scrape", "--ensure", wait=False)
    until(lambda: process.poll() is not None or any(tmp_path.glob("data.staging/*/*.jsonl")))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "gan: interrupted" in err
    assert "Traceback" not in err
    assert not (tmp_path / "data").exists()
