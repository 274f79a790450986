"""Settings of MLflow for a whole process, as environment variables."""

import os

TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
LEVEL = "MLFLOW_LOGGING_LEVEL"

SETTINGS = {  # MLflow's own defaults wait 248 s for a dead server, chat and phone home
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    TIMEOUT: "5",
    LEVEL: "CRITICAL",  # it logs a traceback for errors that are handled here
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
}


_set_here: set[str] = set()
"""Variables that this process set, since nobody else had."""


def set_defaults() -> None:
    """Set what the environment leaves open; called once, as a process starts."""
    missing = SETTINGS.keys() - os.environ.keys()
    _set_here.update(missing)
    os.environ.update({name: SETTINGS[name] for name in missing})


def wait_longer(seconds: int) -> None:
    """Wait so long for each answer of a server, unless the environment named a timeout."""
    if TIMEOUT in _set_here:
        os.environ[TIMEOUT] = str(seconds)
