"""Import closure of a stage: the files that its code can reach, and their digest.

DVC does not follow imports. The same walk gives the code's digest in a run key, and the test that
holds the `deps` of dvc.yaml against the code. A module that a registry names in a string, such as
"gan.models.dcgan", counts as imported by the file with the string.
"""

import ast
import hashlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGES = ("gan", "pipeline")

TRAINING = "pipeline/stages/train.py"
"""Entry whose closure's digest is part of the run key."""

MODULE = re.compile(r"[a-z_]\w*(\.[a-z_]\w*)+", re.ASCII)
"""A string like this may name a module; that of a package alone, such as "gan", is a mere word."""

EXEMPT = {
    "gan/params/": "schema of params.yaml: the values are tracked by `params:` in dvc.yaml",
    "pipeline/console.py": "it only prints notices and progress",
    "pipeline/signals.py": "it only ends a training early, and then there are no outs yet",
    "pipeline/cli/": "it only declares commands; what decides an out is in pipeline/stages/",
}
"""Files, and folders (ending in /), where the walk ends; why they can't change an out."""


def closure(entry: str, root: Path) -> set[str]:
    """Files that `entry` (such as "pipeline/stages/train.py") can reach, itself included.

    Imports inside functions count, and so do strings that name a module in full. Paths are
    relative to `root`, with slashes; empty `__init__.py` files and EXEMPT ones are left out.
    """
    found: set[str] = set()
    waiting = [entry]
    while waiting:
        file = waiting.pop()
        if file not in found and not file.startswith(tuple(EXEMPT)):
            found.add(file)
            waiting += find_imported_files(root, file)
    return {file for file in found if (root / file).stat().st_size}


def find_imported_files(root: Path, file: str) -> Iterator[str]:
    """Files of this project that one file imports or names in a string; with repetitions."""
    tree = ast.parse((root / file).read_text(encoding="utf-8"), filename=file)
    for node in ast.walk(tree):
        for name in _module_names(node):
            if name.split(".")[0] in PACKAGES:
                stem = name.replace(".", "/")
                files = f"{stem}.py", f"{stem}/__init__.py"
                yield from (each for each in files if (root / each).is_file())


def _module_names(node: ast.AST) -> list[str]:
    """Return names in an import or a string that may be modules."""
    match node:
        case ast.Import():
            return [alias.name for alias in node.names]
        case ast.ImportFrom(module=str(module), level=0):
            # `from a import b`: b may be a module too
            return [module, *(f"{module}.{alias.name}" for alias in node.names)]
        case ast.Constant(value=str(text)) if MODULE.fullmatch(text):
            return [text]
    return []


@cache
def code_digest(entry: str) -> str:
    """sha256 over names and contents of the closure of `entry`, in the code that is running.

    Once a process: files that are edited later are not those that run.
    """
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for file in sorted(closure(entry, root)):
        content = (root / file).read_bytes()
        digest.update(f"{file}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest()
