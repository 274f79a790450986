"""Which run a person means, and its checkpoint: against real stores, a server and a dead one."""

import json
import shutil
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from evaluated_runs import SAME, evaluate_row, numbers, write_file, write_row
from tracking_stores import Server

from gan.checkpoints import Origin, load_generator, save_checkpoint
from gan.errors import GanError
from pipeline.paths import Paths
from pipeline.runs.checkpoint import checkpoint_of
from pipeline.runs.evaluated import FORMAT, from_file
from pipeline.runs.find import Runs, _one_a_key, _within
from pipeline.tracking import rows as tracking
from pipeline.tracking.mlflow.reader import StoredRun

FID = numbers(fid_10k=(30.0, 1.0))

ONE, TWO, THREE = "1" * 64, "123456" + "2" * 58, "123456" + "3" * 58
PULLED, OLD, BARE = "4" * 64, "5" * 64, "6" * 64


@pytest.fixture
def paths(tmp_path, monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    return Paths(tmp_path)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A store with several rows, and their ids; only read."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "DVC_ROOT"):
            patch.delenv(name, raising=False)
        paths = Paths(tmp_path_factory.mktemp("written"))
        ids = {
            "one": write_row(paths, ONE, FID, name="only one"),
            "two": write_row(paths, TWO, FID, name="twins"),
            "three": write_row(paths, THREE, FID, name="twins", experiment="elsewhere"),
            "old": write_row(paths, OLD, FID, name="o'old", tagged=False),
            "bare": write_row(paths, BARE, name="bare"),
        }
        with tracking.stage_run(paths, "preprocess", name="only one") as stage:
            pass
        return paths, ids | {"stage": stage.run_id}


def refused(work) -> str:
    with pytest.raises(GanError) as caught:
        work()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


# rows


@pytest.mark.slow
def test_a_run_is_found_by_id_key_name_and_their_beginnings_in_any_experiment(written):
    paths, ids = written
    runs = Runs(paths)
    meant = {
        ids["one"]: "one",
        ids["one"][:10].upper(): "one",
        "only one": "one",
        ONE: "one",
        ONE[:6]: "one",
        TWO[:8]: "two",
        ids["three"]: "three",
    }
    assert {given: runs.evaluated(given).run_id for given in meant} == {
        given: ids[name] for given, name in meant.items()
    }


@pytest.mark.slow
def test_a_row_gives_its_numbers_and_nothing_else(written):
    paths, ids = written
    found = Runs(paths).evaluated(ids["one"])
    assert {key: (n.value, n.deviation, n.protocol) for key, n in found.metrics.items()} == FID
    assert (found.run_key, found.cache_digest, found.objective) == (ONE, "d" * 64, "hinge")
    assert (found.images_seen, found.name) == (36000, "only one")
    assert found.label == f"only one ({ids['one'][:8]})"


@pytest.mark.slow
@pytest.mark.parametrize("given", ["twins", "123456"])
def test_an_ambiguous_run_is_refused_with_the_candidates(written, given):
    paths, ids = written
    text = refused(lambda: Runs(paths).evaluated(given))
    assert text.startswith(f"'{given}' may be {ids['three'][:8]} (twins, ")
    assert ids["two"][:8] in text


@pytest.mark.slow
def test_what_names_no_training_is_refused(written):
    paths, ids = written
    for given in ("nobody", ONE[:5], "f" * 32, "%", ids["stage"], 'say "it\'s"', ""):
        assert "no training of this name" in refused(
            lambda given=given: Runs(paths).evaluated(given)
        )


@pytest.mark.slow
def test_rows_without_numbers_or_protocols_say_what_to_do(written):
    paths, ids = written
    bare = refused(lambda: Runs(paths).evaluated("bare"))
    assert bare == (
        f"bare ({ids['bare'][:8]}): not evaluated yet; "
        f"`gan evaluate --run {ids['bare'][:8]}` does it"
    )
    old = refused(lambda: Runs(paths).evaluated("o'old"))
    assert "do not say by which protocol" in old
    assert f"`gan evaluate --run {ids['old'][:8]}`" in old
    assert Runs(paths).training("bare").run_key == BARE
    assert Runs(paths).training("latest").run_key == BARE


@pytest.mark.slow
def test_an_evaluation_on_a_row_of_its_own_is_found(paths):
    evaluate_row(paths, PULLED, FID)
    found = Runs(paths).evaluated(PULLED)
    assert found.metrics["fid_10k"].value == 30.0
    assert found.objective is None


def stored(run_id: str, key: str, started: int, *tags: str) -> StoredRun:
    return StoredRun(run_id, "n", started, {"run_key": key, **dict.fromkeys(tags, "{}")}, {}, {})


def test_of_rows_with_one_run_key_the_newest_evaluated_one_counts():
    rows = [
        stored("d", "k2", 40),
        stored("c", "k1", 30),
        stored("b", "k1", 20, "protocols"),
        stored("a", "k1", 10, "protocols"),
    ]
    assert [row.run_id for row in _one_a_key(rows)] == ["d", "b"]


# stores that don't answer


def test_no_store_is_said_and_none_is_made(paths):
    assert "mlflow.db: no runs recorded yet" in refused(lambda: Runs(paths).evaluated("any"))
    assert not list(paths.root.iterdir())


@pytest.mark.slow
def test_a_file_that_is_no_store_is_one_line(paths):
    (paths.root / "mlflow.db").write_bytes(b"no database" * 1000)
    assert "mlflow.db can't be asked for runs" in refused(lambda: Runs(paths).evaluated("any"))


@pytest.mark.slow
def test_a_dead_server_is_one_line_soon_and_without_its_password(paths, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    began = time.monotonic()
    text = refused(lambda: Runs(paths).evaluated("any"))
    assert time.monotonic() - began < 20
    assert text == "http://127.0.0.1:9 can't be asked for runs: the server does not answer"


@pytest.mark.slow
def test_a_deaf_server_is_waited_for_with_a_bound(paths, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        uri = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        began = time.monotonic()
        text = refused(lambda: Runs(paths).evaluated("any"))
    assert time.monotonic() - began < 30
    assert text == f"{uri} can't be asked for runs: the server does not answer"


def test_work_that_hangs_is_left_behind():
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="no answer within 0 s"):
        _within(0.1, lambda: time.sleep(5))
    assert time.monotonic() - began < 2
    assert _within(5, lambda: 7) == 7


# files


def test_the_format_is_that_of_evaluations():
    from pipeline.evaluation import judge as judging

    assert FORMAT == judging.FORMAT


@pytest.mark.parametrize("given", ["out/evaluation.json", "out", "{root}/out"])
def test_an_evaluation_is_read_from_its_file_or_folder(paths, monkeypatch, given):
    monkeypatch.chdir(paths.root)
    write_file(paths.root / "out", FID)
    found = Runs(paths).evaluated(given.format(root=paths.root))
    assert (found.run_id, found.run_key, found.cache_digest) == (None, "b" * 64, "d" * 64)
    assert (found.images_seen, found.metrics["fid_10k"].value) == (24000, 30.0)
    assert found.label.startswith("bce 64px (")


def test_judged_images_have_no_training(paths):
    file = write_file(paths.root / "out", FID, folder_of_images=True)
    found = Runs(paths).evaluated(str(file))
    assert (found.name, found.run_key, found.cache_digest) == ("avatars", None, None)
    assert "not a checkpoint" in refused(lambda: Runs(paths).training(str(file)))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("none.json", "none.json: no such file"),
        ("a/b", "a/b: no such file"),
        ("./empty", "a folder without evaluation.json"),
        ("text.json", "text.json: no evaluation of gan"),
        ("metrics.json", "metrics.json: no evaluation of gan"),
        ("torn.json", "torn.json: no evaluation of gan"),
    ],
)
def test_paths_that_hold_no_evaluation_are_one_line(paths, monkeypatch, given, words):
    monkeypatch.chdir(paths.root)
    (paths.root / "empty").mkdir()
    (paths.root / "text.json").write_text("text")
    (paths.root / "metrics.json").write_text('{"fid_10k": 3.0}')
    whole = json.loads(write_file(paths.root / "whole", FID).read_text())
    (paths.root / "torn.json").write_text(json.dumps({**whole, "metrics": {"fid_10k": 3.0}}))
    assert words in refused(lambda: Runs(paths).evaluated(given))


def test_a_number_that_is_none_is_left_out(paths):
    file = write_file(paths.root / "out", {**FID, "fid_50k": (float("nan"), None, SAME)})
    assert set(from_file(file).metrics) == {"fid_10k"}


# checkpoints


@pytest.fixture
def save(checkpoint):
    """save(file, key): a checkpoint of the training with that run key."""
    generator, origin = load_generator(checkpoint)

    def write(file: Path, key: str, seen: int = 64) -> Path:
        save_checkpoint(file, replace(origin, run_key=key, images_seen=seen), generator)
        return file

    return write


def seen_by(given: str, paths: Paths) -> tuple[Path, Origin]:
    with checkpoint_of(given, paths) as found:
        return found.file, load_generator(found.file)[1]


def test_without_a_store_models_are_searched_by_run_key(paths, save):
    best = save(paths.models / "best.pt", ONE)
    snapshots = paths.models / "snapshots"
    for seen in (64, 128):
        save(snapshots / f"{seen:012d}.pt", TWO, seen)
    final = save(paths.models / "final.pt", THREE)
    assert seen_by(ONE[:16], paths)[0] == best
    assert seen_by(TWO, paths)[0] == snapshots / "000000000128.pt"
    assert seen_by(THREE, paths)[0] == final
    assert "no runs recorded yet" in refused(lambda: seen_by("f" * 64, paths))
    assert best.is_file()


def test_a_damaged_file_among_models_is_said_and_left_out(paths, save, capsys):
    (paths.models / "snapshots").mkdir(parents=True)
    (paths.models / "best.pt").write_bytes(b"torn")
    final = save(paths.models / "final.pt", ONE)
    assert seen_by(ONE, paths)[0] == final
    assert "best.pt" in capsys.readouterr().err


def test_the_checkpoint_of_an_evaluation_file_is_looked_for_among_models(paths, save):
    file = write_file(paths.root / "out", FID, key=ONE)
    assert "no checkpoint of it in models/" in refused(lambda: seen_by(str(file), paths))
    best = save(paths.models / "best.pt", ONE)
    assert seen_by(str(file), paths)[0] == best


def test_a_beginning_that_fits_two_trainings_in_models_is_refused(paths, save):
    save(paths.models / "best.pt", TWO)
    save(paths.models / "final.pt", THREE)
    assert "several trainings in models/ begin so" in refused(lambda: seen_by("123456", paths))


@pytest.mark.slow
def test_the_snapshot_that_the_row_calls_the_best_comes_before_all_others(paths, save, tmp_path):
    save(paths.models / "final.pt", ONE, 192)
    early = save(paths.models / "snapshots" / f"{64:012d}.pt", ONE, 64)
    run_id = write_row(paths, ONE, FID, best=64)
    with checkpoint_of(run_id, paths) as found:
        assert (found.file, found.run_id, found.best) == (early, run_id, True)
        assert found.last_step is not None
    early.unlink()
    with checkpoint_of(run_id, paths) as found:
        assert (found.file.name, found.best) == ("final.pt", False)


@pytest.mark.slow
def test_a_checkpoint_is_fetched_from_the_artefacts_and_gone_afterwards(
    paths, save, tmp_path, capsys
):
    made = {seen: save(tmp_path / f"{seen:012d}.pt", ONE, seen) for seen in (64, 128, 192)}
    write_row(paths, ONE, files=dict.fromkeys(made.values(), "checkpoints"))
    file, origin = seen_by("hinge 64px", paths)
    assert origin.images_seen == 192
    assert not file.exists()
    err = capsys.readouterr().err
    assert "fetching checkpoints/000000000192.pt" in err

    row = tracking.attach(paths, experiment="avatars", run_key=ONE, name="unused")
    row.artifact(made[64], "best")
    row.artifact(made[128], "best")
    row.metrics({"best_images_seen": 64}, 192)
    row.flush()
    assert seen_by(ONE, paths)[1].images_seen == 64  # what was chosen last, not the last in line

    local = save(paths.models / "best.pt", ONE, 64)
    assert seen_by(ONE, paths)[0] == local
    shutil.rmtree(paths.models)
    shutil.rmtree(paths.root / "mlartifacts")
    text = refused(lambda: seen_by(ONE, paths))
    assert "no checkpoint of it in models/ or among its artefacts" in text


@pytest.mark.slow
def test_another_trainings_file_among_the_artefacts_is_refused(paths, save, tmp_path):
    write_row(paths, ONE, files={save(tmp_path / "000000000064.pt", TWO): "checkpoints"})
    assert "is of another training (123456222222)" in refused(lambda: seen_by(ONE, paths))


@pytest.mark.slow
def test_a_server_is_asked_like_a_file(paths, save, tmp_path, monkeypatch):
    server = Server(tmp_path)
    server.start()
    try:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        made = save(tmp_path / "000000000064.pt", ONE)
        run_id = write_row(paths, ONE, FID, files={made: "checkpoints"})
        for given in (run_id[:8], ONE[:8], "hinge 64px", "latest"):
            found = Runs(paths).evaluated(given)
            assert found.run_id == run_id
            assert found.metrics["fid_10k"].deviation == 1.0
        with checkpoint_of(run_id, paths) as found:
            assert torch.equal(*[_first_weights(each) for each in (found.file, made)])
        runs = Runs(paths)
        runs.evaluated(run_id)
    finally:
        server.kill()
    began = time.monotonic()
    text = refused(lambda: runs.evaluated(run_id))  # it died in between
    assert time.monotonic() - began < 30
    assert "the server does not answer" in text


def _first_weights(file: Path) -> torch.Tensor:
    return next(iter(load_generator(file)[0].state_dict().values()))
