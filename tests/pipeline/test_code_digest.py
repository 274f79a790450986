"""Import closures: what a stage's code reaches."""

import ast
from pathlib import Path

import pytest

from pipeline.code_digest import EXEMPT, closure, code_digest

REPOSITORY = Path(__file__).resolve().parents[2]

TRAINING = ["gan/training/", "gan/objectives/", "pipeline/training/"]


def write(root, files):
    """Write these modules, and an empty one beside them that all could reach."""
    for module, text in ({"gan.b": "x = 1\n", "gan": "x = 1\n"} | files).items():
        path = root / (module.replace(".", "/") + ("/__init__.py" if module == "gan" else ".py"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("files", "reached"),
    [
        ({"gan.a": "from gan.b import f\n"}, ["a", "b"]),
        ({"gan.a": "import gan.c\n", "gan.c": "from gan import b\n"}, ["a", "b", "c"]),
        ({"gan.a": "def f():\n    from gan import b\n"}, ["a", "b"]),
        ({"gan.a": "import os, torch\nimport gan.c\n", "gan.c": "import gan.a\n"}, ["a", "c"]),
        (  # a registry names modules in strings
            {
                "gan.a": "from gan.names import NAMES\n",
                "gan.names": "NAMES = {'one': 'gan.families.one', 'two': ['gan.b']}\n",
                "gan.families.one": "x = 1\n",
            },
            ["a", "names", "families/one", "b"],
        ),
        (  # the walk does not go through the schema to what that knows by name
            {
                "gan.a": "from gan.params.file import P\nfrom gan.params.model import M\n",
                "gan.params.file": "import gan.b\n",
                "gan.params.model": "FAMILIES = {'x': 'gan.b'}\n",
            },
            ["a"],
        ),
        (
            {
                "gan.a": "from pipeline import console\nfrom pipeline.cli import main\n",
                "pipeline.console": "import gan.b\n",
                "pipeline.cli.main": "import gan.b\n",
            },
            ["a"],
        ),
    ],
)
def test_imports_and_names_are_followed_up_to_exempt_files(tmp_path, files, reached):
    write(tmp_path, files)
    found = closure("gan/a.py", tmp_path) - {"gan/__init__.py"}
    assert found == {f"gan/{name}.py" for name in reached}


@pytest.mark.parametrize("text", ["see gan.b", "gan/b.py", "gan.b.f", ".gan.b", "gan..b", "gan"])
def test_other_strings_are_mere_words(tmp_path, text):
    write(tmp_path, {"gan.a": f"x = {text!r}\n"})
    assert closure("gan/a.py", tmp_path) == {"gan/a.py"}


def test_stages_stay_within_their_borders():
    for stage, unreachable in (
        ("train", ("gan/metrics/", "gan/features/", "pipeline/tracking/")),
        ("evaluate", (*TRAINING, "pipeline/tracking/")),
        ("preprocess", ("gan/models/", "gan/metrics/", *TRAINING)),
    ):
        reached = closure(f"pipeline/stages/{stage}.py", REPOSITORY)
        assert not [file for file in reached if file.startswith(unreachable)]


def test_no_import_is_relative_since_the_walk_would_not_see_it():
    assert all((REPOSITORY / file).exists() for file in EXEMPT)
    for folder in ("gan", "pipeline"):
        for file in (REPOSITORY / folder).rglob("*.py"):
            nodes = ast.walk(ast.parse(file.read_text()))
            relative = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.level]
            assert not relative, file


def test_the_digest_of_code_is_stable_and_differs_by_stage():
    stages = ("train", "train", "evaluate")
    digests = [code_digest(f"pipeline/stages/{stage}.py") for stage in stages]
    assert digests[0] == digests[1] != digests[2]
    assert len(digests[0]) == 64
