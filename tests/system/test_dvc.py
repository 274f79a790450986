"""dvc.yaml against the code: DVC does not follow imports, so the deps are held against them."""

import ast
import hashlib
import json
import re
import subprocess
import tomllib
from pathlib import Path, PurePosixPath

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pipeline.code_digest import closure

ROOT = Path(__file__).resolve().parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
CODE_STAGES = ("preprocess", "reference", "train", "evaluate")
KINDS = ("outs", "metrics", "plots")


def all_outs():
    """(path, kind, whether DVC keeps it) of every out of every stage."""
    return [
        (path, kind, options.get("cache", True))
        for stage in STAGES
        for kind in KINDS
        for entry in STAGES[stage].get(kind, [])
        for path, options in (entry.items() if isinstance(entry, dict) else [(entry, {})])
    ]


def git(*arguments):
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout.splitlines()


def code_deps(stage):
    """Code files that the deps of a stage name, folders expanded; empty files don't count."""
    found = set()
    for dep in STAGES[stage]["deps"]:
        if dep.split("/")[0] in ("gan", "pipeline"):
            path = ROOT / dep
            assert path.exists(), dep
            found |= set(path.rglob("*.py")) if path.is_dir() else {path}
    return {path.relative_to(ROOT).as_posix() for path in found if path.stat().st_size}


def modules():
    return [path for package in ("gan", "pipeline") for path in (ROOT / package).rglob("*.py")]


def imported(path):
    """First parts of the names that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("stage", CODE_STAGES)
def test_the_deps_of_a_stage_are_the_code_it_can_reach(stage):
    assert code_deps(stage) == closure(f"pipeline/stages/{stage}.py", ROOT)


def test_package_files_are_empty_and_gan_and_all_but_tracking_keep_to_their_imports():
    world, tracking = {"pipeline", "typer", "dvc", "mlflow", "scrapy"}, ROOT / "pipeline/tracking"
    importers = [path for path in modules() if "mlflow" in set(imported(path))]
    assert importers
    assert [path for path in importers if tracking not in path.parents] == []
    for path in modules():
        assert path.name != "__init__.py" or path.stat().st_size == 0, path
        assert ROOT / "gan" not in path.parents or world.isdisjoint(imported(path)), path


@pytest.mark.parametrize("path", [path for path, _, kept in all_outs() if kept] + ["data"])
def test_what_dvc_keeps_is_ignored_by_the_root_gitignore_and_not_tracked(path):
    rule = git("check-ignore", "--no-index", "-v", path)
    assert rule
    assert rule[0].startswith(".gitignore:")
    assert git("ls-files", "--", path) == []


def test_what_git_keeps_is_not_ignored_but_for_the_receipt():
    for path, kind, kept in all_outs():
        if not kept:
            assert bool(git("check-ignore", "--no-index", path)) == (path == "data.ok"), path
            # any other such out would switch off the run-cache of its stage
            assert kind != "outs" or path == "data.ok"


def test_no_two_outs_overlap():
    paths = [PurePosixPath(path) for path, _, _ in all_outs()] + [PurePosixPath("data")]
    for i, one in enumerate(paths):
        for other in paths[i + 1 :]:
            assert one not in (other, *other.parents)
            assert other not in one.parents
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    assert not re.search("persist|always_changed", text)  # either would switch off the run cache


def test_the_pin_has_two_deps_or_dvc_would_overwrite_data_with_the_receipt():
    pin = yaml.safe_load((ROOT / "data.dvc").read_text(encoding="utf-8"))
    assert len(pin["deps"]) >= 2
    assert [out["path"] for out in pin["outs"]] == ["data"]


def test_compiled_files_are_no_part_of_a_dep():
    lines = (ROOT / ".dvcignore").read_text(encoding="utf-8").split()
    assert {"__pycache__/", "*.pyc"} <= set(lines)


def locked():
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_the_lock_file_holds_plain_pins_and_accelerator_libraries_for_linux_only():
    pattern = r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+(; .+)?"
    for line in locked():
        assert re.fullmatch(pattern, line), line
        if line.startswith(("nvidia", "cuda", "triton")):
            assert line.endswith('; sys_platform == "linux"')
    names = [canonicalize_name(Requirement(line).name) for line in locked()]
    assert len(set(names)) == len(names)


def test_the_lock_file_satisfies_the_ranges_of_the_project():
    pins = {
        canonicalize_name(Requirement(line).name): Requirement(line).specifier for line in locked()
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"].values()
    groups = [project["project"]["dependencies"], project["dependency-groups"]["dev"], *extras]
    wanted = [requirement for group in groups for requirement in group]
    for requirement in map(Requirement, wanted):
        (pin,) = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(pin.version), requirement


def md5_of(path):
    if not path.exists():
        return "gone"
    if path.is_file():
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    names = subprocess.check_output(["git", "ls-files", "-z", str(path)], cwd=ROOT, text=True)
    files = sorted(name for name in names.split("\0") if name)
    listing = [
        {"md5": md5_of(ROOT / name), "relpath": (ROOT / name).relative_to(path).as_posix()}
        for name in files
    ]
    text = json.dumps(sorted(listing, key=lambda each: each["relpath"]), sort_keys=True)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + ".dir"


def test_the_committed_lock_is_of_the_committed_code_and_params():
    lock = yaml.safe_load((ROOT / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    stale = [
        (stage, dep["path"])
        for stage, entry in lock.items()
        for dep in entry["deps"]
        if dep["path"].startswith(("gan/", "pipeline/"))
        and md5_of(ROOT / dep["path"]) != dep["md5"]
    ]
    assert stale == []
    for stage, entry in lock.items():
        for name, value in entry.get("params", {}).get("params.yaml", {}).items():
            assert params[name] == value, (stage, name)
