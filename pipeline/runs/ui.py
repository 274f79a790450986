"""`gan ui`: MLflow's UI on the store that the stages write to."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gan.errors import GanError
from pipeline.console import tell, warn, without_secrets
from pipeline.paths import Paths
from pipeline.runs.find import NO_RUNS
from pipeline.signals import interrupting, keep_exit_code
from pipeline.tracking.mlflow.environment import LEVEL
from pipeline.tracking.mlflow.store import MlflowStore, store_exists, tracking_uri
from pipeline.tracking.mlflow.ui_view import prepare_view
from pipeline.tracking.open_run import experiment_name

HOST = "127.0.0.1"
START_S = 120.0  # importing the server takes 20 s on two busy cores
STOP_S = 10.0


def run(paths: Paths, port: int, show: bool = False) -> None:
    """Serve the UI until Ctrl-C; with a tracking server configured, only print its address.

    show: also open the page in a browser. GanError if the port is taken, nothing was recorded
    yet, or the server doesn't start.
    """
    uri = tracking_uri(paths)
    if uri.startswith(("http://", "https://")):
        _announce(without_secrets(uri).rstrip("/"), _prepare(uri, paths), show)
        return
    if not store_exists(uri):
        raise GanError(f"{uri.removeprefix('sqlite:///')}: {NO_RUNS}")
    _check_port(port)
    tell("starting the MLflow UI ... (Ctrl-C ends it)")
    log = paths.main_root / "logs" / "mlflow-ui.log"
    try:
        with interrupting(), _server(uri, port, log) as process:
            view = _prepare(uri, paths)  # takes a part of the time in which the server starts
            _wait_until_up(process, port, log)
            _announce(f"http://{HOST}:{port}", view, show)
            code = process.wait()
    except SystemExit:  # Ctrl-C, the usual way to stop the UI, or SIGTERM: no error
        keep_exit_code(0)
        tell("MLflow UI ended")
    else:
        raise GanError(f"the MLflow server ended with code {code}; {log} says why")


def _prepare(uri: str, paths: Paths) -> str:
    """Path of the experiment's prepared view in the UI; "" where the store refuses one."""
    try:
        store = MlflowStore(uri, paths.main_root)
        if store.misplaced:
            warn(store.misplaced)
        return prepare_view(store, experiment_name())
    except Exception:  # of whatever kind: MLflow's own page is still there
        return ""


def _announce(address: str, view: str, show: bool) -> None:
    tell(f"MLflow UI: {address}{view}")
    if view:
        tell(f"curves and pictures: {address}{view}&compareRunsMode=CHART")
    if show:
        webbrowser.open(address + view)


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise GanError(
                f"port {port} on {HOST} can't be used ({error}); choose another with --port"
            ) from None


@contextmanager
def _server(uri: str, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """MLflow's server in a process group of its own, so that all its workers end with it."""
    command = [sys.executable, "-m", "mlflow", "server"]
    command += ["--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--uvicorn-opts", "--log-level warning"]
    environment = os.environ | {
        "MLFLOW_BACKEND_STORE_URI": uri,  # it may have a password: all users see arguments
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # six more processes for LLM jobs
        LEVEL: "INFO",
    }
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=log.parent,  # MLflow may create an mlruns/ there
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(process.pid, number)
                process.wait(STOP_S)


def _wait_until_up(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise GanError(f"the MLflow server did not start; {log} says why")
        with suppress(OSError), urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=2):
            return
        time.sleep(0.2)
    raise GanError(f"the MLflow server gave no answer within {START_S:.0f} s; {log} says why")
