"""`gan ui`: the MLflow UI on the store that the stages write to."""

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
from types import FrameType
from typing import NoReturn

from gan.errors import GanError
from pipeline.paths import Paths
from pipeline.runs.find import NONE_YET
from pipeline.tracking.mlflow.store import SETTINGS, settle, store_exists, tracking_uri
from pipeline.tracking.rows import experiment_name
from pipeline.tracking.spool.sender import without_secrets

START_S = 120.0  # importing the server takes 20 s on two busy cores
STOP_S = 10.0


def run(paths: Paths, port: int, host: str = "127.0.0.1", show: bool = False) -> None:
    """Serve the UI until Ctrl-C; with a tracking server configured, only say where it is.

    show: also open the page in a browser. Raises GanError if the port is taken, nothing was
    recorded yet, or the server doesn't start.
    """
    uri = tracking_uri(paths)
    if uri.startswith(("http://", "https://")):
        _say_where(without_secrets(uri).rstrip("/"), _view(uri, paths), show)
        return
    if not store_exists(uri):
        raise GanError(f"{uri.removeprefix('sqlite:///')}: {NONE_YET}")
    _check_port(host, port)
    settle(paths)
    _say("starting the MLflow UI ... (Ctrl-C ends it)")
    log = paths.main_root / "logs" / "mlflow-ui.log"
    with _stopped_by_signals(), _server(uri, host, port, log) as process:
        view = _view(uri, paths)  # takes a part of the time in which the server starts
        _wait_until_up(process, host, port, log)
        _say_where(f"http://{_written(host)}:{port}", view, show)
        code = process.wait()
        raise GanError(f"the MLflow server ended by itself with code {code}; see {log}")


def _view(uri: str, paths: Paths) -> str:
    """What follows the address of the UI for a prepared page; "" where the store refuses one."""
    from pipeline.tracking.mlflow.ui_view import MlflowView

    try:
        return MlflowView(uri, paths.main_root).prepared(experiment_name())
    except Exception:  # of whatever kind: the page without it is as MLflow makes it
        return ""


def _say_where(address: str, view: str, show: bool) -> None:
    _say(f"MLflow UI: {address}{view}")
    if view:
        _say(f"curves and pictures: {address}{view}&compareRunsMode=CHART")
    if show:
        webbrowser.open(address + view)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _written(host: str) -> str:
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
    """With the store, whose address may hold a password: everybody can see arguments."""
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
            cwd=log.parent,  # where MLflow would leave an mlruns/ of its own
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
def _stopped_by_signals() -> Iterator[None]:
    """Ctrl-C is the normal end; SIGTERM ends the server too."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        _say("MLflow UI ended")
    finally:
        signal.signal(signal.SIGTERM, before)


def _wait_until_up(process: subprocess.Popen[bytes], host: str, port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise GanError(f"the MLflow server did not start; see {log}")
        if _answers(f"http://{_written(host)}:{port}/health"):
            return
        time.sleep(0.2)
    raise GanError(f"the MLflow server gave no answer within {START_S:.0f} s; see {log}")


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
