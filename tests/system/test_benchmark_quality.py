"""benchmarks/quality.py: its clock, PyTorch's DCGAN example, figures, refusals, a tiny contest."""

import copy
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_trainings import run_steps
from torch.nn.functional import softplus

from pipeline.gallery.painter import paint

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
RECIPES = ["ours", "textbook", *(["torchgan"] if find_spec("torchgan") else [])]
METRICS = {"fd", "kd", "precision", "recall", "density", "coverage"}
METRICS = {*(f"{name}_lite0" for name in METRICS), "swd", "spectrum"}


@pytest.fixture(autouse=True)
def _benchmarks_can_be_imported(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if str(BENCHMARKS) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]


@pytest.fixture(scope="module")
def cache(tmp_path_factory, write_cache):
    """144 drawn faces of 32 pixels, 16 of them held out."""
    faces = np.stack([np.asarray(paint(seed, 32)) for seed in range(144)])
    return write_cache(tmp_path_factory.mktemp("quality") / "cache", faces, holdout=16)


def test_the_textbook_s_networks_are_those_of_pytorch_s_example():
    from peers.textbook import Training

    training = Training(64, 64, "bce", edge_bias=False)
    maker, critic = training.maker, training.critic
    assert _kernels(maker) == [
        (100, 512, 4, 4), (512, 256, 4, 4), (256, 128, 4, 4), (128, 64, 4, 4), (64, 3, 4, 4)
    ]  # fmt: skip
    assert _kernels(critic) == [
        (64, 3, 4, 4), (128, 64, 4, 4), (256, 128, 4, 4), (512, 256, 4, 4), (1, 512, 4, 4)
    ]  # fmt: skip
    sizes = [sum(each.numel() for each in network.parameters()) for network in (maker, critic)]
    assert sizes == [3_576_704, 2_765_568]  # as PyTorch's tutorial and example have them
    kernels = torch.cat(
        [each.detach().flatten() for each in critic.parameters() if each.ndim == 4]
    )
    assert float(kernels.mean()) == pytest.approx(0, abs=1e-4)
    assert float(kernels.std()) == pytest.approx(0.02, rel=0.01)
    for optimiser in (training.makers, training.critics):
        (group,) = optimiser.param_groups
        assert (group["lr"], group["betas"]) == (2e-4, (0.5, 0.999))
    assert tuple(maker(torch.randn(2, 100, 1, 1)).shape) == (2, 3, 64, 64)


def _kernels(network):
    return [tuple(each.shape) for each in network.parameters() if each.ndim == 4]


def assert_adam_s_first_step(network, stepped):
    """It is the learning rate, against the sign of the gradient."""
    for before, after in zip(network.parameters(), stepped.parameters(), strict=True):
        clear = before.grad.abs() > 1e-4
        moved = (before - after).detach()[clear]
        torch.testing.assert_close(moved, 2e-4 * before.grad.sign()[clear], rtol=2e-3, atol=1e-7)


def test_a_step_of_the_textbook_is_that_of_pytorch_s_example():
    from peers.textbook import Training

    torch.manual_seed(1)
    training = Training(32, 8, "bce", edge_bias=False)
    maker, critic = copy.deepcopy(training.maker), copy.deepcopy(training.critic)
    real = torch.rand(8, 3, 32, 32) * 2 - 1
    state = torch.get_rng_state()
    fake = maker(torch.randn(8, 100, 1, 1))
    loss = softplus(-critic(real)).mean() + softplus(critic(fake.detach())).mean()
    loss.backward()
    torch.set_rng_state(state)
    of_critic, of_maker = training.step(real)
    assert float(of_critic) == pytest.approx(loss.item(), rel=1e-5)
    assert_adam_s_first_step(critic, training.critic)
    critic.load_state_dict(training.critic.state_dict())
    # the maker learns from the same fakes, judged by the critic as it is now
    against = softplus(-critic(fake)).mean()
    against.backward()
    assert float(of_maker) == pytest.approx(against.item(), rel=1e-5)
    assert_adam_s_first_step(maker, training.maker)


def test_ours_trains_as_the_engine_does(cache, make_params):
    from by_clock import Ours

    class ThreeSteps:
        images = 0

        def tick(self):
            return self.images < 3 * params.train.images_per_step

    params = make_params({"train.device": "cpu", "train.precision": "float32"})
    ours, clock = Ours({"params": params.model_dump(), "cache": str(cache)}), ThreeSteps()
    ours.train(clock)
    expected = run_steps(params, np.load(cache / "images.npy")[:128], 3)
    assert clock.images == 3 * params.train.images_per_step
    for one, other in zip(
        ours.generator().parameters(), expected.averaged.parameters(), strict=True
    ):
        assert torch.equal(one, other)


def test_the_clock_stands_while_fakes_are_drawn(monkeypatch):
    import by_clock

    now, drawn = [100.0], []
    monkeypatch.setattr(by_clock.time, "perf_counter", lambda: now[0])

    def draw():
        drawn.append(clock.images)
        now[0] += 1000

    def reach():
        now[0] += 0.25  # batch norms are measured
        return draw

    clock = by_clock.Clock([2.0, 5.0], reach)
    steps = 0
    while clock.tick():
        now[0] += 1
        clock.images += 8
        steps += 1
    assert drawn == [16, 40]
    assert clock.reached == [(2.25, 16), (5.5, 40)]
    assert steps == 5


def test_batches_begin_again_until_the_time_is_up():
    from by_clock import Endless

    class Loader(list):
        batch_size = 4

    class Clock:
        images = 0

        def tick(self):
            return self.images < 20

    clock = Clock()
    batches = Endless(Loader([(torch.zeros(4), "a"), (torch.zeros(4), "b")]), clock)
    assert [label for _, label in batches] == ["a", "b", "a", "b", "a"]
    assert (clock.images, batches.batch_size) == (20, 4)


def test_means_are_over_seeds_and_ratios_of_the_means_at_the_end():
    from quality import means_of, ratios_of

    rows = [
        {"recipe": recipe, "seed": seed, "minutes": minutes, "images": 10 * seed, "fd_lite0": fd}
        for recipe, seed, minutes, fd in (
            ("ours", 1, 1, 9.0), ("ours", 1, 2, 3.0), ("textbook", 1, 1, 9.0),
            ("textbook", 1, 2, 6.0), ("ours", 2, 1, 5.0), ("ours", 2, 2, 1.0),
            ("textbook", 2, 1, 9.0), ("textbook", 2, 2, 10.0),
        )
    ]  # fmt: skip
    means = means_of(rows)
    assert means[1] == {"recipe": "ours", "seeds": 2, "minutes": 2, "images": 15, "fd_lite0": 2.0}
    assert ratios_of(means, 2) == {"ours/textbook": {"images": 1.0, "fd_lite0": 0.25}}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--cache", "nowhere"], "nowhere: no tensor cache"),
        (["--threads", "0"], "--threads 0"),
        (["--threads", "9999"], "--threads 9999"),
        (["--marks", "3,1"], "--marks"),
        (["--marks", "11"], "--marks"),
        (["--recipes", "ours,theirs"], "--recipes theirs"),
        (["--fakes", "2"], "--fakes 2"),
        (["--set", "train.batch_size"], "--set train.batch_size"),
        (["--set", "train.batch.size=3"], "--set train.batch.size=3"),
        (["--set", "train.batch_size=1"], "train.batch_size = 1"),
        (["--recipes", "torchgan"], "pip install --no-deps torchgan=="),
    ],
)
def test_what_can_t_be_done_is_refused_in_one_line(cache, arguments, words, monkeypatch):
    assert words in _refusal(["--cache", str(cache), "--recipes", "ours", *arguments], monkeypatch)


def test_a_cache_without_hold_out_or_with_few_images_is_refused(
    tmp_path, write_cache, noise_images, monkeypatch
):
    bare = write_cache(tmp_path / "bare", noise_images)
    assert "preprocess.holdout" in _refusal(["--cache", str(bare)], monkeypatch)
    few = write_cache(tmp_path / "few", noise_images, holdout=10)
    both = ["--cache", str(few), "--recipes", "ours,textbook"]
    assert "40 training images" in _refusal(both, monkeypatch)


def _refusal(arguments, monkeypatch):
    import quality

    monkeypatch.setattr(quality, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["quality.py", *arguments])
    with pytest.raises(SystemExit) as stopped:
        quality.main()
    assert "\n" not in str(stopped.value)
    return str(stopped.value)


@pytest.mark.slow
def test_a_tiny_contest_can_be_repeated_without_training_again(cache, tmp_path, write_params):
    params = write_params(tmp_path / "params.yaml")
    _, result = _contest(cache, params, tmp_path)
    assert [(row["recipe"], row["minutes"]) for row in result["rows"]] == [
        (recipe, minutes) for recipe in RECIPES for minutes in (0.01, 0.03)
    ]
    for row in result["rows"]:
        assert set(row) > METRICS
        assert row["images"] > 0
        assert row["seconds"] >= 60 * row["minutes"]
    assert set(result["ratios"]) == {f"ours/{peer}" for peer in RECIPES[1:]}
    fd = {row["recipe"]: row["fd_lite0"] for row in result["means"] if row["minutes"] == 0.03}
    assert result["ratios"]["ours/textbook"]["fd_lite0"] == pytest.approx(
        fd["ours"] / fd["textbook"], rel=1e-3
    )
    out = tmp_path / "out"
    assert json.loads((out / "results.json").read_text()) == result
    assert (out / "curves.svg").read_text().count("<polyline") == len(RECIPES)
    sizes = {Image.open(out / f"{recipe}-1.png").size for recipe in RECIPES}
    assert sizes == {(8 * 34 - 2, 2 * 34 - 2)}  # 16 fakes

    (out / "textbook-1.json").unlink()  # as if it had been stopped there
    lines, again = _contest(cache, params, tmp_path)
    assert ["left out" in line for line in lines[: len(RECIPES)]] == [
        recipe != "textbook" for recipe in RECIPES
    ]
    assert again["rows"][:2] == result["rows"][:2]
    assert again["rows"][4:] == result["rows"][4:]

    other = _start(cache, params, tmp_path, "--set", "train.batch_size=9")
    assert other.returncode == 1
    assert "ours-1.json: made with other settings" in other.stderr


def _contest(cache, params, folder):
    """The lines of a contest, and its result."""
    done = _start(cache, params, folder)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    return lines, json.loads(lines[-1])


def _start(cache, params, folder, *more):
    command = [sys.executable, str(BENCHMARKS / "quality.py"), "--cache", str(cache)]
    command += ["--params", str(params), "--out", str(folder / "out"), "--threads", "1"]
    command += ["--minutes", "0.03", "--marks", "0.01", "--fakes", "16"]
    command += ["--recipes", ",".join(RECIPES), *more]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)
