"""`gan ui` as a process, which serves the store on localhost, and the view that it prepares."""

import base64
import json
import signal
import socket
import webbrowser
import zlib

import psutil
import pytest
import requests
from tracking_stores import attach, client_of, free_port, python

from gan.errors import GanError
from pipeline.runs import ui
from pipeline.tracking.mlflow.store import MlflowStore, tracking_uri
from pipeline.tracking.mlflow.ui_view import DESCRIPTION, VIEW_TAG, prepare_view


def log(paths, metrics):
    run = attach(paths, "k")
    run.metrics(metrics, 1)
    run.flush()
    assert run.unsent == 0


@pytest.fixture
def recorded(stored):
    """Paths of a store with a run that has a FID."""
    log(stored, {"fid_5k": 12.0})
    return stored


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
def test_it_serves_page_and_runs_and_leaves_no_process_behind(recorded):
    port = free_port()
    process = python(recorded, f"from pipeline.runs import ui; ui.run(paths, {port})")
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
        search = f"{address}/ajax-api/2.0/mlflow/runs/search"
        answer = requests.post(search, json={"experiment_ids": ["1"]}, timeout=10)
        (run,) = answer.json()["runs"]
        assert [each["key"] for each in run["data"]["metrics"]] == ["fid_5k"]
    finally:
        process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert process.stdout.read() == "MLflow UI ended\n"
    assert process.stderr.read() == ""
    assert not any(worker.is_running() for worker in workers)
    assert not list(recorded.root.rglob("mlruns"))


def prepare(paths):
    """Prepare the view; its address, the experiment's tags in the store, and the columns."""
    address = prepare_view(MlflowStore(tracking_uri(paths), paths.root), "avatars")
    tags = client_of(paths).get_experiment("1").tags
    if VIEW_TAG not in tags:
        return address, tags, []
    packed = json.loads(tags[VIEW_TAG])["state"].removeprefix("deflate;")
    columns = json.loads(zlib.decompress(base64.b64decode(packed)))["selectedColumns"]
    return address, tags, [each.split("`")[1] for each in columns]


@pytest.mark.slow
def test_the_view_follows_new_metrics_until_a_person_changes_it_and_leaves_a_note(recorded):
    client = client_of(recorded)
    client.set_experiment_tag("1", DESCRIPTION, "mine")
    first = prepare(recorded)
    address, tags, columns = first
    assert address.startswith("/#/experiments/1/runs?")
    assert "viewStateShareKey" in address
    assert tags[DESCRIPTION] == "mine"
    assert "fid_5k" in columns
    assert prepare(recorded) == first
    log(recorded, {"fid_10k": 11.0, "fid_inf_10k": 9.0, "kd_lite0_5k": 1.0, "kd_se_lite0_5k": 0.1})
    *_, columns = prepare(recorded)
    chosen = [each for each in columns if each.startswith(("fid", "k"))]
    assert chosen == ["fid_10k", "fid_5k", "kd_lite0_5k"]
    client.delete_experiment_tag("1", VIEW_TAG)
    log(recorded, {"fid_20k": 11.0})
    address, tags, _ = prepare(recorded)
    assert "viewStateShareKey" not in address
    assert VIEW_TAG not in tags
