"""The environment of a process that works in another checkout than this one."""

import os
import sys
from pathlib import Path

STRANGE = (
    *("DVC_ROOT", "DVC_STAGE", "DVC_EXP", "MLFLOW_"),
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX", "GIT_OBJECT", "GIT_PREFIX"),
    *("PYTHONPATH", "PYTHONSAFEPATH", "PYTHONHOME"),
)
"""What would lead it to this checkout's code, repository, stage or tracker."""


def clean_environment() -> dict[str, str]:
    """This process's environment without what points to its checkout; `gan` and `dvc` are ours."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(STRANGE)}
    own = str(Path(sys.executable).parent)
    return kept | {
        "PATH": f"{own}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
