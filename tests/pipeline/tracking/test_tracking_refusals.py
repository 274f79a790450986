"""What a store will never take is dropped alone; what only stands in the way waits."""

import os
from contextlib import contextmanager

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import CUSTOMER_UNAUTHORIZED, PERMISSION_DENIED
from PIL import Image
from tracking_stores import apart, copy_store, empty_database, history, images, rows

from pipeline.tracking import rows as tracking
from pipeline.tracking.mlflow.store import TIMEOUT
from pipeline.tracking.mlflow.uploads import patience_for
from pipeline.tracking.mlflow.writer import MlflowReceiver
from pipeline.tracking.spool.sender import Delivery, without_secrets
from pipeline.tracking.spool.spool import Spool

ROW = {"experiment": "avatars", "name": "n", "start_time": 1, "tags": {"run_key": "k1"}}


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    return empty_database(tmp_path_factory)


@pytest.fixture
def paths(tmp_path, monkeypatch, empty_store):
    return copy_store(empty_store, apart(tmp_path, monkeypatch))


@pytest.fixture
def receiver(paths):
    return MlflowReceiver(tracking.tracking_uri(paths), paths.main_root)


@pytest.fixture
def spool(paths):
    """Two files, a dataset and a point wait."""
    spool = Spool(paths.root / "spool", ROW)
    for name in ("a.pt", "b.pt"):
        (paths.root / name).write_bytes(b"weights")
        kept = spool.keep(paths.root / name, name)
        spool.add("artifact", file=kept, folder="checkpoints")
    spool.add("metrics", values={"loss": 1.0}, step=5)
    spool.commit()
    yield spool
    spool.release()


def sent(spool, receiver, target="sqlite:///here.db"):
    """How many records were confirmed, and why others were not."""
    refused = []
    delivery = Delivery(spool, lambda: receiver, target, refused.append)
    return sum(delivery.batches()), refused


def artefacts(receiver):
    (row,) = receiver._client.search_runs(["1"])
    return [each.path for each in receiver._client.list_artifacts(row.info.run_id, "checkpoints")]


@contextmanager
def answering(monkeypatch, receiver, code, *methods, word=""):
    """A store that answers so to these methods, where an argument has the word."""

    def refusing(method):
        def answer(*arguments, **named):
            if word in str(arguments):
                raise MlflowException("no", code)
            return method(*arguments, **named)

        return answer

    with monkeypatch.context() as patch:
        for name in methods:
            patch.setattr(receiver._client, name, refusing(getattr(receiver._client, name)))
        yield


@pytest.mark.slow
def test_a_record_that_is_refused_goes_alone_and_costs_a_line(paths, receiver, spool, monkeypatch):
    with answering(monkeypatch, receiver, PERMISSION_DENIED, "log_artifact", word="a.pt"):
        count, refused = sent(spool, receiver)
    assert (count, spool.unsent) == (3, 0)
    assert len(refused) == 1
    assert artefacts(receiver) == ["checkpoints/b.pt"]
    assert history(paths, rows(paths)[0].info.run_id, "loss") == [(5, 1.0)]


WRITING = ("log_artifact", "log_batch", "set_tag")


@pytest.mark.slow
@pytest.mark.parametrize("code", [PERMISSION_DENIED, CUSTOMER_UNAUTHORIZED])
def test_a_right_that_is_missing_for_everything_costs_no_record(
    receiver, spool, monkeypatch, code
):
    with (
        answering(monkeypatch, receiver, code, *WRITING),
        pytest.raises(MlflowException, match="no"),
    ):
        sent(spool, receiver)
    assert spool.unsent == 3
    assert sent(spool, receiver) == (3, [])
    assert artefacts(receiver) == ["checkpoints/a.pt", "checkpoints/b.pt"]


@pytest.mark.slow
def test_a_bucket_whose_address_is_set_wrong_costs_no_file(receiver, spool, monkeypatch):
    receiver._client.create_experiment("avatars", "s3://bucket/mlflow")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "key")
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "localhost:9000")
    with pytest.raises(ValueError, match="localhost:9000"):
        sent(spool, receiver)
    assert spool.unsent == 3
    assert (spool.files / "a.pt").is_file()


@pytest.mark.slow
def test_what_is_damaged_or_gone_is_never_tried_again(paths, receiver):
    spool = Spool(paths.root / "spool", ROW)
    Image.effect_noise((64, 64), 50).save(paths.root / "whole.png")
    (paths.root / "cut.png").write_bytes((paths.root / "whole.png").read_bytes()[:2000])
    (paths.root / "none.png").write_bytes(b"no picture")
    for step, name in enumerate(("cut.png", "none.png", "whole.png")):
        spool.add("image", key="grid", step=step, file=spool.keep(paths.root / name, name))
    spool.add("dataset", name="d", digest="d", source="{", profile="{}", context="training")
    spool.add("metrics", values={"loss": 1.0}, step=5)
    spool.commit()
    count, refused = sent(spool, receiver)
    spool.release()
    assert (count, len(refused)) == (5, 3)
    run_id = rows(paths)[0].info.run_id
    assert [name.split("+")[2] for name in images(paths, run_id)] == ["2"]
    assert history(paths, run_id, "loss") == [(5, 1.0)]


@pytest.mark.slow
def test_results_of_a_row_that_somebody_deleted_find_another_of_its_training(paths, receiver):
    first, second = (receiver.open({**ROW, "id": name}) for name in "ab")
    wanted = {**ROW, "id": "c", "attach": "k1", "params": {}, "run_id": first}
    assert receiver.open(wanted) == first
    receiver._client.delete_run(first)
    assert receiver.open(wanted) == second
    assert receiver.open({**wanted, "run_id": "0" * 32}) == second


@pytest.mark.slow
def test_a_store_that_was_moved_is_sent_nothing_twice(receiver, spool):
    assert sent(spool, receiver, "sqlite:///here.db")[0] == 3
    assert sent(spool, receiver, "sqlite:///there.db")[0] == 0
    assert spool.state["target"] == "sqlite:///there.db"
    assert sent(spool, receiver, "http://there:5000")[0] > 0  # of another kind


def test_uploads_at_once_leave_the_timeout_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setenv(TIMEOUT, "5")
    files = []
    for name, size in (("small", 10 << 20), ("big", 20 << 20)):
        with (tmp_path / name).open("wb") as stream:
            stream.truncate(size)
        files.append(tmp_path / name)
    one, other = (patience_for(file) for file in files)
    seen = []
    for step in (one.__enter__, other.__enter__, lambda: one.__exit__(None, None, None)):
        step()
        seen.append(os.environ[TIMEOUT])
    other.__exit__(None, None, None)
    assert [*seen, os.environ[TIMEOUT]] == ["15", "25", "25", "5"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://u:p@h:5000/x", "http://h:5000/x"),
        ("https://u:p/w@h/x", "https://h/x"),
        ("https://u:p@ss@h/x", "https://h/x"),
        ("postgresql://h/d?user=u&password=SECRET", "postgresql://h/d?user=u&password=..."),
        ("postgresql+psycopg2://u:p%40w@h:5432/d", "postgresql+psycopg2://h:5432/d"),
        ("git+https://token@h/x.git", "git+https://h/x.git"),
        ("http://h:5000/x@y", "http://h:5000/x@y"),
        ("sqlite:////a/b@c/mlflow.db", "sqlite:////a/b@c/mlflow.db"),
    ],
)
def test_no_user_or_password_of_an_address_is_shown(text, shown):
    assert without_secrets(text) == shown
