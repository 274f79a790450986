"""The train stage: kills, longer trainings, locks and damaged states, with real processes."""

import errno
import fcntl
import os
import shutil
import signal
from pathlib import Path

import pytest
from train_checkouts import new_checkout, outs, states, wait_for, without_tracker, work_folder

from gan.checkpoints import load_checkpoint
from gan.errors import GanError
from pipeline.paths import Paths
from pipeline.tracking import stage_runs

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def no_tracker(monkeypatch):
    without_tracker(monkeypatch)


@pytest.fixture(scope="module")
def cache(tmp_path_factory, write_cache, noise_images):
    return write_cache(tmp_path_factory.mktemp("data") / "cache", noise_images, holdout=10)


@pytest.fixture
def paths(tmp_path, cache):
    return new_checkout(tmp_path, cache)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, cache, make_params):
    """Outs of a training that nobody disturbed."""
    with pytest.MonkeyPatch.context() as patch:
        without_tracker(patch)
        paths = new_checkout(tmp_path_factory.mktemp("whole"), cache)
        stage_runs.train(make_params(), paths)
    return outs(paths)


def refusal(params, paths, **options):
    with pytest.raises(GanError) as caught:
        stage_runs.train(params, paths, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_outs_are_those_that_dvc_names(uninterrupted):
    names = [f"models/snapshots/{seen:012d}.pt" for seen in (64, 128, 192)]
    expected = ["models/final.pt", *names, "reports/losses.tsv", "reports/samples.png"]
    assert sorted(uninterrupted) == expected
    lines = uninterrupted["reports/losses.tsv"].decode().splitlines()
    assert lines[0].split("\t")[0] == "images_seen"
    assert [int(line.split("\t")[0]) for line in lines[1:]] == list(range(16, 193, 16))


def test_a_finished_training_that_is_asked_for_again_runs_again(paths, uninterrupted, make_params):
    stage_runs.train(make_params(), paths)
    shutil.rmtree(paths.models)
    shutil.rmtree(paths.reports)
    states(paths)[0].unlink()
    stage_runs.train(make_params(), paths)
    assert len(states(paths)) == 2  # both written anew
    assert outs(paths) == uninterrupted


def test_a_longer_training_goes_on_and_equals_one_that_was_long(
    tmp_path, cache, make_params, capfd
):
    once, twice = new_checkout(tmp_path / "once", cache), new_checkout(tmp_path / "twice", cache)
    stage_runs.train(make_params({"train.images": 256}), once)
    stage_runs.train(make_params({"train.images": 104}), twice)
    capfd.readouterr()
    stage_runs.train(make_params({"train.images": 256}), twice)
    assert "resuming at 104 images seen" in capfd.readouterr().err
    assert outs(once) == outs(twice)


def test_a_shorter_training_after_a_longer_one_begins_afresh(paths, uninterrupted, make_params):
    stage_runs.train(make_params({"train.images": 256}), paths)
    stage_runs.train(make_params(), paths)
    assert outs(paths) == uninterrupted


@pytest.mark.parametrize("resume", [True, False])
def test_a_length_that_an_unfinished_training_is_beyond_is_refused_and_costs_nothing(
    paths, make_params, resume
):
    stage_runs.train(make_params({"train.images": 256}), paths)
    (work_folder(paths) / "finished").unlink()  # as if it had been killed near its end
    before = {state: state.read_bytes() for state in states(paths)}
    message = refusal(make_params(), paths, resume=resume)
    assert "train.images = 192: an unfinished training is at 256 images already" in message
    assert {state: state.read_bytes() for state in states(paths)} == before


def test_a_kill_before_publishing_loses_nothing(paths, uninterrupted, make_params):
    stage_runs.train(make_params({"train.images": 104}), paths)
    shutil.rmtree(paths.models)
    (work_folder(paths) / "finished").unlink()
    stage_runs.train(make_params({"train.images": 104}), paths)
    again = outs(paths)
    assert "models/snapshots/000000000104.pt" in again
    stage_runs.train(make_params(), paths)
    assert outs(paths) == uninterrupted


@pytest.mark.parametrize("share", [0, 10, 900, 999])
def test_a_damaged_state_falls_back_to_the_one_before(
    paths, uninterrupted, make_params, capfd, share
):
    stage_runs.train(make_params(), paths)
    (work_folder(paths) / "finished").unlink()
    older, newest = states(paths)
    content = newest.read_bytes()
    newest.write_bytes(content[: len(content) * share // 1000])
    (newest.parent / f".{newest.name}.99.partial").write_bytes(b"half")
    capfd.readouterr()
    stage_runs.train(make_params(), paths)
    seen = load_checkpoint(older)["origin"]["images_seen"]
    assert f"resuming at {seen} images seen" in capfd.readouterr().err
    assert outs(paths) == uninterrupted
    assert not list(newest.parent.glob(".*.partial"))


def test_with_no_whole_state_left_it_begins_afresh(paths, uninterrupted, make_params):
    stage_runs.train(make_params(), paths)
    (work_folder(paths) / "finished").unlink()
    for state in states(paths):
        state.write_bytes(b"")
    assert "no whole checkpoint is left" in refusal(make_params(), paths, resume=True)
    assert len(list(work_folder(paths).glob("state-*.pt.damaged"))) == 2
    stage_runs.train(make_params(), paths)
    assert outs(paths) == uninterrupted


def test_a_state_that_can_not_be_read_just_now_is_not_thrown_away(paths, make_params, monkeypatch):
    stage_runs.train(make_params(), paths)
    (work_folder(paths) / "finished").unlink()

    real = Path.read_bytes

    def failing(path):
        if path.name.startswith("state-"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", failing)
        assert "Input/output error" in refusal(make_params(), paths)
    assert len(states(paths)) == 2


def test_resume_with_changed_params_is_refused_naming_the_key(paths, make_params):
    stage_runs.train(make_params(), paths)
    message = refusal(make_params({"train.batch_size": 4}), paths, resume=True)
    assert "train.batch_size: 8 -> 4" in message
    assert len(list(paths.progress.iterdir())) == 1


def test_resume_on_changed_data_is_refused_naming_them(
    paths, make_params, write_cache, noise_images
):
    stage_runs.train(make_params(), paths)
    shutil.rmtree(paths.cache)
    write_cache(paths.cache, noise_images[:30])
    message = refusal(make_params(), paths, resume=True)
    assert "cache_digest: " in message
    assert "train." not in message


def test_without_resume_changed_params_begin_afresh_and_say_so(paths, make_params, capfd):
    stage_runs.train(make_params(), paths)
    stage_runs.train(make_params({"train.seed": 5}), paths)
    assert "starting afresh" in capfd.readouterr().err
    assert len(list(paths.progress.iterdir())) == 2


def test_resume_of_nothing_is_refused_and_leaves_nothing(paths, make_params):
    assert "--resume" in refusal(make_params(), paths, resume=True)
    assert not paths.progress.exists()


def test_resume_of_a_finished_training_is_refused_and_keeps_it(paths, make_params):
    stage_runs.train(make_params(), paths)
    before = states(paths)
    assert "finished" in refusal(make_params(), paths, resume=True)
    assert states(paths) == before


def test_a_training_in_use_is_refused_naming_the_process(paths, make_params):
    stage_runs.train(make_params(), paths)
    with (work_folder(paths) / "lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        message = refusal(make_params({"train.images": 256}), paths)
    assert f"process {os.getpid()} " in message


def test_a_file_in_the_way_of_an_out_is_told_before_any_work(paths, make_params):
    paths.models.write_text("in the way")
    assert "models: a file stands where a folder should be" in refusal(make_params(), paths)
    assert not paths.progress.exists()


def test_a_cache_without_training_images_is_told(tmp_path, write_cache, noise_images, make_params):
    write_cache(tmp_path / "cache", noise_images[:4], holdout=4)
    assert "no image to train on" in refusal(make_params(), Paths(tmp_path))


def test_no_cache_is_told(tmp_path, make_params):
    assert "gan preprocess" in refusal(make_params(), Paths(tmp_path))


def test_the_real_sheet_and_times_stay_out_of_the_outs(paths, make_params):
    stage_runs.train(make_params(), paths)
    assert (work_folder(paths) / "real.png").is_file()
    (log,) = (paths.logs / "runs").glob("*.json")
    assert "finished" in log.read_text()
    assert (paths.logs / "latest.png").read_bytes() == (paths.reports / "samples.png").read_bytes()


@pytest.mark.soak
def test_training_that_is_killed_again_and_again_equals_one_that_was_not(
    gan, paths, uninterrupted, write_params
):
    write_params(paths.root / "params.yaml")
    moments = (
        lambda: list(paths.progress.glob("*/lock")),
        lambda: states(paths),
        lambda: list(paths.progress.glob("*/snapshots/*000128.pt")),
    )
    for moment in moments:
        process = gan("train", wait=False)
        wait_for(moment, process)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    done = gan("train")
    assert done.returncode == 0, done.stderr
    assert outs(paths) == uninterrupted


def test_a_second_process_on_the_same_training_is_refused(gan, paths, write_params):
    write_params(paths.root / "params.yaml", {"train.images": 10_000_000})
    first = gan("train", wait=False)
    wait_for(lambda: states(paths), first)
    second = gan("train")
    assert second.returncode == 1
    assert f"process {first.pid} " in second.stderr
    assert second.stderr.count("\n") == 1
    assert first.poll() is None
