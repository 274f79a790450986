"""The `gan` command as a person meets it: help, mistakes, Ctrl-C."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
STAGES = ["scrape", "preprocess", "reference", "train", "evaluate", "compare", "generate"]


def assert_one_line(text):
    assert len(text.strip().splitlines()) == 1, text


def listed(text):
    """Commands in the order of the help."""
    lines = text.partition("Commands:")[2].splitlines()
    return [m[1] for line in lines if (m := re.match(r"  (\w+)  ", line))]


def test_help_lists_the_commands_in_the_order_of_the_pipeline(gan):
    done = gan("--help")
    assert done.returncode == 0
    assert listed(done.stdout)[: len(STAGES)] == STAGES


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nsys.argv = ['gan', '--help']\nfrom pipeline.cli.main import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    for heavy in ("torch", "mlflow", "scrapy", "dvc", "numpy", "pydantic", "pandas"):
        assert f"'{heavy}'" not in done.stderr


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("scrape", ["data/", "source.yaml", "data.dvc"]),
        ("preprocess", ["data/", "cache/", "reports/preprocess.json"]),
        ("reference", ["cache/", "weights/", "reference/"]),
        ("train", ["cache/", "models/snapshots/", "models/final.pt", "losses.tsv"]),
        ("evaluate", ["models/snapshots/", "reference/", "models/best.pt", "metrics.json"]),
        ("generate", ["checkpoint", "PNG", "--out"]),
        ("summary", ["reports/", "logs/"]),
        ("ui", ["MLflow"]),
        ("clean", [".dvc/tmp/gan", "--remove"]),
        ("weights add", ["sha256", "weights/"]),
        ("weights list", ["weights/", "params.yaml", "sha256"]),
        ("weights fetch", ["weights/", "network", "--url"]),
        ("compare", ["MLflow", "evaluation.json", "--json"]),
        ("results add", ["reports/", "OUT/NAME.json"]),
        ("results render", ["docs/results.md"]),
        ("params", ["params.yaml", "preset", "OUT"]),
    ],
)
def test_the_help_of_a_command_says_what_it_reads_and_writes(gan, command, words):
    text = " ".join(gan(*command.split(), "--help").stdout.split())
    assert [word for word in words if word not in text] == []


def mistake(done, *words):
    assert done.returncode not in (0, None)
    assert_one_line(done.stderr)
    assert done.stderr.startswith("gan: ")
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"preprocess.size": 50}, ["preprocess.size = 50", "128, 192 or 256"]),
        ({"train.objective": "foo"}, ["train.objective = 'foo'", "wgan_gp"]),
        ({"train.colour": 1}, ["train.colour is unknown"]),
        ({"train.recipes.wgan_gp.discriminator_norm": "batch"}, ["wgan_gp", "batch"]),
    ],
)
def test_a_wrong_param_is_one_line(gan, write_params, tmp_path, change, words):
    write_params(tmp_path / "params.yaml", change)
    mistake(gan("train"), *words)


def test_unreadable_params_are_one_line(gan, tmp_path):
    mistake(gan("train"), "params.yaml", "no such file")
    mistake(gan("train", "--params", tmp_path), "cannot be read")
    (tmp_path / "params.yaml").write_text("a: [")
    mistake(gan("train"), "not valid YAML")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train", ["cache", "gan preprocess"]),
        ("evaluate", ["cache", "gan preprocess"]),
        ("evaluate --out x", ["--ckpt"]),
        ("evaluate --ckpt text", ["text", "not a checkpoint"]),
        ("generate --ckpt text", ["text", "not a checkpoint"]),
        ("generate --ckpt none.pt", ["none.pt", "no such"]),
        ("weights add none.pth", ["none.pth", "no such file"]),
        ("weights add text", ["sha256"]),
        ("summary", ["dvc repro"]),
        ("results add mine", ["dvc repro"]),
        ("results render", ["no results"]),
    ],
)
def test_a_missing_or_wrong_file_is_one_line(gan, write_params, tmp_path, command, words):
    write_params(tmp_path / "params.yaml")
    (tmp_path / "text").write_text("no checkpoint")
    mistake(gan(*command.split()), *words)


@pytest.mark.slow
def test_a_file_where_the_output_folder_should_be_is_one_line(gan, checkpoint, tmp_path):
    (tmp_path / "out").write_text("a file")
    for out in ("out", "out/deeper"):
        mistake(gan("generate", "--ckpt", checkpoint, "--seeds", "1", "--out", out), "out")
    mistake(gan("generate", "--ckpt", checkpoint, "--seeds", "x"), "--seeds")
    assert (tmp_path / "out").read_text() == "a file"


@pytest.mark.slow
def test_a_source_without_pictures_is_one_line_besides_the_tracker(gan, tmp_path, write_params):
    (tmp_path / "empty").mkdir()
    write_params(tmp_path / "params.yaml")
    for source, words in (("archive:empty", "holds no"), ("archive:none", "no such file")):
        done = gan("scrape", "--source", source)
        assert done.returncode == 1
        (line,) = [each for each in done.stderr.splitlines() if each.startswith("gan: ")]
        assert words in line
        assert "Traceback" not in done.stderr


def test_a_usage_error_exits_with_2(gan):
    done = gan("train", "--bogus")
    assert done.returncode == 2
    assert "--bogus" in done.stderr


def test_a_stage_of_dvc_hands_over_to_the_checkout_it_runs_in(tmp_path):
    (tmp_path / "pipeline" / "cli").mkdir(parents=True)
    (tmp_path / "pipeline/__init__.py").write_text("")
    (tmp_path / "pipeline/cli/__init__.py").write_text("")
    (tmp_path / "pipeline/cli/main.py").write_text("")
    copy = "import sys; print('the copy', sys.argv[1:])"
    (tmp_path / "pipeline/cli/__main__.py").write_text(copy)
    environment = os.environ | {"DVC_STAGE": "train", "PYTHONSAFEPATH": "1", "PYTHONPATH": ""}
    start = f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
    start += "from pipeline.cli.main import main; main()"

    def run(env):
        return subprocess.run(
            [sys.executable, "-c", start, "train", "--help"],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
        )

    assert run(environment).stdout == "the copy ['train', '--help']\n"
    environment.pop("DVC_STAGE")
    assert "the copy" not in run(environment).stdout


def wait_for(happened, process):
    deadline = time.monotonic() + 120
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_ctrl_c_ends_a_scrape_with_130(gan, tmp_path):
    (tmp_path / "source.yaml").write_text(
        "source: embedded\ncount: 3000\nsize: 128\nseed: 1\npainter: 1\nview: avatars\n"
        "licence: CC0-1.0\n"
    )
    process = gan("scrape", "--ensure", wait=False)
    wait_for(lambda: any(tmp_path.glob("data.staging/*/*.jsonl")), process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "gan: interrupted" in err
    assert "Traceback" not in err
    assert not (tmp_path / "data").exists()
