"""Import closures: what a stage's code reaches."""

import ast
from pathlib import Path

import pytest

from gan.models.registry import FAMILIES
from gan.objectives.registry import OBJECTIVES
from pipeline.code_digest import EXEMPT, closure, code_digest

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = [*REPOSITORY.glob("gan/**/*.py"), *REPOSITORY.glob("pipeline/**/*.py")]

TRAINING = ["gan/training/", "gan/objectives/", "pipeline/training/"]


@pytest.fixture
def tree(tmp_path):
    def write(**files):
        for name, text in files.items():
            path = tmp_path / (name.replace("__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


def test_imports_are_followed_through_files(tree):
    root = tree(
        pipeline__a="from gan.b import f\n",
        gan__b="import gan.c\n",
        gan__c="x = 1\n",
        gan__d="y = 1\n",
    )
    assert closure("pipeline/a.py", root) == {"pipeline/a.py", "gan/b.py", "gan/c.py"}


def test_imports_inside_functions_and_of_modules_by_name_count(tree):
    root = tree(pipeline__a="def f():\n    from gan import b\n", gan__b="x = 1\n")
    assert closure("pipeline/a.py", root) == {"pipeline/a.py", "gan/b.py"}


def test_modules_that_a_registry_names_in_strings_count(tree):
    root = tree(
        gan__build="from gan.names import NAMES\n",
        gan__names="NAMES = {'one': 'gan.families.one', 'two': ['gan.two']}\n",
        gan__families__one="import gan.layers\n",
        gan__two="x = 1\n",
        gan__layers="x = 1\n",
    )
    assert closure("gan/build.py", root) == {
        "gan/build.py",
        "gan/names.py",
        "gan/families/one.py",
        "gan/two.py",
        "gan/layers.py",
    }


@pytest.mark.parametrize(
    "text",
    [
        "see gan.b",
        "gan.b ",
        "gan/b.py",
        "gan.b.f",
        "gan.b:f",
        ".gan.b",
        "gan..b",
        "gan",
        "b",
        "other.gan.b",
        "gan.seed",
    ],
)
def test_other_strings_are_mere_words(tree, text):
    root = tree(gan__a=f"x = {text!r}\n", gan__b="x = 1\n", gan____init__="x = 1\n")
    assert closure("gan/a.py", root) == {"gan/a.py"}


def test_the_walk_does_not_go_through_the_schema_to_what_it_knows_by_name(tree):
    root = tree(
        pipeline__a="from gan.params.file import P\nfrom gan.params.model import M\n",
        gan__params="from gan.params.train import T\n",
        gan__model_params="from gan.families import FAMILIES\n",
        gan__families="FAMILIES = {'x': 'gan.x'}\n",
        gan__x="x = 1\n",
    )
    assert closure("pipeline/a.py", root) == {"pipeline/a.py"}


@pytest.mark.parametrize(
    ("entry", "registry"),
    [("gan/models/build.py", FAMILIES), ("gan/objectives/build.py", OBJECTIVES)],
)
def test_what_builds_by_name_reaches_all_that_is_named(entry, registry):
    named = {f"{module.replace('.', '/')}.py" for module in registry.values()}
    assert named <= closure(entry, REPOSITORY)


def test_circles_and_foreign_packages_end_the_walk(tree):
    root = tree(pipeline__a="import os, torch\nimport gan.b\n", gan__b="import pipeline.a\n")
    assert closure("pipeline/a.py", root) == {"pipeline/a.py", "gan/b.py"}


def test_the_walk_ends_at_exempt_files(tree):
    root = tree(
        pipeline__a="from pipeline import console\nfrom pipeline.cli import main\n",
        pipeline__console="import gan.b\n",
        pipeline__cli__main="import gan.b\n",
        gan__b="x = 1\n",
    )
    assert closure("pipeline/a.py", root) == {"pipeline/a.py"}


@pytest.mark.parametrize("file", EXEMPT)
def test_exempt_files_exist(file):
    assert (REPOSITORY / file).exists()


@pytest.mark.parametrize(
    ("stage", "unreachable"),
    [
        ("train", ["gan/metrics/", "gan/features/", "pipeline/tracking/"]),
        ("evaluate", [*TRAINING, "pipeline/tracking/"]),
        ("preprocess", ["gan/models/", "gan/metrics/", *TRAINING]),
        ("reference", ["gan/models/", *TRAINING]),
    ],
)
def test_stages_stay_within_their_borders(stage, unreachable):
    reached = closure(f"pipeline/stages/{stage}.py", REPOSITORY)
    assert not [file for file in reached for start in unreachable if file.startswith(start)]


def test_the_library_never_points_back_to_the_pipeline():
    for file in REPOSITORY.glob("gan/**/*.py"):
        reached = closure(str(file.relative_to(REPOSITORY)), REPOSITORY)
        assert all(each.startswith("gan/") for each in reached), file


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(REPOSITORY)))
def test_no_import_is_relative_since_the_walk_would_not_see_it(file):
    nodes = ast.walk(ast.parse(file.read_text()))
    assert not [node for node in nodes if isinstance(node, ast.ImportFrom) and node.level]


def test_the_digest_of_code_is_stable_and_differs_by_stage():
    digests = [
        code_digest(f"pipeline/stages/{stage}.py") for stage in ("train", "train", "evaluate")
    ]
    assert digests[0] == digests[1] != digests[2]
    assert len(digests[0]) == 64
