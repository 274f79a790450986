"""Presets: params.yaml by `gan params`, and its networks."""

import json
from itertools import pairwise, product
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from gan.errors import GanError
from gan.models.interfaces import build_discriminator, build_generator
from gan.params.file import load_params, parse_text
from pipeline.housekeeping.presets import PRESETS, compose, names, show, write

REPOSITORY = Path(__file__).resolve().parents[3]
SHIPPED = REPOSITORY / "params.yaml"
NAMES = ["dcgan_bce_96", "demo", "torchgan_wgan_gp_32"]
SYSTEMS = [name for name in NAMES if name != "demo"]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def text():
    """text("dcgan_bce_96"): the shipped params.yaml with that preset."""
    texts = {name: compose(name, SHIPPED) for name in NAMES}
    return texts.__getitem__


@pytest.fixture(scope="module")
def params(text):
    return lambda name: parse_text(text(name), "test")


def networks_of(params):
    """Generator and discriminator."""
    side = params.preprocess.size
    critic = build_discriminator(params.model, params.train.recipe, side)
    return build_generator(params.model, side), critic


def assert_same(network, plain, inputs):
    """Compare weights and function with those of a network written in plain torch."""
    weights = list(plain.parameters())
    assert [tensor.shape for tensor in network.parameters()] == [w.shape for w in weights]
    with torch.no_grad():
        for tensor, weight in zip(network.parameters(), weights, strict=True):
            tensor.copy_(weight.normal_(0, 0.05))
    outputs = network.train()(inputs)
    torch.testing.assert_close(outputs, plain.train()(inputs).view_as(outputs))


def plain_generator(widths, side, activation, *, bias, norm):
    """A DCGAN generator in plain torch, from widths[0] channels of side x side pixels on."""
    layers = [nn.Linear(100, widths[0] * side**2, bias=bias), nn.Unflatten(1, (-1, side, side))]
    layers += [nn.BatchNorm2d(widths[0]), activation] if norm else []
    for outer, inner in pairwise(widths):
        up = nn.ConvTranspose2d(outer, inner, 4, stride=2, padding=1, bias=False)
        layers += [up, nn.BatchNorm2d(inner), activation]
    last = nn.ConvTranspose2d(widths[-1], 3, 4, stride=2, padding=1)
    return nn.Sequential(*layers, last, nn.Tanh())


def plain_discriminator(widths, side, *, norm):
    """A DCGAN discriminator in plain torch, whose last picture has side x side pixels."""
    layers = []
    for outer, inner in pairwise([3, *widths]):
        down = nn.Conv2d(outer, inner, 4, stride=2, padding=1, bias=not norm)
        layers += [down, *([nn.BatchNorm2d(inner)] if norm else []), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * side**2, 1))


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_output_is_the_file_but_for_keys_and_comments_of_the_preset(text, name):
    def comments(of):
        return [line.partition("#")[2].strip() for line in of.splitlines() if "#" in line]

    shipped, own = SHIPPED.read_text(), (PRESETS / f"{name}.yaml").read_text()
    kept, _, rest = shipped.split("\n", 1)[1].partition("\nmodel:")  # without demo's title
    rest = rest[rest.index("\nfeatures:") :]
    found, of_preset = comments(text(name)), comments(own)
    assert of_preset[0].startswith(f"{name}: ")
    head = of_preset[: found.index(comments(kept)[0])]
    assert found == head + comments(kept) + of_preset[len(head) :] + comments(rest)

    before, after, preset = (yaml.safe_load(each) for each in (shipped, text(name), own))
    expected = before | {"model": preset["model"], "train": preset["train"]}
    expected["preprocess"]["size"] = int(name.rpartition("_")[2])
    for section in ("faces", "filters"):
        expected["preprocess"][section] |= preset["preprocess"][section]
    assert after == expected
    assert list(after) == list(before)


def test_the_preset_demo_is_the_shipped_file():
    assert compose("demo", SHIPPED) == SHIPPED.read_text() == (PRESETS / "demo.yaml").read_text()


def test_a_preset_replaces_another_one_whole(text, tmp_path):
    file = tmp_path / "params.yaml"
    for before, name in product(NAMES, NAMES):
        write(text(before), file)
        assert compose(name, file) == text(name)
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("name", SYSTEMS)
def test_filters_and_intervals_follow_size_and_length(params, name):
    shipped, made = load_params(SHIPPED).preprocess, params(name).preprocess
    scale = made.size / shipped.size
    assert made.filters.min_side == shipped.filters.min_side * scale
    assert made.faces.min_side == pytest.approx(shipped.faces.min_side * scale, abs=0.5)
    sharper = made.filters.min_sharpness - shipped.filters.min_sharpness
    assert sharper * (made.size - shipped.size) <= 0
    assert (sharper == 0) == (made.size == shipped.size)
    train = params(name).train
    step = train.images_per_step
    intervals = [train.log_every, train.grid_every, train.snapshot_every, train.images]
    assert [interval % step for interval in [*intervals, train.checkpoint_every]] == [0] * 5
    assert intervals == sorted(intervals)
    assert train.images == 10 * train.snapshot_every
    assert train.checkpoint_every <= train.images / 20


def test_dcgan_and_torchgan_have_their_networks_and_wgan_gp_no_batch_norm_in_the_critic(params):
    generator, critic = networks_of(params("torchgan_wgan_gp_32"))
    plain = plain_generator([128, 64, 32], 4, nn.LeakyReLU(0.2), bias=False, norm=True)
    assert_same(generator, plain, torch.randn(4, 100))
    plain = plain_discriminator([32, 64, 128], 4, norm=False)
    assert_same(critic, plain, torch.randn(2, 3, 32, 32))
    assert not critic.uses_batch_statistics

    generator, discriminator = networks_of(params("dcgan_bce_96"))
    plain = plain_generator([512, 256, 128, 64], 6, nn.ReLU(), bias=True, norm=False)
    assert_same(generator, plain, torch.randn(2, 100))
    plain = plain_discriminator([32, 64, 128, 256], 6, norm=True)
    assert_same(discriminator, plain, torch.randn(2, 3, 96, 96))
    assert discriminator.uses_batch_statistics


def test_the_list_has_a_line_for_each_preset(capsys):
    show()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == names() == NAMES
    assert all(len(line) < 100 and "#" not in line for line in lines)


def test_an_unknown_preset_and_invalid_values_in_other_sections_are_named(tmp_path):
    for name in ("../params", ""):
        with pytest.raises(GanError, match=", ".join(NAMES)):
            compose(name, SHIPPED)
    file = tmp_path / "params.yaml"
    file.write_text(SHIPPED.read_text().replace("holdout: 0.1 ", "holdout: 1.5 "))
    with pytest.raises(GanError, match=r"dcgan_bce_96: preprocess.holdout = "):
        compose("dcgan_bce_96", file)


def test_invalid_values_in_replaced_sections_do_not_matter(tmp_path, text):
    file = tmp_path / "params.yaml"
    before, _, rest = SHIPPED.read_text().partition("\nmodel:")
    old = "\nmodel:\n  generator_width: 24\n\ntrain:\n  bce: {betas: [0.5, 0.9]}\n"
    file.write_text(before + old + rest[rest.index("\nfeatures:") :])
    assert yaml.safe_load(compose("dcgan_bce_96", file)) == yaml.safe_load(text("dcgan_bce_96"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "params.yaml: empty"),
        ("- 1\n", "model is not on lines of its own"),
        ("a: 1\n", "model is not on lines of its own; `gan params --update` writes"),
        (json.dumps(yaml.safe_load(SHIPPED.read_text())), "train is not on lines of its own"),
    ],
)
def test_an_invalid_file_is_refused(tmp_path, content, message):
    file = tmp_path / "params.yaml"
    file.write_text(content)
    with pytest.raises(GanError, match=message) as caught:
        compose("dcgan_bce_96", file)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_the_command_prints_a_preset_and_refuses_in_one_line(gan, text):
    shipped = ("--params", SHIPPED)
    assert gan("params", "--preset", "dcgan_bce_96", *shipped).stdout == text("dcgan_bce_96")
    for arguments in (["--preset", "foo", *shipped], ["--out", "x"]):
        done = gan("params", *arguments)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert done.stderr.startswith("gan: ")
