"""Records that a store rejects are dropped alone; temporary errors lose none."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import CUSTOMER_UNAUTHORIZED, PERMISSION_DENIED
from PIL import Image
from tracking_stores import artifacts, client_of, history, images, read_runs

from pipeline.console import without_secrets
from pipeline.tracking.mlflow.environment import TIMEOUT
from pipeline.tracking.mlflow.store import tracking_uri
from pipeline.tracking.mlflow.uploads import upload_timeout
from pipeline.tracking.mlflow.writer import MlflowWriter
from pipeline.tracking.run import Run
from pipeline.tracking.run_folder.folder import count_unsent, make_run_folder
from pipeline.tracking.run_folder.push import push

HEADER = {"experiment": "avatars", "name": "n", "start_time": 1, "tags": {"run_key": "k1"}}


@pytest.fixture
def writer(stored):
    return MlflowWriter(tracking_uri(stored), stored.main_root)


@pytest.fixture
def folder(paths):
    """A run folder with two files and a point to send."""
    run = Run(make_run_folder(paths.root / "run", HEADER))
    for name in ("a.pt", "b.pt"):
        (paths.root / name).write_bytes(b"weights")
        run.artifact(paths.root / name, "checkpoints")
    run.metrics({"loss": 1.0}, 5)
    run.commit()
    return run.folder


def send(folder, writer, target="sqlite:///here.db"):
    """Send all records; the number confirmed, and why others were rejected."""
    rejected = []
    folder.opened = False  # as in another process
    return sum(push(folder, writer, target, rejected.append)), rejected


@contextmanager
def rejecting(monkeypatch, code, *methods, word=""):
    """Let these methods of every client raise an error, where an argument has the word."""

    def reject(method):
        def answer(self, *arguments, **named):
            if word in str(arguments):
                raise MlflowException("no", code)
            return method(self, *arguments, **named)

        return answer

    with monkeypatch.context() as patch:
        for name in methods:
            patch.setattr(MlflowClient, name, reject(getattr(MlflowClient, name)))
        yield


@pytest.mark.slow
def test_a_missing_permission_costs_no_record_and_a_rejected_one_is_dropped_alone(
    paths, writer, folder, monkeypatch
):
    for code in (PERMISSION_DENIED, CUSTOMER_UNAUTHORIZED):
        with (
            rejecting(monkeypatch, code, "log_artifact", "log_batch", "set_tag"),
            pytest.raises(MlflowException, match="no"),
        ):
            send(folder, writer)
        assert count_unsent(folder.path) == 3
    with rejecting(monkeypatch, PERMISSION_DENIED, "log_artifact", word="a.pt"):
        count, rejected = send(folder, writer)
    assert (count, count_unsent(folder.path), len(rejected)) == (3, 0, 1)
    (run,) = read_runs(paths)
    assert artifacts(paths, run.info.run_id, "checkpoints") == ["checkpoints/b.pt"]
    assert history(paths, run.info.run_id, "loss") == [(5, 1.0)]


@pytest.mark.slow
def test_a_wrong_address_of_the_bucket_costs_no_file(paths, writer, folder, monkeypatch):
    client_of(paths).create_experiment("avatars", "s3://bucket/mlflow")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "key")
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "localhost:9000")
    with pytest.raises(ValueError, match="localhost:9000"):
        send(folder, writer)
    assert count_unsent(folder.path) == 3
    assert list(folder.files.glob("*/a.pt"))


@pytest.mark.slow
def test_damaged_and_missing_files_are_never_tried_again(paths, writer):
    run = Run(make_run_folder(paths.root / "run", HEADER))
    Image.effect_noise((64, 64), 50).save(paths.root / "whole.png")
    (paths.root / "cut.png").write_bytes((paths.root / "whole.png").read_bytes()[:2000])
    (paths.root / "none.png").write_bytes(b"no picture")
    for step, name in enumerate(("cut.png", "none.png", "whole.png")):
        run.image("grid", paths.root / name, step)
    run.dataset("d", "d", {}, {})
    run.waiting[-1]["source"] = "{"
    run.metrics({"loss": 1.0}, 5)
    run.commit()
    count, rejected = send(run.folder, writer)
    assert (count, len(rejected)) == (5, 3)
    run_id = read_runs(paths)[0].info.run_id
    assert [name.split("+")[2] for name in images(paths, run_id)] == ["2"]
    assert history(paths, run_id, "loss") == [(5, 1.0)]


@pytest.mark.slow
def test_results_for_a_deleted_run_go_to_another_run_of_its_training(paths, writer):
    first, second = (writer.open_run({**HEADER, "id": name}) for name in "ab")
    results = {**HEADER, "id": "c", "attach": "k1", "params": {}, "run_id": first}
    assert writer.open_run(results) == first
    client_of(paths).delete_run(first)
    assert writer.open_run(results) == second
    assert writer.open_run({**results, "run_id": "0" * 32}) == second


@pytest.mark.slow
def test_a_store_that_was_moved_is_sent_nothing_twice(writer, folder):
    assert send(folder, writer, "sqlite:///here.db")[0] == 3
    assert send(folder, writer, "sqlite:///there.db")[0] == 0
    assert folder.state["target"] == "sqlite:///there.db"
    assert send(folder, writer, "http://there:5000")[0] > 0  # another kind of store


def test_uploads_at_once_have_the_time_that_each_needs_and_leave_the_timeout(
    tmp_path, monkeypatch
):
    monkeypatch.setenv(TIMEOUT, "5")
    for name, size in (("small", 10 << 20), ("big", 20 << 20)):
        with (tmp_path / name).open("wb") as stream:
            stream.truncate(size)

    def upload(name):
        with upload_timeout(tmp_path / name):
            time.sleep(0.02)
            return os.environ[TIMEOUT]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(upload, ("small", "big") * 4)) == ["15", "25"] * 4
    assert os.environ[TIMEOUT] == "5"


def test_a_record_without_a_big_file_does_not_wait_for_an_upload(tmp_path):
    with (tmp_path / "big").open("wb") as stream:
        stream.truncate(20 << 20)

    def record():
        with upload_timeout():
            return "sent"

    with ThreadPoolExecutor(1) as pool, upload_timeout(tmp_path / "big"):
        assert pool.submit(record).result(timeout=10) == "sent"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://u:p@ss@h:5000/x", "https://h:5000/x"),
        ("postgresql://h/d?user=u&password=SECRET", "postgresql://h/d?user=u&password=..."),
        ("postgresql+psycopg2://u:p%40w@h:5432/d", "postgresql+psycopg2://h:5432/d"),
        ("sqlite:////a/b@c/mlflow.db", "sqlite:////a/b@c/mlflow.db"),
    ],
)
def test_no_user_or_password_of_an_address_is_shown(text, shown):
    assert without_secrets(text) == shown
