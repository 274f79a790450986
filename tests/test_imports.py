"""Import closures: what a stage's code reaches."""

import ast
from pathlib import Path

import pytest

from pipeline.imports import EXEMPT, closure, code_digest

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCES = [*REPOSITORY.glob("gan/**/*.py"), *REPOSITORY.glob("pipeline/**/*.py")]


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


def test_circles_and_foreign_packages_end_the_walk(tree):
    root = tree(pipeline__a="import os, torch\nimport gan.b\n", gan__b="import pipeline.a\n")
    assert closure("pipeline/a.py", root) == {"pipeline/a.py", "gan/b.py"}


def test_the_walk_ends_at_exempt_files(tree):
    root = tree(
        pipeline__a="from pipeline import tracking\n",
        pipeline__tracking="import gan.b\n",
        gan__b="x = 1\n",
    )
    assert closure("pipeline/a.py", root) == {"pipeline/a.py"}


@pytest.mark.parametrize("file", EXEMPT)
def test_exempt_files_exist(file):
    assert (REPOSITORY / file).is_file()


@pytest.mark.parametrize(
    ("stage", "unreachable"),
    [
        ("train", ["gan/metrics/"]),
        ("evaluate", ["gan/training.py", "gan/objectives/"]),
        ("preprocess", ["gan/models/"]),
        ("reference", ["gan/models/", "gan/training.py"]),
    ],
)
def test_stages_stay_within_their_borders(stage, unreachable):
    reached = closure(f"pipeline/{stage}.py", REPOSITORY)
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
    digests = [code_digest(f"pipeline/{stage}.py") for stage in ("train", "train", "evaluate")]
    assert digests[0] == digests[1] != digests[2]
    assert len(digests[0]) == 64
