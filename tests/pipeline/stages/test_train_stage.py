"""The train stage: lengths, damaged states, resuming, locks and refusals."""

import errno
import fcntl
import os
import shutil
from pathlib import Path

import pytest
import torch
from tiny_trainings import ANTIALIASED
from train_checkouts import new_checkout, outs, seen_by, states, work_folder

from gan.checkpoints import load_checkpoint, load_generator
from gan.errors import GanError
from pipeline.paths import Paths
from pipeline.tracking import stage_runs

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_tracker")]


@pytest.fixture
def paths(tmp_path, train_cache):
    return new_checkout(tmp_path, train_cache)


@pytest.fixture
def trained(undisturbed, tmp_path):
    """A copy of it."""
    return Paths(shutil.copytree(undisturbed.root, tmp_path / "trained"))


@pytest.fixture
def unfinished(trained):
    """The same as if it had been killed near its end."""
    (work_folder(trained) / "finished").unlink()
    return trained


def refusal(params, paths, **options):
    with pytest.raises(GanError) as caught:
        stage_runs.train(params, paths, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_outs_are_those_that_dvc_names_and_the_rest_stays_outside(undisturbed):
    found, work = outs(undisturbed), work_folder(undisturbed)
    names = [f"models/snapshots/{seen:012d}.pt" for seen in (64, 128, 192)]
    expected = ["models/final.pt", *names, "reports/losses.tsv", "reports/samples.png"]
    assert sorted(found) == expected
    lines = found["reports/losses.tsv"].decode().splitlines()
    assert lines[0].split("\t")[0] == "images_seen"
    assert [int(line.split("\t")[0]) for line in lines[1:]] == list(range(16, 193, 16))
    assert (work / "real.png").is_file()
    latest = undisturbed.logs / "latest.png"
    assert latest.read_bytes() == found["reports/samples.png"]


def test_a_finished_training_that_is_asked_for_again_runs_again(trained, undisturbed, make_params):
    shutil.rmtree(trained.models)
    shutil.rmtree(trained.reports)
    states(trained)[0].unlink()
    stage_runs.train(make_params({"train.keep_checkpoints": 4}), trained)
    assert [seen_by(state) for state in states(trained)] == [96, 128, 160, 192]
    assert outs(trained) == outs(undisturbed)


def test_a_longer_training_goes_on_and_a_shorter_one_begins_afresh(
    trained, paths, undisturbed, make_params, capfd
):
    longer = make_params({"train.images": 256, "train.recipes.bce.critic_steps": 3})
    stage_runs.train(longer, trained)
    assert "resuming at 192 images seen" in capfd.readouterr().err
    stage_runs.train(make_params({"train.images": 256}), paths)
    assert outs(trained) == outs(paths)
    stage_runs.train(make_params(), trained)
    assert outs(trained) == outs(undisturbed)


def test_a_longer_training_whose_learning_rate_falls_begins_afresh_and_says_so(
    trained, paths, make_params, capfd
):
    falling = {"train.recipes.hinge.generator.schedule.shape": "linear", "train.images": 128}
    stage_runs.train(make_params(falling), trained)
    assert "a larger train.images trains a longer one from its start" in refusal(
        make_params(falling), trained, resume=True
    )
    longer = make_params(falling | {"train.images": 160})
    message = refusal(longer, trained, resume=True)
    assert "train.images: 128 -> 160" in message
    assert "unfinished" not in message
    capfd.readouterr()
    stage_runs.train(longer, trained)
    told = capfd.readouterr().err
    assert "starting afresh: the nearest earlier training differs in train.images: 128 ->" in told
    assert "every length is another training" in told
    stage_runs.train(longer, paths)
    assert outs(trained) == outs(paths)


@pytest.mark.parametrize("resume", [True, False])
def test_a_length_that_an_unfinished_training_is_beyond_is_refused_and_costs_nothing(
    unfinished, make_params, resume
):
    before = {state: state.read_bytes() for state in states(unfinished)}
    message = refusal(make_params({"train.images": 128}), unfinished, resume=resume)
    assert "train.images = 128: an unfinished training is at 192 images already" in message
    assert {state: state.read_bytes() for state in states(unfinished)} == before


def test_a_kill_before_publishing_loses_nothing(paths, undisturbed, make_params):
    for _ in range(2):
        stage_runs.train(make_params({"train.images": 104}), paths)
        assert "models/snapshots/000000000104.pt" in outs(paths)
        shutil.rmtree(paths.models)
        (work_folder(paths) / "finished").unlink()
    half = work_folder(paths) / "snapshots" / ".000000000064.pt.99.partial"
    half.write_bytes(b"half")
    stage_runs.train(make_params(), paths)
    assert outs(paths) == outs(undisturbed)


@pytest.mark.parametrize("kept", [0, 0.9, 1])
def test_a_damaged_state_is_told_and_the_one_before_is_used(
    unfinished, undisturbed, make_params, capfd, kept
):
    older, newest = states(unfinished)
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1  # else what is whole would be undamaged
    newest.write_bytes(content[: int(len(content) * kept)])
    (newest.parent / f".{newest.name}.99.partial").write_bytes(b"half")
    capfd.readouterr()
    stage_runs.train(make_params(), unfinished)
    told = capfd.readouterr().err
    assert f"warning: {newest}" in told
    assert f"resuming at {seen_by(older)} images seen" in told
    assert outs(unfinished) == outs(undisturbed)
    assert not list(newest.parent.glob(".*.partial"))


def test_with_no_whole_state_left_it_begins_afresh(unfinished, undisturbed, make_params):
    for state in states(unfinished):
        state.write_bytes(b"")
    assert "no whole checkpoint is left" in refusal(make_params(), unfinished, resume=True)
    assert len(list(work_folder(unfinished).glob("state-*.pt.damaged"))) == 2
    stage_runs.train(make_params(), unfinished)
    assert outs(unfinished) == outs(undisturbed)


def test_a_state_that_can_not_be_read_just_now_is_not_thrown_away(
    unfinished, make_params, monkeypatch
):
    real = Path.read_bytes

    def failing(path):
        if path.name.startswith("state-"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", failing)
    assert "Input/output error" in refusal(make_params(), unfinished)
    assert len(states(unfinished)) == 2


def test_resume_is_refused_naming_what_differs(trained, make_params, write_cache, noise_images):
    before = states(trained)
    assert "finished" in refusal(make_params(), trained, resume=True)
    changed = make_params({"train.batch_size": 4})
    assert "train.batch_size: 8 -> 4" in refusal(changed, trained, resume=True)
    shutil.rmtree(trained.cache)
    write_cache(trained.cache, noise_images[:30])
    message = refusal(make_params(), trained, resume=True)
    assert "cache_digest: " in message
    assert "train." not in message
    assert states(trained) == before


def test_without_resume_changed_params_begin_afresh_and_say_so(trained, make_params, capfd):
    stage_runs.train(make_params({"train.seed": 5}), trained)
    assert "starting afresh" in capfd.readouterr().err
    assert len(list(trained.progress.iterdir())) == 2


def test_a_training_in_use_is_refused_naming_the_process(trained, make_params):
    with (work_folder(trained) / "lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        message = refusal(make_params({"train.images": 256}), trained)
    assert f"process {os.getpid()} " in message


def test_what_is_in_the_way_is_told_before_any_work(
    paths, tmp_path, make_params, write_cache, noise_images
):
    assert "--resume" in refusal(make_params(), paths, resume=True)
    paths.models.write_text("in the way")
    assert "models: a file stands where a folder should be" in refusal(make_params(), paths)
    assert not paths.progress.exists()
    write_cache(tmp_path / "empty" / "cache", noise_images[:4], holdout=4)
    assert "no image to train on" in refusal(make_params(), Paths(tmp_path / "empty"))
    assert "gan preprocess" in refusal(make_params(), Paths(tmp_path / "nothing"))


def test_the_antialiased_family_trains_and_begins_with_its_own_weights(
    paths, make_params, tmp_path, train_cache
):
    stage_runs.train(make_params(ANTIALIASED | {"train.images": 64}), paths)
    final = paths.models / "final.pt"
    generator, _ = load_generator(final)
    measured = generator.project_mean.clone()
    generator.measure_mean()
    assert torch.equal(measured, generator.project_mean)
    assert measured.any()
    begin = {"train.init_from": str(final), "train.images": 16}
    other = new_checkout(tmp_path / "other", train_cache)
    dcgan = make_params(begin | {"model.generator.family": "dcgan"})
    assert "model.generator.family: antialiased -> dcgan" in refusal(dcgan, other)
    stage_runs.train(make_params(ANTIALIASED | begin), other)
    assert load_checkpoint(other.models / "final.pt")["origin"]["images_seen"] == 16
