"""Trackers that fail: refused, deaf, read-only, full, dying in mid-run. The work goes on."""

import shutil
import socket
import textwrap
import threading
import time

import pytest
from PIL import Image
from tracking_stores import (
    REFUSED,
    START,
    apart,
    begin,
    copy_store,
    empty_database,
    history,
    images,
    python,
    rows,
    serving,
    until,
)

from pipeline.tracking import rows as tracking


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    return empty_database(tmp_path_factory)


@pytest.fixture
def paths(tmp_path, monkeypatch):
    return apart(tmp_path, monkeypatch)


@pytest.fixture
def stored(paths, empty_store):
    return copy_store(empty_store, paths)


@pytest.fixture
def picture(tmp_path):
    file = tmp_path / "grid.png"
    Image.new("RGB", (64, 64), "teal").save(file)
    return file


# trackers that fail


def assert_unharmed(run: tracking.Run, seconds: float) -> None:
    began = time.monotonic()
    for step in range(1000):
        run.metrics({"loss": 1.0}, step)
        if step % 100 == 0:
            run.commit()
    assert time.monotonic() - began < 1.5
    began = time.monotonic()
    run.close()
    assert time.monotonic() - began < seconds
    assert run.unsent > 1000


@pytest.mark.slow
def test_a_refused_port_costs_one_warning(paths, monkeypatch, capfd):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    assert_unharmed(begin(paths), 15)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "http://127.0.0.1:9 does not take records" in lines[0]
    assert "1001 records not sent" in lines[1]
    assert "secret" not in "".join(lines)
    assert tracking.find_run(paths, "k1", "avatars") is None


@pytest.mark.slow
def test_a_server_that_never_answers_delays_neither_calls_nor_exit(paths):
    code = """
    import time
    run.metrics({'loss': 1.0}, 1)
    run.commit()
    began = time.monotonic()
    run.close(timeout_s=4)
    assert time.monotonic() - began < 5
    """
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        uri = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        began = time.monotonic()
        caller = python(paths, START + textwrap.dedent(code), MLFLOW_TRACKING_URI=uri)
        assert caller.wait(30) == 0
        assert time.monotonic() - began < 15
    lines = caller.stderr.read().splitlines()
    assert "records not sent" in lines[-1]
    assert len(lines) <= 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["read-only", "corrupt", "a folder", "no such folder"])
def test_a_store_that_cannot_be_written_costs_a_warning(paths, monkeypatch, capfd, kind):
    monkeypatch.chdir(paths.root)  # MLflow makes folders of the read-only URI's path
    database = paths.root / "mlflow.db"
    uris = {
        "read-only": f"sqlite:///file:{database}?mode=ro&uri=true",
        "no such folder": "sqlite:////proc/nowhere/mlflow.db",
    }
    if kind == "read-only":
        begin(paths, "before").close()
    if kind == "corrupt":
        database.write_bytes(b"no database" * 1000)
    if kind == "a folder":
        (database / "file").mkdir(parents=True)
    capfd.readouterr()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uris.get(kind, ""))
    assert_unharmed(begin(paths), 30)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "does not take records" in lines[0]


@pytest.mark.slow
def test_a_full_disk_is_survived_and_made_up_for(stored, paths):
    begin(paths, "before").close()
    code = """
    import resource, signal
    run = tracking.start(paths, experiment='avatars', name='n', run_key='k1',
                         spool=paths.root / 'spool' / 'k1')
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    size = (paths.root / 'mlflow.db').stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    for step in range(3000): run.metrics({'loss': step}, step)
    run.commit()
    run.close()
    assert run.unsent > 0
    """
    caller = python(paths, code)
    assert caller.wait(60) == 0
    assert "does not take records" in caller.stderr.read()
    again = begin(paths)
    again.close()
    assert again.unsent == 0
    assert history(paths, again.run_id, "loss") == [(step, step) for step in range(3000)]


def test_a_spool_that_cannot_be_written_costs_a_warning(paths, capfd, picture):
    (paths.root / "spool").write_text("a file where the folder should be")
    run = begin(paths)
    run.metrics({"loss": 1.0}, 1)
    run.image("grid", picture, 1)
    run.commit()
    run.close()
    assert run.run_id is None
    assert len(capfd.readouterr().err.splitlines()) == 1


def test_a_spool_that_somebody_removes_ends_no_work(paths, capfd, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", REFUSED)
    run = begin(paths)
    run.metrics({"loss": 1.0}, 1)
    run.commit()
    shutil.rmtree(paths.root / "spool")
    run.metrics({"loss": 2.0}, 2)
    run.close(timeout_s=0)
    run.tidy()
    assert "Traceback" not in capfd.readouterr().err


def test_a_missing_picture_costs_a_warning(paths, capfd, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", REFUSED)
    run = begin(paths)
    run.image("grid", paths.root / "no.png", 1)
    run.artifact(paths.root / "no.pt")
    assert "no.png" in capfd.readouterr().err
    run.close(timeout_s=0)


@pytest.mark.slow
def test_a_process_without_a_tracker_ends_soon_and_says_two_lines(paths):
    code = "run.commit(); run.close()\n"
    began = time.monotonic()
    caller = python(paths, START + code, MLFLOW_TRACKING_URI=REFUSED)
    assert caller.wait(40) == 0
    assert time.monotonic() - began < 30
    assert len(caller.stderr.read().splitlines()) == 2


# a real server that dies and comes back


@pytest.fixture(scope="module")
def server(tmp_path_factory, empty_store):
    with serving(tmp_path_factory.mktemp("server"), empty_store) as running:
        yield running


@pytest.mark.slow
def test_a_server_that_dies_in_mid_run_gets_what_it_missed(
    server, paths, picture, monkeypatch, capfd
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    run = begin(paths)
    run.metrics({"loss": 0.0}, 0)
    run.image("grid", picture, 0)
    run.commit()
    until(lambda: run.run_id and not run.unsent)
    server.kill()
    slowest = 0.0
    for step in range(1, 200):
        began = time.monotonic()
        run.metrics({"loss": float(step)}, step)
        if step % 20 == 0:
            run.image("grid", picture, step)
            run.commit()
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 0.5
    run.close()
    assert run.unsent > 200
    assert len(capfd.readouterr().err.splitlines()) == 2

    server.start()
    for _ in range(2):
        again = begin(paths)
        again.close()
        assert again.unsent == 0
        assert again.run_id == run.run_id
        assert history(paths, run.run_id, "loss") == [(step, step) for step in range(200)]
        assert len(images(paths, run.run_id)) == 10
    assert len(rows(paths)) == 1
    assert rows(paths)[0].info.status == "FINISHED"
    assert rows(paths)[0].info.artifact_uri.startswith("mlflow-artifacts:")


@pytest.mark.slow
def test_no_thread_but_the_sender_is_left(stored, paths):
    begin(paths).close()
    assert [each.name for each in threading.enumerate() if not each.daemon] == ["MainThread"]
