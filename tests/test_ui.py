"""`gan ui` as a process: it serves the right store on localhost, and ends clean."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request

import psutil
import pytest

from gan.errors import GanError
from pipeline import tracking, ui
from pipeline.paths import Paths


@pytest.fixture
def paths(tmp_path, monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    return Paths(tmp_path)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_without_runs_it_says_how_to_make_one(paths):
    with pytest.raises(GanError, match=r"mlflow\.db: no runs recorded yet; `dvc repro`"):
        ui.run(paths, free_port())


@pytest.mark.parametrize("port", [None, 99999])
def test_a_port_that_cannot_be_used_is_named(paths, port):
    (paths.root / "mlflow.db").write_bytes(b"a store")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wanted = port or taken.getsockname()[1]
        with pytest.raises(GanError, match=rf"port {wanted} .* choose another with --port"):
            ui.run(paths, wanted)


def test_a_server_that_is_configured_is_only_named_and_without_its_password(
    paths, monkeypatch, capsys
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@tracker.example")
    ui.run(paths, free_port())
    shown = capsys.readouterr().out
    assert "https://tracker.example" in shown
    assert "secret" not in shown


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_page_and_runs_and_leaves_no_process_behind(paths, end):
    tracking.log_result(
        paths, experiment="avatars", run_key="k", name="n", metrics={"fid_5k": 12.0}, step=1
    )
    port = free_port()
    code = "from pathlib import Path; from pipeline import ui; from pipeline.paths import Paths; "
    code += f"ui.run(Paths(Path({str(paths.root)!r})), {port})"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline().startswith("starting")
        assert f"http://127.0.0.1:{port}" in process.stdout.readline()
        workers = psutil.Process(process.pid).children(recursive=True)
        listening = {
            c.laddr.ip for w in workers for c in w.net_connections() if c.status == "LISTEN"
        }
        assert listening == {"127.0.0.1"}
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as page:
            assert b"<html" in page.read().lower()
        request = urllib.request.Request(
            f"http://localhost:{port}/ajax-api/2.0/mlflow/runs/search",
            data=json.dumps({"experiment_ids": ["1"]}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            runs = json.load(answer)["runs"]
        assert [m["key"] for m in runs[0]["data"]["metrics"]] == ["fid_5k"]
    finally:
        os.kill(process.pid, end)
    assert process.wait(30) == 0
    assert process.stdout.read() == "MLflow UI ended\n"
    assert process.stderr.read() == ""
    assert not any(worker.is_running() for worker in workers)
    assert not list(paths.root.rglob("mlruns"))
