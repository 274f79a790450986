"""Package graph: a room imports only rooms above it, as docs/architecture.md lists them."""

import ast
from functools import cache
from pathlib import Path

import pytest

from pipeline.code_digest import find_imported_files

ROOT = Path(__file__).resolve().parents[2]

ROOMS = (
    *("gan", "paths", "console", "signals", "code_digest", "number_ranges", "markdown"),
    *("dataset", "pictures", "gallery", "crawl", "faces", "preprocessing", "features"),
    *("training", "evaluation", "stages", "tracking", "runs", "housekeeping", "cli"),
)
"""One room each: gan/, a folder of pipeline/ with all below it, a file at its root."""

GAN = (
    *("errors", "pixels", "randomness", "atomic", "attributes", "tensor_cache"),
    *("params", "devices", "models"),
    *("objectives", "distributed", "checkpoints", "sampling", "training", "features", "metrics"),
)
"""The same for gan/'s files and folders."""

EXCEPTIONS = {("params", "models"), ("params", "objectives"), ("params", "metrics")}
"""The schema reads the names in three registries, without torch."""

MOST_ROOMS, MOST_LAYERS, MOST_EDGES, MOST_ROOT_FILES = 23, 9, 100, 7


def sources(*packages):
    files = [path for package in packages for path in (ROOT / package).rglob("*.py")]
    return [path.relative_to(ROOT).as_posix() for path in files if path.stat().st_size]


def room(file):
    package, *rest = file.split("/")
    return "gan" if package == "gan" else rest[0].removesuffix(".py")


def part_of_gan(file):
    return file.split("/")[1].removesuffix(".py")


def edges(files, name):
    """Pairs of rooms of which one imports the other, with the files that do."""
    found = {}
    for file in files:
        for target in find_imported_files(ROOT, file):
            ends = name(file), name(target)
            if ends[0] != ends[1] and (ROOT / target).stat().st_size:
                found.setdefault(ends, []).append((file, target))
    return found


def upwards(found, order):
    return {
        ends: files
        for ends, files in found.items()
        if order.index(ends[1]) >= order.index(ends[0]) and ends not in EXCEPTIONS
    }


def layers(found):
    @cache
    def layer(one):
        return 1 + max((layer(to) for start, to in found if start == one), default=0)

    return max(layer(start) for start, _ in found)


def test_rooms_import_only_rooms_above_them(capsys):
    files = sources("gan", "pipeline")
    assert {room(file) for file in files} == set(ROOMS)
    found = edges(files, room)
    assert upwards(found, ROOMS) == {}
    figures = len(ROOMS), layers(found), len(found)
    with capsys.disabled():
        print("\nrooms {}, layers {}, edges {}".format(*figures))  # noqa: T201
    assert figures[0] <= MOST_ROOMS
    assert figures[1] <= MOST_LAYERS
    assert figures[2] <= MOST_EDGES
    assert len(list((ROOT / "pipeline").glob("*.py"))) <= MOST_ROOT_FILES


def test_parts_of_the_learning_library_import_only_parts_above_them():
    files = sources("gan")
    assert {part_of_gan(file) for file in files} == set(GAN)
    assert upwards(edges(files, part_of_gan), GAN) == {}


def test_the_schema_reads_nothing_of_networks_and_objectives_but_their_names():
    for file in sources("gan/params"):
        for target in find_imported_files(ROOT, file):
            if part_of_gan(target) in ("models", "objectives") and (ROOT / target).stat().st_size:
                assert target.endswith("/registry.py"), (file, target)


@pytest.mark.parametrize("file", sources("pipeline/stages"))
def test_a_stage_is_one_public_function_that_can_be_read_at_once(file):
    text = (ROOT / file).read_text(encoding="utf-8")
    functions = [node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    assert [name for name in functions if not name.startswith("_")] == ["run"]
    assert len(text.splitlines()) <= 90
