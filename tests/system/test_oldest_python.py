"""The oldest Python that pyproject.toml promises, 3.11.0, is the one that the tools check for.

mypy (of the standard library) and ruff (of the syntax) find what is younger than a minor version.
Neither knows what came to 3.11 in one of its patch releases: these few things are looked for here.
"""

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("gan", "pipeline", "tests", "benchmarks")

KEYWORDS = {
    "extract": "filter",  # of tarfile, 3.11.4
    "extractall": "filter",
    "unpack_archive": "filter",
    "getaddresses": "strict",  # of email.utils, 3.11.10
    "parseaddr": "strict",
}
NAMES = {"data_filter", "tar_filter", "fully_trusted_filter", "FilterError"} | {
    "GetReparseDeferralEnabled",  # of xml.parsers.expat, 3.11.8
    "SetReparseDeferralEnabled",
}


def younger(source):
    """Lines of a source on which a patch release of 3.11 is needed."""
    return [node.lineno for node in ast.walk(ast.parse(source)) if is_younger(node)]


def is_younger(node):
    match node:
        case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name), keywords=keywords):
            return any(each.arg and each.arg == KEYWORDS.get(name) for each in keywords)
        case ast.Attribute(attr=name):
            return name in NAMES
        case ast.ImportFrom(names=names):
            return not NAMES.isdisjoint(each.name for each in names)
    return False


def test_the_tools_check_for_the_oldest_python():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    oldest = settings["project"]["requires-python"].split(",")[0].removeprefix(">=")
    assert settings["tool"]["mypy"]["python_version"] == oldest
    assert settings["tool"]["ruff"]["target-version"] == "py" + oldest.replace(".", "")


def test_nothing_of_a_later_patch_release_is_used():
    for folder in FOLDERS:
        files = sorted((ROOT / folder).rglob("*.py"))
        assert files
        found = {file: younger(file.read_text(encoding="utf-8")) for file in files}
        assert not {file: lines for file, lines in found.items() if lines}


def test_such_a_thing_is_found():
    assert younger("archive.extractall(folder)\nfilter(None, ())") == []
    assert younger("archive.extractall(folder, filter='data')") == [1]
    assert younger("from tarfile import data_filter\ntarfile.data_filter") == [1, 2]
