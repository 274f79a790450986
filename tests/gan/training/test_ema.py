"""The averaged generator: its half-life, its batch norm, its colours."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from gan.params.train import AverageParams
from gan.training.ema import recalibrate, update_average

FOREVER = 10**9


def update(average, network, images, seen, half_life, warm_up=0.05):
    params = AverageParams(half_life=half_life, warm_up=warm_up)
    update_average(average, network, images, seen, params)


def line(value):
    network = nn.Linear(1, 1, bias=False).double()
    nn.init.constant_(network.weight, value)
    return network


def mix(normed=False, seed=0):
    """A small generator of (N, 8) latents with batch norm, with or without spectral norm."""
    wrap = spectral_norm if normed else (lambda layer: layer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            wrap(nn.Linear(8, 128)),
            nn.Unflatten(1, (8, 4, 4)),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            wrap(nn.ConvTranspose2d(8, 4, 4, 2, 1)),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            wrap(nn.Conv2d(4, 3, 3, padding=1)),
            nn.Tanh(),
        )


def draw(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def train_network(average, network, steps=30, size=0.05):
    """Let a network wander off, with its average behind it."""
    random = torch.Generator().manual_seed(5)
    for step in range(1, steps + 1):
        with torch.no_grad():
            for parameter in network.parameters():
                drawn = torch.randn(parameter.shape, generator=random) * size
                parameter.add_(drawn.to(parameter.dtype))
        network.train()(torch.zeros(2, 8, dtype=next(network.parameters()).dtype))
        update(average, network, 16, 16 * step, 200)


def gains(network):
    """Spectral norms of the layers' weights as they are used."""
    result = []
    for layer in network:
        if hasattr(layer, "parametrizations"):
            weight = layer.weight.detach().double()
            if isinstance(layer, nn.ConvTranspose2d):
                weight = weight.transpose(0, 1)
            result.append(torch.linalg.matrix_norm(weight.flatten(1), 2).item())
    return result


@pytest.mark.parametrize(
    ("images", "seen", "half_life", "warm_up", "left"),
    [
        (1000, FOREVER, 1000, 0.05, 0.5),
        (100, 2000, 100, 0.05, 0.5),  # after the warm-up
        (10, 1000, 10**6, 0.01, 0.5 ** (10 / 10)),  # a share of the images seen
        (10, 1000, 10**6, 1.0, 0.5 ** (10 / 1000)),
        (16, 16, 10**6, 0.05, 0.5**20),  # the start is forgotten
    ],
)
def test_a_half_life_halves_the_distance(images, seen, half_life, warm_up, left):
    average, network = line(0.0), line(1.0)
    update(average, network, images, seen, half_life, warm_up)
    assert 1 - average.weight.item() == pytest.approx(left, rel=1e-9)


@pytest.mark.parametrize("warm_up", [0.05, 0.5])
def test_warming_up_the_average_forgets_as_a_power_of_the_images_seen(warm_up):
    average, network = line(0.0), line(1.0)
    for seen in range(101, 401):
        update(average, network, 1, seen, 10**6, warm_up)
    # a half-life of w t at every t: the distance falls as t^(-1/w), in units of ln 2
    expected = (400.5 / 100.5) ** -(math.log(2) / warm_up)
    assert 1 - average.weight.item() == pytest.approx(expected, rel=1e-3)


def test_recalibration_measures_the_statistics_of_the_inputs_alone():
    data = draw(6, 20, 3, 4, 4) * 3 + 7
    norm = nn.BatchNorm2d(3, momentum=0.3)
    recalibrate(norm, data + 50)
    recalibrate(norm, data)
    assert torch.allclose(norm.running_mean, data.mean((0, 1, 3, 4)), rtol=1e-5)
    variances = torch.stack([each.permute(1, 0, 2, 3).flatten(1).var(1) for each in data])
    assert torch.allclose(norm.running_var, variances.mean(0), rtol=1e-5)
    assert norm.momentum == 0.3
    assert not norm.training


def test_a_network_without_batch_norm_is_only_put_into_eval_mode():
    network = line(1.0).train()

    def none():
        raise AssertionError("asked for a batch")
        yield

    recalibrate(network, none())
    assert not network.training


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_of_the_average_have_a_spectral_norm_of_1(dtype):
    network = mix(normed=True).to(dtype)
    network.to(memory_format=torch.channels_last)
    average = copy.deepcopy(network).eval()
    train_network(average, network)
    assert max(abs(gain - 1) for gain in gains(average)) > 0.02  # or there is nothing to mend
    before = [parameter.clone() for parameter in average.parameters()]
    latents = draw(64, 8).to(dtype)
    recalibrate(average, [latents])
    precision = 1e-5 if dtype == torch.float32 else 1e-12
    assert gains(average) == pytest.approx([1, 1, 1], abs=precision)
    assert not any(module.training for module in average.modules())
    assert all(map(torch.equal, before, average.parameters()))
    # statistics are measured through the weights that will be used
    hidden = average[1](average[0](latents))
    assert torch.allclose(average[2].running_mean, hidden.mean((0, 2, 3)), atol=1e-6)


def test_singular_values_that_are_close_are_distinguished():
    layer = spectral_norm(nn.Linear(40, 60, bias=False))
    values = torch.ones(40).double()
    values[7] = 1.001
    random = torch.Generator().manual_seed(0)
    left = torch.linalg.qr(torch.randn(60, 40, generator=random).double()).Q
    right = torch.linalg.qr(torch.randn(40, 40, generator=random).double()).Q
    layer.double().parametrizations.weight.original.data = left @ values.diag() @ right.T
    recalibrate(layer, ())
    assert torch.linalg.matrix_norm(layer.weight, 2).item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("normed", [False, True])
def test_calibration_is_a_function_of_weights_and_inputs_alone_and_survives_saving(normed):
    inputs = draw(3, 16, 8).unbind()
    once, twice = mix(normed=normed), mix(normed=normed)
    recalibrate(once, inputs)
    recalibrate(twice, [each * 5 + 3 for each in inputs])
    # another network's weights, for a while
    train_network(twice, mix(normed=normed, seed=2), steps=3)
    with torch.no_grad():
        for mine, theirs in zip(twice.parameters(), once.parameters(), strict=True):
            mine.copy_(theirs)
    twice.train()(inputs[0])
    recalibrate(twice, inputs)
    for name, value in once.state_dict().items():
        assert torch.equal(value, twice.state_dict()[name]), name
    loaded = mix(normed=normed, seed=9).eval()
    loaded.load_state_dict(once.state_dict())
    assert torch.equal(loaded(inputs[0]), once(inputs[0]))
