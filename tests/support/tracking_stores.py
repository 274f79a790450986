"""Stores of tests: SQLite files, a server to kill and restart; functions that read them."""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from filelock import FileLock
from mlflow import MlflowClient

from gan.checkpoints import Origin
from pipeline.paths import Paths
from pipeline.tracking.mlflow.store import MlflowStore, tracking_uri
from pipeline.tracking.open_run import attach_to_run, start_run
from pipeline.tracking.run import Run

SETTINGS = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "DVC_ROOT", "DVC_EXP_NAME")

REFUSED = "http://127.0.0.1:9"

START = (
    "run = start_run(paths, name='n', run_key='k1', "
    "folder=paths.root / 'logs' / 'runs' / 'k1', progress='abcd')\n"
)
"""Code for `python`."""


def apart(root: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """Paths whose store is mlflow.db in `root`, whatever the environment says."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")  # `gan sync` would leave its own behind
    return Paths(root)


def empty_database(factory: pytest.TempPathFactory) -> Path:
    """A store without runs, one for all test files: creating it takes seconds, copying it none."""
    base = factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "empty-store"
    root.mkdir(exist_ok=True)
    with FileLock(root / "lock"):
        if not (root / "mlflow.db").is_file():
            MlflowStore(f"sqlite:///{root}/mlflow.db", root)
    return root / "mlflow.db"


def copy_store(empty: Path, paths: Paths) -> Paths:
    shutil.copyfile(empty, paths.root / "mlflow.db")
    return paths


def begin(paths: Paths, key: str = "k1", resumed_from: int | None = None) -> Run:
    """Start or resume a training's run, whose progress folder is `abcd`."""
    return start_run(
        paths,
        name="hinge 64px",
        run_key=key,
        folder=run_folder(paths, key),
        progress="abcd",
        resumed_from=resumed_from,
    )


def attach(paths: Paths, key: str, name: str = "unused") -> Run:
    """Add results to the newest run of a run key, or to a new one of a generator of width 3."""
    return attach_to_run(paths, Origin({"width": 3}, 64, 1, key, "d" * 64, name))


def client_of(paths: Paths) -> MlflowClient:
    return MlflowClient(tracking_uri(paths))


def read_runs(paths: Paths, experiment: str = "avatars"):
    client = client_of(paths)
    found = client.get_experiment_by_name(experiment)
    return [] if found is None else client.search_runs([found.experiment_id])


def history(paths: Paths, run_id: str, key: str) -> list[tuple[int, float]]:
    """(step, value) of every point, in order; a double point is there twice."""
    points = client_of(paths).get_metric_history(run_id, key)
    return sorted((point.step, point.value) for point in points)


def images(paths: Paths, run_id: str) -> list[str]:
    """Names of the run's pictures, without their thumbnails."""
    found = client_of(paths).list_artifacts(run_id, "images")
    return sorted(each.path for each in found if each.path.endswith(".png"))


def artifacts(paths: Paths, run_id: str, folder: str) -> list[str]:
    """Paths of the run's files in a folder."""
    return sorted(each.path for each in client_of(paths).list_artifacts(run_id, folder))


def run_folder(paths: Paths, key: str = "k1") -> Path:
    """Run folder of a training, where `gan sync` finds it."""
    return paths.root / "logs" / "runs" / key


def local_points(paths: Paths, key: str = "k1") -> list[tuple[str, int, float, int]]:
    """(key, step, value, time) of the metrics in the training's run folder."""
    lines = (run_folder(paths, key) / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return sorted(
        (name, record["step"], value, record["time"])
        for record in records
        if record["kind"] == "metrics"
        for name, value in record["values"].items()
    )


def stored_points(paths: Paths, run_id: str) -> list[tuple[str, int, float, int]]:
    """The same of the store, with every double."""
    client = client_of(paths)
    return sorted(
        (name, point.step, point.value, point.timestamp)
        for name in client.get_run(run_id).data.metrics
        for point in client.get_metric_history(run_id, name)
    )


def database_points(database: Path) -> int:
    """All lines of the table that holds the points of metrics."""
    with closing(sqlite3.connect(database)) as connection:
        return int(connection.execute("SELECT count(*) FROM metrics").fetchone()[0])


def execute(paths: Paths, statement: str, *values: str) -> None:
    """Change the store by a statement of SQL."""
    with closing(sqlite3.connect(paths.root / "mlflow.db")) as connection, connection:
        connection.execute(statement, values)


def until(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def python(paths: Paths, *codes: str, **env: str) -> subprocess.Popen[str]:
    """Run codes in a process that has `paths`, `start_run` and `sync`."""
    head = "from pathlib import Path; from pipeline.paths import Paths; "
    head += "from pipeline.tracking.open_run import start_run; "
    head += "from pipeline.tracking.sync import sync; "
    head += f"paths = Paths(Path({str(paths.root)!r}))\n"
    return subprocess.Popen(
        [sys.executable, "-c", head + "".join(map(textwrap.dedent, codes))],
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """MLflow's own server on a store of its own; `start` after `kill`: same port, same store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "server.db"
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{self.database}"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        command += ["--port", str(self.port)]
        env = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=env, stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=2):
                return
            time.sleep(0.2)
        raise TimeoutError((self.folder / "log").read_text())

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@contextmanager
def serving(folder: Path, empty: Path | None = None) -> Iterator[Server]:
    """A server, killed after the block; `empty`: a store to begin with, which saves seconds."""
    server = Server(folder)
    if empty is not None:
        shutil.copyfile(empty, server.database)
    server.start()
    try:
        yield server
    finally:
        server.kill()
