"""`gan ui` as a process, which serves the store on localhost, and the view that it prepares."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import webbrowser
import zlib

import psutil
import pytest
import requests
from tracking_stores import apart, client_of, copy_store, empty_database, free_port

from gan.errors import GanError
from pipeline.runs import ui
from pipeline.tracking import open_run
from pipeline.tracking.mlflow.store import MlflowStore, tracking_uri
from pipeline.tracking.mlflow.ui_view import DESCRIPTION, VIEW_TAG, prepare_view


@pytest.fixture
def paths(tmp_path, monkeypatch):
    return apart(tmp_path, monkeypatch)


def log(paths, metrics, key="k", step=1):
    run = open_run.attach_to_run(paths, experiment="avatars", run_key=key, name="n")
    run.metrics(metrics, step)
    run.flush()
    assert run.unsent == 0


@pytest.fixture
def recorded(paths, tmp_path_factory):
    """Paths of a store with a run that has a FID."""
    copy_store(empty_database(tmp_path_factory), paths)
    log(paths, {"fid_5k": 12.0})
    return paths


def test_without_runs_it_refuses(paths):
    with pytest.raises(GanError, match=r"mlflow\.db: "):
        ui.run(paths, free_port())


@pytest.mark.parametrize("port", [None, 99999])
def test_a_port_that_cannot_be_used_is_named(paths, port):
    (paths.root / "mlflow.db").write_bytes(b"a store")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wanted = port or taken.getsockname()[1]
        with pytest.raises(GanError, match=f"port {wanted} "):
            ui.run(paths, wanted)


@pytest.mark.slow
def test_a_server_that_refuses_is_named_without_a_view_and_opened(paths, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9/behind/")
    ui.run(paths, free_port(), show=True)
    assert capsys.readouterr().out == "MLflow UI: http://127.0.0.1:9/behind\n"
    assert opened == ["http://127.0.0.1:9/behind"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "end", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.soak)]
)
def test_it_serves_page_and_runs_and_leaves_no_process_behind(recorded, end):
    paths = recorded
    port = free_port()
    code = "from pathlib import Path; from pipeline.paths import Paths; "
    code += f"from pipeline.runs import ui; ui.run(Paths(Path({str(paths.root)!r})), {port})"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline().startswith("starting")
        table, charts = process.stdout.readline(), process.stdout.readline()
        assert table.startswith(f"MLflow UI: http://127.0.0.1:{port}/#/experiments/1/runs?")
        assert charts.endswith(f"{table.split(': ', 1)[1].strip()}&compareRunsMode=CHART\n")
        workers = psutil.Process(process.pid).children(recursive=True)
        arguments = [word for worker in workers for word in worker.cmdline()]
        assert not any("sqlite:" in word for word in arguments)  # else a password would be seen
        listening = {
            c.laddr.ip for w in workers for c in w.net_connections() if c.status == "LISTEN"
        }
        assert listening == {"127.0.0.1"}
        address = f"http://localhost:{port}"
        assert "<html" in requests.get(address, timeout=10).text.lower()
        search = {"experiment_ids": ["1"]}
        answer = requests.post(
            f"{address}/ajax-api/2.0/mlflow/runs/search", json=search, timeout=10
        )
        (run,) = answer.json()["runs"]
        assert [each["key"] for each in run["data"]["metrics"]] == ["fid_5k"]
    finally:
        os.kill(process.pid, end)
    assert process.wait(30) == 0
    assert process.stdout.read() == "MLflow UI ended\n"
    assert process.stderr.read() == ""
    assert not any(worker.is_running() for worker in workers)
    assert not list(paths.root.rglob("mlruns"))


def prepare(paths):
    """Prepare the view; its address, and the experiment's tags in the store."""
    address = prepare_view(MlflowStore(tracking_uri(paths), paths.root), "avatars")
    return address, client_of(paths).get_experiment("1").tags


def columns(tags):
    packed = json.loads(tags[VIEW_TAG])["state"].removeprefix("deflate;")
    return json.loads(zlib.decompress(base64.b64decode(packed)))["selectedColumns"]


@pytest.mark.slow
def test_the_view_follows_new_metrics_until_a_person_changes_it(recorded):
    address, first = prepare(recorded)
    assert address.startswith("/#/experiments/1/runs?")
    assert "viewStateShareKey" in address
    assert "metrics.`fid_5k`" in columns(first)
    assert prepare(recorded) == (address, first)
    log(recorded, {"fid_10k": 11.0, "fid_inf_10k": 9.0, "kd_lite0_5k": 1.0, "kd_se_lite0_5k": 0.1})
    _, tags = prepare(recorded)
    chosen = [each for each in columns(tags) if each.startswith(("metrics.`fid", "metrics.`k"))]
    assert chosen == ["metrics.`fid_10k`", "metrics.`fid_5k`", "metrics.`kd_lite0_5k`"]
    client = client_of(recorded)
    client.set_experiment_tag("1", DESCRIPTION, "mine")
    client.delete_experiment_tag("1", VIEW_TAG)
    log(recorded, {"fid_20k": 11.0})
    address, tags = prepare(recorded)
    assert "viewStateShareKey" not in address
    assert tags[DESCRIPTION] == "mine"
    assert VIEW_TAG not in tags


@pytest.mark.slow
def test_an_earlier_note_of_a_person_stays(recorded):
    client_of(recorded).set_experiment_tag("1", DESCRIPTION, "mine")
    address, tags = prepare(recorded)
    assert "viewStateShareKey" in address
    assert tags[DESCRIPTION] == "mine"
