"""Trackers that fail: refused, hanging, read-only, full, killed in mid-run. The work continues."""

import shutil
import socket
import threading

import pytest
from tracking_stores import (
    REFUSED,
    START,
    begin,
    client_of,
    database_points,
    history,
    images,
    local_points,
    python,
    read_runs,
    serving,
    stored_points,
    until,
)

from gan.errors import GanError
from pipeline.tracking.run import Run
from pipeline.tracking.run_folder.folder import make_run_folder
from pipeline.tracking.sync import sync


def test_calls_return_while_the_store_hangs(tmp_path):
    entered, release = threading.Event(), threading.Event()

    def hang():
        entered.set()
        assert release.wait(60)
        raise ConnectionError

    run = Run(make_run_folder(tmp_path / "run", {"name": "n"}), hang, "http://hangs")
    assert entered.wait(60)
    run.metrics({"loss": 1.0}, 1)
    run.commit()
    run.close(timeout_s=0)
    assert run.unsent == 2
    assert run.run_id is None
    assert {each.name for each in threading.enumerate() if not each.daemon} == {"MainThread"}
    release.set()


@pytest.mark.soak
def test_a_server_that_never_answers_keeps_no_process_from_its_exit(paths):
    code = "run.metrics({'loss': 1.0}, 1); run.commit(); run.close(timeout_s=4)\n"
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        uri = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        caller = python(paths, START, code, MLFLOW_TRACKING_URI=uri)
        _, err = caller.communicate(timeout=60)
    assert caller.returncode == 0
    assert "records not sent" in err.splitlines()[-1]
    assert len(err.splitlines()) <= 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["read-only", "corrupt", "refused"])
def test_a_store_that_takes_nothing_costs_two_lines_without_secrets_and_no_record(
    paths, monkeypatch, capfd, empty_store, kind
):
    monkeypatch.chdir(paths.root)  # MLflow makes folders of the read-only URI's path
    database = paths.root / "mlflow.db"
    uris = {
        "read-only": f"sqlite:///file:{database}?mode=ro&uri=true",
        "refused": "http://user:secret@127.0.0.1:9",
    }
    if kind == "read-only":
        shutil.copyfile(empty_store, database)
    if kind == "corrupt":
        database.write_bytes(b"no database" * 1000)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uris.get(kind, ""))
    run = begin(paths)
    for step in range(100):
        run.metrics({"loss": 1.0}, step)
        if step % 10 == 0:
            run.commit()
    run.close()
    assert run.unsent > 100
    first, last = capfd.readouterr().err.splitlines()
    assert str(run.unsent) in last
    assert "secret" not in first + last


@pytest.mark.slow
def test_a_full_disk_is_survived_and_made_up_for(stored, paths):
    begin(paths, "before").close()
    code = """
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    size = (paths.root / 'mlflow.db').stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    for step in range(1000): run.metrics({'loss': step}, step)
    run.commit()
    run.close()
    assert run.unsent > 0
    """
    caller = python(paths, START, code)
    _, err = caller.communicate(timeout=60)
    assert caller.returncode == 0, err
    assert "disk" in err
    again = begin(paths)
    again.close()
    assert again.unsent == 0
    assert history(paths, again.run_id, "loss") == [(step, step) for step in range(1000)]


def test_what_cannot_be_recorded_costs_a_warning_and_ends_no_work(
    paths, capfd, monkeypatch, picture
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", REFUSED)
    logs = paths.root / "logs"
    logs.write_text("a file where the folder should be")
    run = begin(paths)
    run.image("grid", picture, 1)
    run.close()
    assert run.run_id is None
    assert len(capfd.readouterr().err.splitlines()) == 1
    logs.unlink()
    run = begin(paths)
    run.image("grid", paths.root / "no.png", 1)
    assert "no.png" in capfd.readouterr().err
    run.commit()
    shutil.rmtree(logs)
    run.metrics({"loss": 2.0}, 2)
    run.close(timeout_s=0)
    run.remove_if_sent()
    assert "Traceback" not in capfd.readouterr().err


# a real server that is killed and comes back


def record_in_outage(server, paths, picture, keys):
    """Record runs whose server is killed in the middle, and end them before it is back."""
    (paths.progress / "abcd").mkdir(parents=True)  # the trainings are not over
    runs = {key: begin(paths, key) for key in keys}
    for run in runs.values():
        run.metrics({"loss/generator": 0.0}, 0)
        run.image("grid", picture, 0)
        run.commit()
    until(lambda: all(run.run_id and not run.unsent for run in runs.values()))
    server.kill()
    try:
        for step in range(1, 201):
            for run in runs.values():
                run.metrics({"loss/generator": step / 7, "score/real": -step / 3}, step)
                if step % 20 == 0:
                    run.image("grid", picture, step)
                    run.commit()
        for run in runs.values():
            run.close()
            assert run.unsent > 200
        with pytest.raises(GanError, match=server.uri):
            sync.run(paths)
    finally:
        server.start()
    return runs


@pytest.mark.slow
def test_a_resumed_training_and_sync_each_complete_the_series_after_an_outage(
    tmp_path_factory, empty_store, paths, picture, monkeypatch, synced, capfd
):
    with serving(tmp_path_factory.mktemp("server"), empty_store) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        runs = record_in_outage(server, paths, picture, ("resumed", "synced"))
        assert len(capfd.readouterr().err.splitlines()) == 2 * len(runs)
        for _ in range(2):
            again = begin(paths, "resumed")
            again.close()
            assert (again.unsent, again.run_id) == (0, runs["resumed"].run_id)
        synced()
        for key, run in runs.items():
            assert stored_points(paths, run.run_id) == local_points(paths, key)
            assert client_of(paths).get_run(run.run_id).info.status == "FINISHED"
            steps = [int(path.split("+")[2]) for path in images(paths, run.run_id)]
            assert len(steps) == len(set(steps)) > 10
        points = database_points(server.database)
        synced()
        assert database_points(server.database) == points
        assert len(read_runs(paths)) == len(runs)
        assert read_runs(paths)[0].info.artifact_uri.startswith("mlflow-artifacts:")
