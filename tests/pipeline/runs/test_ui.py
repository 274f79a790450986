"""`gan ui` as a process: it serves the right store on localhost, and ends clean.

And the view that it prepares, which follows what the rows have, not what a person wants otherwise.
"""

import base64
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.request
import webbrowser
import zlib
from contextlib import closing

import psutil
import pytest

from gan.errors import GanError
from pipeline.paths import Paths
from pipeline.runs import ui
from pipeline.tracking import rows as tracking
from pipeline.tracking.mlflow.ui_view import DESCRIPTION, VIEW_TAG, MlflowView

NOT_MINE = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "DVC_ROOT")


@pytest.fixture
def paths(tmp_path, monkeypatch):
    for name in NOT_MINE:
        monkeypatch.delenv(name, raising=False)
    return Paths(tmp_path)


def log(paths, metrics, key="k", step=1):
    row = tracking.attach(paths, experiment="avatars", run_key=key, name="n")
    row.metrics(metrics, step)
    row.flush(timeout_s=300.0)  # making a store can take a minute
    assert row.unsent == 0


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a store that has one row with a FID; to be copied, for making takes long."""
    root = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        for name in NOT_MINE:
            patch.delenv(name, raising=False)
        log(Paths(root), {"fid_5k": 12.0})
    return root


@pytest.fixture
def filled(made, paths):
    """Paths of a copy of it."""
    shutil.copy(made / "mlflow.db", paths.root)
    return paths


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


@pytest.mark.slow
def test_a_server_that_is_configured_is_only_named_and_without_its_password(
    paths, monkeypatch, capsys
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@tracker.example")
    ui.run(paths, free_port())
    shown = capsys.readouterr().out
    assert "https://tracker.example" in shown
    assert "secret" not in shown


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
def test_it_serves_page_and_runs_and_leaves_no_process_behind(filled, end):
    paths = filled
    port = free_port()
    code = "from pathlib import Path; from pipeline import ui; from pipeline.paths import Paths; "
    code += f"ui.run(Paths(Path({str(paths.root)!r})), {port})"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline().startswith("starting")
        table, charts = process.stdout.readline(), process.stdout.readline()
        assert table.startswith(f"MLflow UI: http://127.0.0.1:{port}/#/experiments/1/runs?")
        assert charts.endswith(f"{table.split(': ', 1)[1].strip()}&compareRunsMode=CHART\n")
        workers = psutil.Process(process.pid).children(recursive=True)
        told = [word for worker in workers for word in worker.cmdline()]
        assert not any("sqlite:" in word for word in told)  # else a password would be seen, too
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


def prepared(paths):
    return MlflowView(f"sqlite:///{paths.root}/mlflow.db", paths.root).prepared("avatars")


def tags(paths):
    """Tags of the experiment, as the store has them."""
    with closing(sqlite3.connect(paths.root / "mlflow.db")) as store:
        found = store.execute("SELECT key, value FROM experiment_tags WHERE experiment_id = 1")
        return dict(found.fetchall())


def columns(paths):
    packed = json.loads(tags(paths)[VIEW_TAG])["state"].removeprefix("deflate;")
    return json.loads(zlib.decompress(base64.b64decode(packed)))["selectedColumns"]


def change(paths, command, *values):
    with closing(sqlite3.connect(paths.root / "mlflow.db")) as store, store:
        assert store.execute(command, values).rowcount == 1


@pytest.mark.slow
def test_a_view_follows_new_metrics_and_else_stays_as_it_is(filled):
    address = prepared(filled)
    assert address.startswith("/#/experiments/1/runs?")
    first = tags(filled)
    assert "metrics.`fid_5k`" in columns(filled)
    assert prepared(filled) == address
    assert tags(filled) == first
    log(filled, {"fid_10k": 11.0, "fid_inf_10k": 9.0, "kd_lite0_5k": 1.0, "kd_se_lite0_5k": 0.1})
    prepared(filled)
    shown = [each for each in columns(filled) if each.startswith(("metrics.`fid", "metrics.`k"))]
    assert shown == ["metrics.`fid_10k`", "metrics.`fid_5k`", "metrics.`kd_lite0_5k`"]


@pytest.mark.slow
def test_what_a_person_changed_or_removed_stays_so(filled):
    assert "viewStateShareKey" in prepared(filled)
    change(filled, "UPDATE experiment_tags SET value = 'mine' WHERE key = ?", DESCRIPTION)
    change(filled, "DELETE FROM experiment_tags WHERE key = ?", VIEW_TAG)
    log(filled, {"fid_10k": 11.0})
    assert "viewStateShareKey" not in prepared(filled)
    assert tags(filled)[DESCRIPTION] == "mine"
    assert VIEW_TAG not in tags(filled)


@pytest.mark.slow
def test_a_note_that_a_person_wrote_before_stays(filled):
    command = "INSERT INTO experiment_tags (key, value, experiment_id) VALUES (?, 'mine', 1)"
    change(filled, command, DESCRIPTION)
    assert "viewStateShareKey" in prepared(filled)
    assert tags(filled)[DESCRIPTION] == "mine"
