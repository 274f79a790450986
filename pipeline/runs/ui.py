"""`gan ui`: MLflow's UI on the store that the stages write to."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from gan.errors import GanError
from pipeline.console import without_secrets
from pipeline.paths import Paths
from pipeline.runs.find import NO_RUNS
from pipeline.signals import interrupting, keep_exit_code
from pipeline.tracking.mlflow.store import SETTINGS, repair_if_moved, store_exists, tracking_uri
from pipeline.tracking.open_run import experiment_name

START_S = 120.0  # importing the server takes 20 s on two busy cores
STOP_S = 10.0


def run(paths: Paths, port: int, host: str = "127.0.0.1", show: bool = False) -> None:
    """Serve the UI until Ctrl-C; with a tracking server configured, only print its address.

    show: also open the page in a browser. GanError if the port is taken, nothing was recorded
    yet, or the server doesn't start.
    """
    uri = tracking_uri(paths)
    if uri.startswith(("http://", "https://")):
        _announce(without_secrets(uri).rstrip("/"), _view(uri, paths), show)
        return
    if not store_exists(uri):
        raise GanError(f"{uri.removeprefix('sqlite:///')}: {NO_RUNS}")
    _check_port(host, port)
    repair_if_moved(paths)
    _say("starting the MLflow UI ... (Ctrl-C ends it)")
    log = paths.main_root / "logs" / "mlflow-ui.log"
    with _ending_by_signals(), _server(uri, host, port, log) as process:
        view = _view(uri, paths)  # takes a part of the time in which the server starts
        _wait_until_up(process, host, port, log)
        _announce(f"http://{_bracket(host)}:{port}", view, show)
        code = process.wait()
        raise GanError(f"the MLflow server ended with code {code}; {log} says why")


def _view(uri: str, paths: Paths) -> str:
    """Path of the experiment's prepared view in the UI; "" where the store refuses one."""
    from pipeline.tracking.mlflow.ui_view import MlflowView

    try:
        return MlflowView(uri, paths.main_root).prepare(experiment_name())
    except Exception:  # of whatever kind: MLflow's own page is still there
        return ""


def _announce(address: str, view: str, show: bool) -> None:
    _say(f"MLflow UI: {address}{view}")
    if view:
        _say(f"curves and pictures: {address}{view}&compareRunsMode=CHART")
    if show:
        webbrowser.open(address + view)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _bracket(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise GanError(
                f"port {port} on {host} can't be used ({error}); choose another with --port"
            ) from None


def _environment(uri: str) -> Mapping[str, str]:
    """Environment with the store's address, which may hold a password: arguments are visible to
    every user of the machine."""
    extra = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # six more processes for LLM jobs
    quiet = {key: value for key, value in SETTINGS.items() if key != "MLFLOW_LOGGING_LEVEL"}
    return {**quiet, **extra, **os.environ, "MLFLOW_BACKEND_STORE_URI": uri}


@contextmanager
def _server(uri: str, host: str, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """MLflow's server in a process group of its own, so that all its workers end with it."""
    command = [sys.executable, "-m", "mlflow", "server"]
    command += ["--host", host, "--port", str(port), "--workers", "1"]
    command += ["--uvicorn-opts", "--log-level warning"]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=_environment(uri),
            cwd=log.parent,  # MLflow may create an mlruns/ there
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(STOP_S)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


@contextmanager
def _ending_by_signals() -> Iterator[None]:
    """End the block without an error at Ctrl-C, the usual way to stop the UI, and at SIGTERM."""
    try:
        with interrupting():
            yield
    except SystemExit:
        keep_exit_code(0)
        _say("MLflow UI ended")


def _wait_until_up(process: subprocess.Popen[bytes], host: str, port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise GanError(f"the MLflow server did not start; {log} says why")
        if _answers(f"http://{_bracket(host)}:{port}/health"):
            return
        time.sleep(0.2)
    raise GanError(f"the MLflow server gave no answer within {START_S:.0f} s; {log} says why")


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
