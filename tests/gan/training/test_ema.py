"""The averaged generator: its half-life, its batch norm, its colours."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from gan.training.ema import recalibrate, update_average

WARM_UP = 0.05


def line(value):
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, value)
    return network


def gap(average, network):
    return (network.weight - average.weight).abs().item()


def mix(norm=nn.BatchNorm2d, normed=False, width=8, seed=0):
    """A small generator of (N, 8) latents with this norm, with or without spectral norm."""
    wrap = spectral_norm if normed else (lambda layer: layer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            wrap(nn.Linear(8, width * 16)),
            nn.Unflatten(1, (width, 4, 4)),
            norm(width),
            nn.ReLU(),
            wrap(nn.ConvTranspose2d(width, width // 2, 4, 2, 1)),
            norm(width // 2),
            nn.ReLU(),
            wrap(nn.Conv2d(width // 2, 3, 3, padding=1)),
            nn.Tanh(),
        )


NORMS = {
    "batch": nn.BatchNorm2d,
    "instance": lambda channels: nn.InstanceNorm2d(channels, affine=True),
    "group": lambda channels: nn.GroupNorm(1, channels),
    "none": lambda _: nn.Identity(),
}


def train_network(average, network, steps=30, size=0.05, half_life=200):
    """Let a network wander off, with its average behind it."""
    random = torch.Generator().manual_seed(5)
    for step in range(1, steps + 1):
        with torch.no_grad():
            for parameter in network.parameters():
                drawn = torch.randn(parameter.shape, generator=random) * size
                parameter.add_(drawn.to(parameter.dtype))
        network.train()(torch.zeros(2, 8, dtype=next(network.parameters()).dtype))
        update_average(average, network, 16, 16 * step, half_life, WARM_UP)


def gains(network):
    """Spectral norms of the layers' weights as they are used."""
    layers = [each for each in network if hasattr(each, "parametrizations")]
    result = []
    for layer in layers:
        weight = layer.weight.detach().double()
        if isinstance(layer, nn.ConvTranspose2d):
            weight = weight.transpose(0, 1)
        result.append(torch.linalg.matrix_norm(weight.flatten(1), 2).item())
    return result


def test_a_half_life_halves_the_distance():
    average, network = line(0.0), line(1.0)
    update_average(average, network, 1000, 10**9, 1000, WARM_UP)
    assert gap(average, network) == pytest.approx(0.5, rel=1e-6)


@pytest.mark.parametrize("images", [10, 100])
def test_the_distance_depends_on_images_not_on_batches(images):
    average, network = line(0.0), line(1.0)
    for _ in range(2000 // images):
        update_average(average, network, images, 10**9, 1000, WARM_UP)
    assert gap(average, network) == pytest.approx(0.25, rel=1e-4)


@pytest.mark.parametrize("warm_up", [0.01, 0.05, 1.0])
def test_at_the_start_the_half_life_is_a_share_of_the_images_seen(warm_up):
    average, network = line(0.0), line(1.0)
    update_average(average, network, 10, 1000, 10**6, warm_up)
    assert gap(average, network) == pytest.approx(0.5 ** (10 / (1000 * warm_up)), rel=1e-6)


@pytest.mark.parametrize("warm_up", [0.05, 0.5])
def test_warming_up_the_average_forgets_as_a_power_of_the_images_seen(warm_up):
    average, network = line(0.0).double(), line(1.0).double()
    for seen in range(101, 401):
        update_average(average, network, 1, seen, 10**6, warm_up)
    # a half-life of w t at every t: the distance falls as t^(-1/w), in units of ln 2
    exponent = math.log(2) / warm_up
    expected = (400.5 / 100.5) ** -exponent
    assert gap(average, network) == pytest.approx(expected, rel=1e-3)


def test_after_the_warm_up_the_half_life_is_its_own():
    average, network = line(0.0), line(1.0)
    update_average(average, network, 100, 2000, 100, 0.05)
    assert gap(average, network) == pytest.approx(0.5, rel=1e-6)


def test_the_first_update_forgets_the_start():
    average, network = line(0.0), line(1.0)
    update_average(average, network, 16, 16, 10**6, WARM_UP)
    assert gap(average, network) < 1e-5


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("normed", [False, True])
def test_the_average_converges_to_a_network_that_stands_still(normed, dtype, layout):
    average, network = mix(normed=normed), mix(normed=normed, seed=1)
    for each in (average, network):
        each.to(dtype=dtype, memory_format=layout)
    assert not torch.allclose(average[4].bias, network[4].bias)
    for step in range(1, 200):
        update_average(average, network, 10, step * 10, 50, WARM_UP)
    for mine, theirs in zip(average.parameters(), network.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)


def test_buffers_of_the_average_are_its_own():
    average, network = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    network.running_mean.fill_(5.0)
    update_average(average, network, 10, 10, 50, WARM_UP)
    assert not average.running_mean.any()


def test_recalibration_measures_the_statistics_of_the_inputs():
    data = torch.randn(6, 20, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 3 + 7
    norm = nn.BatchNorm2d(3, momentum=0.3)
    norm.running_mean.fill_(100.0)
    recalibrate(norm, data)
    assert torch.allclose(norm.running_mean, data.mean((0, 1, 3, 4)), rtol=1e-5)
    variances = torch.stack([each.permute(1, 0, 2, 3).flatten(1).var(1) for each in data])
    assert torch.allclose(norm.running_var, variances.mean(0), rtol=1e-5)
    assert norm.momentum == 0.3
    assert not norm.training


def test_recalibration_forgets_what_was_measured_before():
    data = torch.randn(4, 20, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    once, twice = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    recalibrate(once, data)
    recalibrate(twice, data + 50)
    recalibrate(twice, data)
    assert torch.equal(once.running_mean, twice.running_mean)
    assert torch.equal(once.running_var, twice.running_var)


def test_recalibration_leaves_parameters_alone():
    generator = mix(normed=True)
    before = [parameter.clone() for parameter in generator.parameters()]
    recalibrate(generator, torch.randn(3, 16, 8).unbind())
    assert all(map(torch.equal, before, generator.parameters()))


def test_a_network_without_batch_norm_is_only_put_into_eval_mode():
    network = line(1.0).train()

    def none():
        raise AssertionError("asked for a batch")
        yield

    recalibrate(network, none())
    assert not network.training


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_of_the_average_have_a_spectral_norm_of_1(norm, dtype):
    network = mix(NORMS[norm], normed=True).to(dtype)
    network.to(memory_format=torch.channels_last)
    average = copy.deepcopy(network).eval()
    train_network(average, network)
    assert max(abs(gain - 1) for gain in gains(average)) > 0.02  # or there is nothing to mend
    recalibrate(average, torch.randn(2, 16, 8, dtype=dtype).unbind())
    precision = 1e-5 if dtype == torch.float32 else 1e-12
    assert gains(average) == pytest.approx([1, 1, 1], abs=precision)
    assert not any(module.training for module in average.modules())


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
def test_calibration_is_a_function_of_weights_and_inputs_alone(normed):
    inputs = torch.randn(3, 16, 8, generator=torch.Generator().manual_seed(0)).unbind()
    once, twice = mix(normed=normed), mix(normed=normed)
    recalibrate(once, inputs)
    recalibrate(twice, [each * 5 + 3 for each in inputs])
    train_network(
        twice, mix(normed=normed, seed=2), steps=3
    )  # another network's weights, for a while
    with torch.no_grad():
        for mine, theirs in zip(twice.parameters(), once.parameters(), strict=True):
            mine.copy_(theirs)
    twice.train()(inputs[0])
    recalibrate(twice, inputs)
    for name, value in once.state_dict().items():
        assert torch.equal(value, twice.state_dict()[name]), name


def test_the_averages_singular_vectors_survive_saving():
    network, latents = mix(normed=True), torch.randn(4, 8)
    average = copy.deepcopy(network)
    train_network(average, network)
    recalibrate(average, torch.randn(2, 16, 8).unbind())
    loaded = mix(normed=True, seed=9).eval()
    loaded.load_state_dict(average.state_dict())
    assert torch.equal(loaded(latents), average(latents))


def test_statistics_are_measured_through_the_weights_that_will_be_used():
    network = mix(normed=True)
    average = copy.deepcopy(network)
    train_network(average, network)
    latents = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    recalibrate(average, [latents])
    hidden = average[1](average[0](latents))
    assert torch.allclose(average[2].running_mean, hidden.mean((0, 2, 3)), atol=1e-6)


def test_dropout_is_off_while_statistics_are_measured():
    network = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(4))
    recalibrate(network, [torch.ones(32, 4)])
    assert torch.equal(network[1].running_mean, torch.ones(4))


def test_colours_of_the_average_are_those_of_its_weights_on_a_batch():
    random = torch.Generator().manual_seed(0)
    network, average = mix(width=16), mix(width=16, seed=1)
    # running statistics that belong to very different weights, as late in a training
    for norm in (module for module in average.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.running_mean.fill_(0.5)
        norm.running_var.fill_(4.0)
    for step in range(1, 50):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=random) * 0.02)
        update_average(average, network, 16, 16 * step, 200, WARM_UP)
    latents = torch.randn(512, 8, generator=random)
    fresh = torch.randn(512, 8, generator=random)
    recalibrate(average, latents.split(64))
    with torch.no_grad():
        calibrated = average(fresh).mean((0, 2, 3))
        average.train()
        expected = average(fresh).mean((0, 2, 3))
    assert torch.allclose(calibrated, expected, atol=0.01)
