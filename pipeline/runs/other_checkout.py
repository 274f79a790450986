"""Questions to the code of another checkout, answered by that code in a process of its own.

A checkout answers by its hidden command `gan _identity`, so that command, its option and the three
keys of the answer stay as they are. Commits from before the modules moved into rooms have no such
command and other module names: they are asked by a script.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from gan.errors import GanError
from gan.params.file import Params
from pipeline.code_digest import TRAINING, code_digest
from pipeline.paths import Paths

FOREIGN = (
    *("DVC_ROOT", "DVC_STAGE", "DVC_EXP", "MLFLOW_"),
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX", "GIT_OBJECT", "GIT_PREFIX"),
    *("PYTHONPATH", "PYTHONSAFEPATH", "PYTHONHOME"),
)
"""Beginnings of the variables that would lead it to this checkout's code, stage or tracker."""

BEFORE_ROOMS = ("pipeline/cli.py", "pipeline/imports.py", "pipeline/train.py")
"""Files of the flat layout, by which a checkout of it is recognised."""

CODE_BEFORE_ROOMS = """
import json
from pipeline.imports import code_digest
print(json.dumps({"code_digest": code_digest("pipeline/train.py")}))
"""

IDENTITY_BEFORE_ROOMS = """
import json
from pathlib import Path
from gan.params import load_params
from pipeline.paths import Paths
from pipeline.training.plan import plan
planned = plan(load_params(Path("params.yaml")), Paths(Path.cwd()))
identity = planned.identity | {"images": planned.params.train.images}
print(json.dumps({"run_key": planned.run_key, "identity": identity}))
"""


def digest_of_code() -> dict[str, Any]:
    """Digest of this checkout's training code alone, which needs neither params nor data."""
    return {"run_key": None, "identity": None, "code_digest": code_digest(TRAINING)}


def identity_of_training(params: Params, paths: Paths) -> dict[str, Any]:
    """Run key of the training that this checkout would run, and the settings, digests and versions
    that it is built from; GanError."""
    from gan.tensor_cache import TensorCache
    from pipeline.training.plan import make_plan

    plan = make_plan(params.model, params.train, TensorCache.open(paths.cache), paths)
    identity = plan.identity | {"images": params.train.images}
    return digest_of_code() | {"run_key": plan.run_key, "identity": identity}


def code_digest_in(folder: Path) -> str:
    """Digest of the training's code, computed by that code; GanError if it can't tell."""
    return str(_ask(folder, CODE_BEFORE_ROOMS, "--code-only")["code_digest"])


def identity_in(folder: Path) -> dict[str, Any]:
    """`run_key` and `identity` of the training that the checkout would run; GanError, with its
    own message, if it can't train."""
    return _ask(folder, IDENTITY_BEFORE_ROOMS)


def _ask(folder: Path, script: str, *options: str) -> dict[str, Any]:
    """JSON object that `script` prints in a checkout of the flat layout, the command in others."""
    flat = all((folder / name).is_file() for name in BEFORE_ROOMS)
    command = ["-c", script] if flat else ["-m", "pipeline.cli", "_identity", *options]
    said = call(folder, sys.executable, *command)
    try:
        return dict(json.loads(said.splitlines()[-1]))
    except (ValueError, TypeError, IndexError):
        raise GanError(f"{folder}: its code does not tell what it would train") from None


def call(folder: Path, *command: str, stdin: bytes = b"", **variables: str) -> bytes:
    """Output of a command in another checkout; GanError with the last line of its complaint.

    variables: more of its environment.
    """
    name = f"`{Path(command[0]).name} {command[1]}` in {folder} failed"
    environment = clean_environment() | variables
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, input=stdin, capture_output=True, check=False
        )
    except OSError as error:
        raise GanError(f"{name}: {error.strerror}") from None
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise GanError(f"{name}: {re.sub('^gan(.errors.GanError)?: ', '', lines[-1])}")
    return done.stdout


def clean_environment() -> dict[str, str]:
    """This process's environment without what points to its checkout; `gan` and `dvc` are ours."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)}
    own = str(Path(sys.executable).parent)
    return kept | {
        "PATH": f"{own}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
