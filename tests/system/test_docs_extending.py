"""The examples of docs/extending.md, done to a copy of the repository as the document says."""

import csv
import importlib.util
import json
import math
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from corner_features import FILE, save_corners
from local_server import PageServer, picture
from markdown_it import MarkdownIt
from tiny_networks import norms_recipe

from gan.checkpoints import load_checkpoint
from gan.params.model import DiscriminatorParams, GeneratorParams
from pipeline.code_digest import closure
from pipeline.dataset.reader import Dataset

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs/extending.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")
BOTH = {
    "train.objective": "reverse_kl",
    "model.generator.family": "shuffle",
    "model.discriminator.family": "shuffle",
}


@dataclass(frozen=True)
class Block:
    """A fenced block, and the file that the paragraph before it names last."""

    kind: str
    file: str
    text: str


def read_blocks():
    blocks, paragraph = [], ""
    for token in MarkdownIt().parse(TEXT):
        if token.type == "inline":
            paragraph = token.content
        elif token.type == "fence":
            file = re.findall(r"`([\w/]+\.(?:py|yaml))`", paragraph)[-1]
            blocks.append(Block(token.info, file, token.content))
    return blocks


BLOCKS = read_blocks()


def follow(root):
    """Do what the document says to a copy: new files, diffs after their context, a recipe."""
    for block in BLOCKS:
        file = root / block.file
        if block.kind == "python":
            assert not file.exists(), f"{block.file} is there already"
            file.write_text(block.text)
            continue
        before, added = "  recipes:\n", block.text
        if block.kind == "diff":
            before, *lines = (line[1:] for line in block.text.splitlines(keepends=True))
            added = "".join(lines)
        text = file.read_text()
        assert text.count(before) == 1, f"{block.file} has no single line {before}"
        file.write_text(text.replace(before, before + added))


@pytest.fixture
def copy(tmp_path):
    """The repository's code and params, with all that the document adds."""
    root, ignored = tmp_path / "repository", shutil.ignore_patterns("__pycache__")
    for name in ("gan", "pipeline"):
        shutil.copytree(ROOT / name, root / name, ignore=ignored)
    for name in ("params.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, root)
    follow(root)
    return root


@pytest.fixture
def documented(tmp_path, monkeypatch):
    """documented("gan/models/shuffle.py"): the module that the document shows."""

    def load(file):
        (block,) = [each for each in BLOCKS if each.file == file]
        path = tmp_path / Path(file).name
        path.write_text(block.text)
        spec = importlib.util.spec_from_file_location(f"documented_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return module

    return load


LIMIT = 40
"""Lines of code that a reader writes for a task, without blank ones."""

TASKS = {
    "objective": ("gan/objectives/reverse_kl.py", "gan/objectives/registry.py", "params.yaml"),
    "grids": ("pipeline/tracking/run.py",),
    "source": ("pipeline/crawl/json_feed.py", "pipeline/crawl/registry.py"),
    "metric": ("gan/metrics/energy_distance.py", "gan/metrics/registry.py"),
}


@pytest.mark.parametrize("task", TASKS)
def test_a_common_change_takes_few_lines(task):
    blocks = [block for block in BLOCKS if block.file in TASKS[task]]
    assert {block.file for block in blocks} == set(TASKS[task])
    lines = [line for block in blocks for line in block.text.splitlines() if line.strip()]
    context = sum(block.kind == "diff" for block in blocks)  # begins with a line that is there
    assert 0 < len(lines) - context <= LIMIT


def test_every_file_that_the_document_names_exists_or_is_made_by_it():
    made = {block.file for block in BLOCKS if block.kind == "python"}
    named = set(re.findall(r"`((?:gan|pipeline|tests|docs)/[\w/.]+)`", TEXT))
    assert made < named
    assert [name for name in named - made if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("command", [["format", "--check"], ["check"]])
def test_documented_code_is_formatted_and_checked_like_all_other_code(copy, command):
    files = [block.file for block in BLOCKS if block.file.endswith(".py")]
    ruff = [sys.executable, "-m", "ruff", *command, "--no-cache", *files]
    done = subprocess.run(ruff, cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_example_objective_estimates_the_divergence(documented, make_params):
    reverse_kl = documented("gan/objectives/reverse_kl.py").build(make_params().train.recipe)
    p, q = torch.tensor([0.7, 0.2, 0.1]).double(), torch.tensor([0.3, 0.3, 0.4]).double()
    best = (p / q).log()  # the score of a picture is the logarithm of how much likelier real it is
    real, fake = best.clone().requires_grad_(), best.clone().requires_grad_()
    for i, ratio in enumerate((p / q).tolist()):
        loss = reverse_kl.discriminator_loss(real[i : i + 1], fake[i : i + 1])
        on_real, on_fake = torch.autograd.grad(loss, [real, fake])
        assert (ratio * on_real + on_fake)[i].item() == pytest.approx(0, abs=1e-12)
    from_p, from_q = (torch.repeat_interleave(best, (each * 10).round().int()) for each in (p, q))
    divergence = (q * (q / p).log()).sum().item()
    assert reverse_kl.generator_loss(from_q).item() == pytest.approx(divergence)
    assert reverse_kl.discriminator_loss(from_p, from_q).item() == pytest.approx(-divergence)
    assert reverse_kl.decision_threshold == math.log(1)


def build_both(family, size, norm="none", spectral=False):
    """The two networks."""
    small = {"family": "dcgan", "width": 4, "widest": 4, "activation": "relu"}
    asked = {"norm": norm, "first_norm": True, "self_modulation": False}
    asked |= {"spectral_norm": spectral, "last": "tanh"}
    recipe = norms_recipe(norm, False, spectral)
    generator = GeneratorParams.model_validate(small | asked)
    discriminator = DiscriminatorParams.model_validate(small)
    return (
        lambda: family.build_generator(generator, 8, size),
        lambda: family.build_discriminator(discriminator, recipe, size),
    )


@pytest.mark.parametrize("size", [32, 48, 96])
@pytest.mark.parametrize("kind", ["none", "batch", "layer"])
@pytest.mark.parametrize("spectral", [False, True])
def test_the_example_family_fits_every_size_and_norm_and_learns(size, kind, spectral, documented):
    family = documented("gan/models/shuffle.py")
    generator, discriminator = (build() for build in build_both(family, size, kind, spectral))
    random = torch.Generator().manual_seed(1)
    for network in (generator, discriminator):
        family.initialise(network, random)
    pixels = generator(torch.randn(3, 8, generator=random))
    assert pixels.shape == (3, 3, size, size)
    assert pixels.abs().max() <= 1
    scores = discriminator(pixels)
    assert scores.shape == (3,)
    assert discriminator.uses_batch_statistics == (kind == "batch")
    scores.square().sum().backward()
    for network in (generator, discriminator):
        for name, parameter in network.named_parameters():
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name


def test_the_example_metric_is_the_sum_over_all_pairs(documented):
    metric = documented("gan/metrics/energy_distance.py")
    random = np.random.default_rng(1)
    real, fake = (random.normal(size=(n, 5)).astype(np.float32) for n in (7, 9))
    pairs = [np.linalg.norm(a - b) for a in real for b in fake]
    within = [[np.linalg.norm(a - b) for a, b in permutations(x, 2)] for x in (real, fake)]
    expected = 2 * np.mean(pairs) - np.mean(within[0]) - np.mean(within[1])
    assert metric.energy_distance(real, fake) == pytest.approx(expected, rel=1e-5)
    same = random.normal(size=(2000, 5)).astype(np.float32)
    assert metric.energy_distance(same[::2], same[1::2]) == pytest.approx(0, abs=0.02)


def test_another_way_to_log_grids_is_part_of_no_stage(copy):
    for stage in ("preprocess", "reference", "train", "evaluate"):
        entry = f"pipeline/stages/{stage}.py"
        assert "pipeline/tracking/run.py" not in closure(entry, copy)


@pytest.mark.slow
def test_the_example_source_is_crawled_as_the_document_says(copy, gan, write_params):
    write_params(copy / "params.yaml")
    (copy / "source.yaml").write_text((ROOT / "source.yaml").read_text())
    with PageServer() as server:
        items = [
            {"url": server.url(f"post/{n}"), "image": server.url(f"{n}.png")} for n in range(5)
        ]
        server.pages |= {f"{n}.png": picture(n) for n in range(5)}
        first = {"items": items[:3], "next_url": server.url("older.json")}
        server.pages["feed.json"] = json.dumps(first)
        server.pages["older.json"] = json.dumps({"items": items[3:]})
        server.pages["wrong.json"] = json.dumps({"entries": []})
        command = ("scrape", "--allow-private", server.place, "--source")
        wrong = gan(*command, f"feed:{server.url('wrong.json')}", cwd=copy)
        done = gan(*command, f"feed:{server.url('feed.json')}", "--licence", "CC0-1.0", cwd=copy)
    assert wrong.returncode == 1
    assert "wrong.json" in wrong.stderr
    assert "Traceback" not in wrong.stderr
    assert done.returncode == 0, done.stderr
    entries = list(Dataset.open(copy / "data").entries())
    assert [entry.url for entry in entries] == [item["image"] for item in items]
    assert {(entry.status, entry.licence) for entry in entries} == {("ok", "CC0-1.0")}


@pytest.mark.slow
def test_the_examples_train_log_and_generate_as_the_document_says(
    copy, gan, write_params, write_cache, noise_images
):
    recipes = yaml.safe_load((copy / "params.yaml").read_text())["train"]["recipes"]
    few = {f"evaluate.{key}": 16 for key in ("num_fakes", "selection_fakes")}
    few |= {"evaluate.report_seeds": [2, 3], "evaluate.metrics": ["energy_distance"]}
    few |= {"features.extractors": [FILE]}
    save_corners(copy / "weights")
    write_params(copy / "params.yaml", {"train.recipes": recipes} | BOTH | few)
    write_cache(copy / "cache", noise_images)

    def run(*command):
        done = gan(*command, cwd=copy, store=f"sqlite:///{copy / 'mlflow.db'}")
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "reverse_kl shuffle" in run("train", "--dry-run")
    run("train")
    origin = load_checkpoint(copy / "models/final.pt")["origin"]
    assert origin["name"].startswith("reverse_kl shuffle 32px")
    with (copy / "reports/losses.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert int(rows[-1]["images_seen"]) == origin["images_seen"] == 192
    for name in ("loss/discriminator", "loss/generator"):
        assert all(math.isfinite(float(row[name])) for row in rows)
    grids = list(copy.rglob("artifacts/grids/*.png"))
    assert {int(file.stem) for file in grids} == {0, 64, 128, 192}
    run("generate", "--ckpt", "models/final.pt", "--seeds", "0-3")
    run("evaluate")
    names = json.loads((copy / "reports/metrics.json").read_text())
    (key,) = [each for each in names if each.startswith("energy_") and "holdout" not in each]
    run("evaluate", "--ckpt", "models/final.pt", "--out", "final")
    page = (copy / "final/report.html").read_text()
    assert "Energy distance" in page
    assert "doi:10.1016/j.jspi.2013.03.018" in page
    assert f"By {key}, lower is better." in run("runs", "--by", key)
    assert f"By {key}, lower is better." in run("compare", "latest", "final")
