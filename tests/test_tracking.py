"""Tracking against real stores: SQLite files, a server that dies and comes back, a deaf one."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from mlflow import MlflowClient
from PIL import Image

from pipeline import tracking
from pipeline.paths import Paths


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """A store without runs: making one takes seconds, copying it none."""
    root = tmp_path_factory.mktemp("empty")
    assert tracking.find_run(Paths(root), "none", "none") is None
    return root / "mlflow.db"


@pytest.fixture
def stored(paths, empty_store):
    shutil.copyfile(empty_store, paths.root / "mlflow.db")
    return paths


@pytest.fixture
def paths(tmp_path, monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "DVC_ROOT", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)
    return Paths(tmp_path)


@pytest.fixture
def picture(tmp_path):
    file = tmp_path / "grid.png"
    Image.new("RGB", (64, 64), "teal").save(file)
    return file


def begin(paths: Paths, key: str = "k1") -> tracking.Run:
    return tracking.start(
        paths,
        experiment="avatars",
        name="hinge 64px",
        run_key=key,
        spool=paths.root / "spool" / key,
    )


def client_of(paths: Paths) -> MlflowClient:
    return MlflowClient(tracking.tracking_uri(paths))


def rows(paths: Paths, experiment: str = "avatars"):
    client = client_of(paths)
    found = client.get_experiment_by_name(experiment)
    return [] if found is None else client.search_runs([found.experiment_id])


def history(paths: Paths, run_id: str, key: str) -> list[tuple[int, float]]:
    points = client_of(paths).get_metric_history(run_id, key)
    return sorted((point.step, point.value) for point in points)


def python(paths: Paths, code: str, **env: str) -> subprocess.Popen[str]:
    """Run code in a process that has `paths` and `tracking`."""
    head = "from pathlib import Path; from pipeline.paths import Paths; "
    head += f"from pipeline import tracking; paths = Paths(Path({str(paths.root)!r}))\n"
    return subprocess.Popen(
        [sys.executable, "-c", head + textwrap.dedent(code)],
        env={**os.environ, **env},
        stderr=subprocess.PIPE,
        text=True,
    )


START = (
    "run = tracking.start(paths, experiment='avatars', name='n', run_key='k1', "
    "spool=paths.root / 'spool' / 'k1')\n"
)


# where the store is


def test_the_default_store_is_a_file_of_the_repository_also_in_a_temporary_copy(
    paths, tmp_path, monkeypatch
):
    assert tracking.tracking_uri(paths) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("DVC_ROOT", "/somewhere/main")
    assert tracking.tracking_uri(paths) == "sqlite:////somewhere/main/mlflow.db"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("http://host:5000", "http://host:5000"),
        ("sqlite:///runs/a.db", "sqlite:///{root}/runs/a.db"),
        ("sqlite:////abs/a.db", "sqlite:////abs/a.db"),
        ("postgresql://u:p@host/db", "postgresql://u:p@host/db"),
    ],
)
def test_the_environment_wins_and_relative_files_lie_in_the_repository(
    paths, tmp_path, monkeypatch, given, expected
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
    assert tracking.tracking_uri(paths) == expected.format(root=tmp_path)


# one row with everything


@pytest.mark.slow
def test_a_run_arrives_whole(stored, paths, picture):
    run = begin(paths)
    run.params({"train": {"seed": 1, "betas": [0.0, 0.9]}, "long": "x" * 7000})
    run.tags({"cache_digest": "abc"})
    for step in range(0, 5000, 2):
        run.metrics({"loss": step / 2, "nan": float("nan")}, step)
    run.image("grid/fixed", picture, 100)
    run.image("grid/fixed", picture, 200)
    run.artifact(picture, "reports")
    run.dataset("faces", "d" * 64, "data.dvc")
    run.commit()
    run.close()
    assert run.unsent == 0
    (row,) = rows(paths)
    assert row.info.run_id == run.run_id
    assert row.info.status == "FINISHED"
    assert row.info.artifact_uri.startswith((paths.root / "mlartifacts").as_uri())
    assert row.data.params["train.seed"] == "1"
    assert row.data.params["train.betas"] == "[0.0, 0.9]"
    assert len(row.data.params["long"]) == 6000
    assert row.data.tags["run_key"] == "k1"
    assert row.data.tags["cache_digest"] == "abc"
    assert row.data.tags["stage"] == "train"
    assert row.inputs.dataset_inputs[0].dataset.digest == "d" * 36
    assert history(paths, run.run_id, "loss") == [(s, s / 2) for s in range(0, 5000, 2)]
    images = [each.path for each in client_of(paths).list_artifacts(run.run_id, "images")]
    steps = sorted(path.split("+")[2] for path in images if path.endswith(".png"))
    assert steps == ["100", "200"]
    assert [f.path for f in client_of(paths).list_artifacts(run.run_id, "reports")] == [
        "reports/grid.png"
    ]


@pytest.mark.slow
def test_tags_name_commit_dirt_data_and_experiment(stored, paths, tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "lofty-cats")
    (tmp_path / "data.dvc").write_text("outs:\n- md5: 123.dir\n  path: data\n")
    git = ["git", "-c", "user.name=n", "-c", "user.email=e", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "data.dvc"], check=True)
    subprocess.run([*git, "commit", "-qm", "c"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    (tmp_path / "dvc.lock").write_text("a stage wrote this\n")
    with tracking.stage_run(paths, "preprocess"):
        pass
    (tmp_path / "new.py").write_text("")
    with tracking.stage_run(paths, "preprocess"):
        pass
    dirty, clean = (row.data.tags for row in rows(paths, "avatars-stages"))
    assert clean["git_commit"] == clean["mlflow.source.git.commit"] == head.stdout.strip()
    assert clean["data_md5"] == "123.dir"
    assert clean["dvc_exp_name"] == "lofty-cats"
    assert "git_dirty" in clean
    assert dirty["git_dirty"] == "true"


@pytest.mark.slow
def test_a_failed_stage_keeps_what_it_counted_and_is_marked_failed(stored, paths):
    def stage() -> None:
        with tracking.stage_run(paths, "preprocess", params={"preprocess": {"size": 64}}) as run:
            run.metrics({"kept": 5}, 0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stage()
    (row,) = rows(paths, "avatars-stages")
    assert row.info.status == "FAILED"
    assert row.data.params == {"preprocess.size": "64"}
    assert row.data.metrics == {"kept": 5}
    assert list((paths.root / "logs" / "spool").iterdir()) == []


@pytest.mark.slow
def test_results_go_to_the_newest_row_of_the_key_and_leave_its_end_alone(stored, paths, picture):
    for _ in range(2):
        run = begin(paths)
        run.close()
        (paths.root / "spool").rename(paths.root / f"spool-{run.run_id}")
        time.sleep(0.01)
    before = client_of(paths).get_run(run.run_id).info
    tracking.log_result(
        paths,
        experiment="avatars",
        run_key="k1",
        name="unused",
        metrics={"fid_5k": 33.5},
        step=640,
        images={"best": picture},
        artifacts={picture: "models"},
    )
    after = client_of(paths).get_run(run.run_id)
    assert history(paths, run.run_id, "fid_5k") == [(640, 33.5)]
    assert (after.info.status, after.info.end_time) == (before.status, before.end_time)
    assert tracking.find_run(paths, "k1", "avatars") == run.run_id
    assert len(client_of(paths).list_artifacts(run.run_id, "models")) == 1
    assert len(rows(paths)) == 2


@pytest.mark.slow
def test_results_without_a_row_make_one(stored, paths):
    assert tracking.find_run(paths, "k9", "avatars") is None
    for value in (40.0, 39.0):
        tracking.log_result(
            paths,
            experiment="avatars",
            run_key="k9",
            name="pulled",
            metrics={"fid_5k": value},
            step=int(value),
            params={"train": {"seed": 3}},
        )
    (row,) = rows(paths)
    assert row.info.status == "FINISHED"
    assert row.info.run_name == "pulled"
    assert row.data.params == {"train.seed": "3"}
    assert history(paths, row.info.run_id, "fid_5k") == [(39, 39.0), (40, 40.0)]


# killed and continued


@pytest.mark.slow
def test_a_killed_run_goes_on_as_one_row_without_false_tail_or_double_points(
    stored, paths, picture
):
    code = """
    import os, time
    for step in range(10): run.metrics({'loss': step}, step)
    run.image('grid', paths.root / 'grid.png', 5)
    run.commit()
    for step in range(10, 15): run.metrics({'loss': -1}, step)
    while run.run_id is None or run.unsent: time.sleep(0.1)
    os._exit(9)
    """
    killed = python(paths, START + textwrap.dedent(code))
    assert killed.wait(60) == 9
    with (paths.root / "spool" / "k1" / "records.jsonl").open("a") as stream:
        stream.write('{"kind": "metr')  # torn by the kill
    run = begin(paths)
    run.params({"train.images": 10})
    for step in range(5, 20):  # an older checkpoint than the last commit
        run.metrics({"loss": step}, step)
    run.image("grid", picture, 5)
    run.close()
    (row,) = rows(paths)
    assert row.info.status == "FINISHED"
    assert history(paths, row.info.run_id, "loss") == [(step, step) for step in range(20)]
    images = client_of(paths).list_artifacts(row.info.run_id, "images")
    assert len([each for each in images if each.path.endswith(".png")]) == 1


@pytest.mark.slow
def test_a_failed_run_drops_its_tail_and_runs_again_when_continued(stored, paths):
    run = begin(paths)
    run.params({"train": {"images": 10}})
    run.metrics({"loss": 1.0}, 1)
    run.commit()
    run.metrics({"loss": 9.0}, 2)
    run.close("FAILED")
    assert [row.info.status for row in rows(paths)] == ["FAILED"]
    longer = begin(paths)
    longer.params({"train": {"images": 20}})
    longer.commit()
    deadline = time.monotonic() + 20
    while longer.unsent and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [row.info.status for row in rows(paths)] == ["RUNNING"]
    longer.metrics({"loss": 2.0}, 2)
    longer.close()
    (row,) = rows(paths)
    assert row.data.params == {"train.images": "10"}
    assert row.data.tags["changed.train.images"] == "20"
    assert history(paths, row.info.run_id, "loss") == [(1, 1.0), (2, 2.0)]


@pytest.mark.slow
def test_another_store_gets_the_whole_series_and_sending_twice_is_harmless(
    stored, paths, monkeypatch
):
    run = begin(paths)
    run.metrics({"loss": 1.0}, 1)
    run.close()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///second.db")
    state_file = paths.root / "spool" / "k1" / "run.json"
    for _ in range(2):
        begin(paths).close()
        (row,) = rows(paths)
        assert row.info.run_id != run.run_id
        assert history(paths, row.info.run_id, "loss") == [(1, 1.0)]
        state = json.loads(state_file.read_text())
        state_file.write_text(json.dumps({**state, "sent": 0}))  # its confirmation got lost


@pytest.mark.slow
def test_two_processes_may_create_the_store_at_once(paths):
    code = """
    import sys
    run = tracking.start(paths, experiment='avatars', name='n', run_key='k', spool=paths.root / {})
    run.metrics({{'loss': 1.0}}, 1)
    run.close()
    sys.exit(run.unsent)
    """
    both = [python(paths, textwrap.dedent(code).format(repr(name))) for name in "ab"]
    assert [(each.wait(100), each.stderr.read()) for each in both] == [(0, ""), (0, "")]
    assert [row.data.metrics for row in rows(paths)] == [{"loss": 1.0}, {"loss": 1.0}]


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
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    run = begin(paths)
    run.metrics({"loss": 1.0}, 1)
    run.commit()
    shutil.rmtree(paths.root / "spool")
    run.metrics({"loss": 2.0}, 2)
    run.close(timeout_s=0)
    run.tidy()
    assert "Traceback" not in capfd.readouterr().err


def test_a_missing_picture_costs_a_warning(paths, capfd, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    run = begin(paths)
    run.image("grid", paths.root / "no.png", 1)
    run.artifact(paths.root / "no.pt")
    assert "no.png" in capfd.readouterr().err
    run.close(timeout_s=0)


@pytest.mark.slow
def test_a_process_without_a_tracker_ends_soon_and_says_two_lines(paths):
    code = "run.commit(); run.close()\n"
    began = time.monotonic()
    caller = python(paths, START + code, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert caller.wait(40) == 0
    assert time.monotonic() - began < 30
    assert len(caller.stderr.read().splitlines()) == 2


# a real server that dies and comes back


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """MLflow's own server on a store of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{self.folder}/server.db"]
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
def serving(folder: Path) -> Iterator[Server]:
    server = Server(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("server")) as running:
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
    deadline = time.monotonic() + 60
    while (run.run_id is None or run.unsent) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert run.unsent == 0
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
        images = client_of(paths).list_artifacts(run.run_id, "images")
        assert len([each for each in images if each.path.endswith(".png")]) == 10
    assert len(rows(paths)) == 1
    assert rows(paths)[0].info.status == "FINISHED"
    assert rows(paths)[0].info.artifact_uri.startswith("mlflow-artifacts:")


@pytest.mark.slow
def test_no_thread_but_the_sender_is_left(stored, paths):
    begin(paths).close()
    assert [each.name for each in threading.enumerate() if not each.daemon] == ["MainThread"]
