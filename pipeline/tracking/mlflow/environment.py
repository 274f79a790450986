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


def set_defaults() -> None:
    """Set what the environment leaves open; called once, as a process starts."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
