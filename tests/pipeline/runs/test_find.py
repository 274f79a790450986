"""Search for runs and their checkpoints, in real stores, on a server and on a dead one."""

import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from evaluated_runs import SAME, evaluate_run, one_protocol, refusal, write_evaluation, write_run
from tracking_stores import apart, attach, copy_store, serving

from gan.checkpoints import Origin, load_generator, save_checkpoint
from pipeline.paths import Paths
from pipeline.runs.checkpoint import checkpoint_of
from pipeline.runs.find import Runs, UnknownRunError, call_within, drop_repetitions
from pipeline.tracking import open_run
from pipeline.tracking.mlflow.reader import StoredRun

FID = one_protocol(fid_10k=(30.0, 1.0))

ONE, TWO, THREE = "1" * 64, "123456" + "2" * 58, "123456" + "3" * 58
PULLED, OLD, BARE = "4" * 64, "5" * 64, "6" * 64


@pytest.fixture(scope="module")
def store(tmp_path_factory, empty_store):
    """Paths of a store with several runs, and their ids; only read."""
    with pytest.MonkeyPatch.context() as patch:
        paths = apart(tmp_path_factory.mktemp("store"), patch)
        copy_store(empty_store, paths)
        evaluate_run(paths, PULLED, FID)  # without its training
        ids = {
            "one": write_run(paths, ONE, FID, name="only one"),
            "two": write_run(paths, TWO, FID, name="twins"),
            "three": write_run(paths, THREE, FID, name="twins", experiment="elsewhere"),
            "old": write_run(paths, OLD, FID, name="o'old", tagged=False),
            "bare": write_run(paths, BARE, name="bare"),
        }
        with open_run.stage_run(paths, "preprocess", name="only one") as stage:
            pass
        return paths, ids | {"stage": stage.run_id}


# runs in a store


@pytest.mark.slow
def test_a_run_is_found_by_name_id_key_and_first_digits_in_any_experiment(store):
    paths, ids = store
    runs = Runs(paths)
    for given in (ids["one"], ids["one"][:10].upper(), "only one", ONE, ONE[:6]):
        assert runs.find_evaluated(given).run_id == ids["one"]
    assert runs.find_evaluated(TWO[:8]).run_id == ids["two"]
    assert runs.find_evaluated(ids["three"]).run_id == ids["three"]
    assert runs.find_evaluated(PULLED).objective is None
    found = runs.find_evaluated(ids["one"])
    assert {key: (n.value, n.deviation, n.protocol) for key, n in found.metrics.items()} == FID
    assert (found.run_key, found.cache_digest, found.objective) == (ONE, "d" * 64, "hinge")
    assert (found.images_seen, found.label) == (36000, f"only one ({ids['one'][:8]})")


@pytest.mark.slow
def test_an_ambiguous_name_is_refused_with_the_candidates_and_an_unknown_one(store):
    paths, ids = store
    for given in ("twins", "123456"):
        text = refusal(lambda given=given: Runs(paths).find_evaluated(given))
        words = (repr(given), ids["two"][:8], ids["three"][:8], "twins")
        assert all(each in text for each in words)
    for given in ("nobody", ONE[:5], "f" * 32, "%", ids["stage"], 'say "it\'s"', ""):
        with pytest.raises(UnknownRunError):
            Runs(paths).find_evaluated(given)


@pytest.mark.slow
def test_runs_without_metrics_or_protocols_name_the_command_that_evaluates(store):
    paths, ids = store
    for name, key, why in (("bare", "bare", "not evaluated"), ("o'old", "old", "protocol")):
        text = refusal(lambda name=name: Runs(paths).find_evaluated(name))
        assert why in text
        assert f"`gan evaluate --run {ids[key][:8]}`" in text
    for name in ("bare", "latest"):
        assert Runs(paths).find_training(name).run_key == BARE


def test_of_runs_with_one_run_key_the_newest_evaluated_one_counts():
    facts = [("d", "k2", 40, ()), ("c", "k1", 30, ())]
    facts += [("b", "k1", 20, ["protocols"]), ("a", "k1", 10, ["protocols"])]
    runs = [
        StoredRun(run_id, "n", started, {"run_key": key, **dict.fromkeys(tags, "{}")}, {}, {})
        for run_id, key, started, tags in facts
    ]
    assert [run.run_id for run in drop_repetitions(runs)] == ["d", "b"]


# stores that do not answer


@pytest.mark.slow
def test_an_absent_store_a_file_that_is_none_and_a_dead_server_are_one_line(paths, monkeypatch):
    database = paths.root / "mlflow.db"
    assert str(database) in refusal(lambda: Runs(paths).find_evaluated("any"))
    assert not list(paths.root.iterdir())
    database.write_bytes(b"no database" * 1000)
    assert str(database) in refusal(lambda: Runs(paths).find_evaluated("any"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    text = refusal(lambda: Runs(paths).find_evaluated("any"))
    assert text.startswith("http://127.0.0.1:9: ")  # without its password
    assert "the server does not answer" in text


def test_a_call_that_hangs_is_given_up():
    released = threading.Event()
    with pytest.raises(TimeoutError):
        call_within(0.01, released.wait)
    released.set()
    assert call_within(60, lambda: 7) == 7


# files


@pytest.mark.parametrize("given", ["out/evaluation.json", "out", "{root}/out"])
def test_an_evaluation_is_read_from_its_file_or_folder(paths, monkeypatch, given):
    monkeypatch.chdir(paths.root)
    write_evaluation(paths.root / "out", {**FID, "fid_50k": (float("nan"), None, SAME)})
    found = Runs(paths).find_evaluated(given.format(root=paths.root))
    assert set(found.metrics) == {"fid_10k"}  # what is not finite is left out
    assert (found.run_id, found.run_key, found.cache_digest) == (None, "b" * 64, "d" * 64)
    assert (found.images_seen, found.metrics["fid_10k"].value) == (24000, 30.0)
    assert found.label.startswith("bce 64px (")


def test_paths_that_hold_no_evaluation_of_a_checkpoint_are_one_line(paths, monkeypatch):
    monkeypatch.chdir(paths.root)
    (paths.root / "empty").mkdir()
    (paths.root / "metrics.json").write_text('{"fid_10k": 3.0}')
    whole = json.loads(write_evaluation(paths.root / "whole", FID).read_text())
    (paths.root / "torn.json").write_text(json.dumps({**whole, "metrics": {"fid_10k": 3.0}}))
    runs = Runs(paths)
    for given in ("none.json", "a/b", "./empty", "metrics.json", "torn.json"):
        assert given in refusal(lambda given=given: runs.find_evaluated(given))
    write_evaluation(paths.root / "out", FID, folder_of_images=True)
    found = runs.find_evaluated("out")
    assert (found.name, found.run_key, found.cache_digest) == ("samples", None, None)
    assert found.where in refusal(lambda: runs.find_training("out"))


# checkpoints


@pytest.fixture
def save(checkpoint):
    """save(file, key): a checkpoint of the training with that run key."""
    generator, origin = load_generator(checkpoint)

    def write(file: Path, key: str, seen: int = 64) -> Path:
        save_checkpoint(file, replace(origin, run_key=key, images_seen=seen), generator)
        return file

    return write


def load(given: str, paths: Paths) -> tuple[Path, Origin]:
    with checkpoint_of(given, paths) as found:
        return found.file, load_generator(found.file)[1]


def test_without_a_store_models_are_searched_by_run_key(paths, save, capsys):
    file = write_evaluation(paths.root / "out", FID, key=ONE)
    assert "no checkpoint" in refusal(lambda: load(str(file), paths))
    best = save(paths.models / "best.pt", ONE)
    snapshots = paths.models / "snapshots"
    for seen in (64, 128):
        save(snapshots / f"{seen:012d}.pt", TWO, seen)
    final = save(paths.models / "final.pt", THREE)
    assert load(ONE[:16], paths)[0] == load(str(file), paths)[0] == best
    assert load(TWO, paths)[0] == snapshots / "000000000128.pt"
    assert load(THREE, paths)[0] == final
    assert "123456: several run keys" in refusal(lambda: load("123456", paths))
    with pytest.raises(UnknownRunError):
        load("f" * 64, paths)
    best.write_bytes(b"torn")
    assert load(THREE, paths)[0] == final
    assert "best.pt" in capsys.readouterr().err  # skipped with a warning


@pytest.mark.slow
def test_the_snapshot_that_the_evaluation_chose_comes_before_all_others(stored, save, tmp_path):
    save(stored.models / "final.pt", ONE, 192)
    early = save(stored.models / "snapshots" / f"{64:012d}.pt", ONE, 64)
    run_id = write_run(stored, ONE, FID, best=64)
    with checkpoint_of(run_id, stored) as found:
        assert (found.file, found.run_id, found.best) == (early, run_id, True)
        assert found.last_step is not None
    early.unlink()
    with checkpoint_of(run_id, stored) as found:
        assert (found.file.name, found.best) == ("final.pt", False)
    other = save(tmp_path / "000000000064.pt", TWO)
    write_run(stored, THREE, files={other: "checkpoints"})
    assert TWO[:12] in refusal(lambda: load(THREE, stored))  # an artefact of another training


@pytest.mark.slow
def test_a_checkpoint_is_fetched_from_the_artefacts_and_gone_afterwards(
    stored, save, tmp_path, capsys
):
    files = {seen: save(tmp_path / f"{seen:012d}.pt", ONE, seen) for seen in (64, 128, 192)}
    write_run(stored, ONE, files=dict.fromkeys(files.values(), "checkpoints"))
    file, origin = load("hinge 64px", stored)
    assert origin.images_seen == 192
    assert not file.exists()
    assert "checkpoints/000000000192.pt" in capsys.readouterr().err

    run = attach(stored, ONE)
    run.artifact(files[64], "best")
    run.artifact(files[128], "best")
    run.metrics({"best_images_seen": 64}, 192)
    run.flush()
    assert load(ONE, stored)[1].images_seen == 64  # the chosen snapshot, not the last one

    local = save(stored.models / "best.pt", ONE, 64)
    assert load(ONE, stored)[0] == local
    shutil.rmtree(stored.models)
    shutil.rmtree(stored.root / "mlartifacts")
    assert "no checkpoint" in refusal(lambda: load(ONE, stored))


@pytest.mark.slow
def test_a_server_is_searched_like_a_file(paths, save, tmp_path, empty_store, monkeypatch):
    with serving(tmp_path, empty_store) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        saved = save(tmp_path / "000000000064.pt", ONE)
        run_id = write_run(paths, ONE, FID, files={saved: "checkpoints"})
        runs = Runs(paths)
        for given in (run_id[:8], ONE[:8], "hinge 64px", "latest"):
            assert runs.find_evaluated(given).run_id == run_id
        with checkpoint_of(run_id, paths) as found:
            assert found.file.read_bytes() == saved.read_bytes()
    with pytest.raises(UnknownRunError):  # the server died in between
        runs.find_evaluated(run_id)
