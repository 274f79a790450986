"""The averaged generator: its half-life, its batch norm, its colours."""

import pytest
import torch
from torch import nn

from gan.ema import WARM_UP, recalibrate, update_average
from gan.models.dcgan import Generator, initialise


def line(value):
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, value)
    return network


def gap(average, network):
    return (network.weight - average.weight).abs().item()


def test_a_half_life_halves_the_distance():
    average, network = line(0.0), line(1.0)
    update_average(average, network, 1000, 10**9, 1000)
    assert gap(average, network) == pytest.approx(0.5, rel=1e-6)


@pytest.mark.parametrize("images", [10, 100])
def test_the_distance_depends_on_images_not_on_batches(images):
    average, network = line(0.0), line(1.0)
    for _ in range(2000 // images):
        update_average(average, network, images, 10**9, 1000)
    assert gap(average, network) == pytest.approx(0.25, rel=1e-4)


def test_at_the_start_the_half_life_is_a_share_of_the_images_seen():
    average, network = line(0.0), line(1.0)
    update_average(average, network, 10, 1000, 10**6)
    assert gap(average, network) == pytest.approx(0.5 ** (10 / (1000 * WARM_UP)), rel=1e-6)


def test_the_first_update_forgets_the_start():
    average, network = line(0.0), line(1.0)
    update_average(average, network, 16, 16, 10**6)
    assert gap(average, network) < 1e-5


def test_the_average_converges_to_a_network_that_stands_still():
    average, network = Generator(8, 32, 4), Generator(8, 32, 4)
    for step in range(1, 200):
        update_average(average, network, 10, step * 10, 50)
    for mine, theirs in zip(average.parameters(), network.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)


def test_buffers_of_the_average_are_its_own():
    average, network = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    network.running_mean.fill_(5.0)
    update_average(average, network, 10, 10, 50)
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
    generator = Generator(8, 32, 4)
    before = [parameter.clone() for parameter in generator.parameters()]
    recalibrate(generator, torch.randn(3, 16, 8).unbind())
    assert all(map(torch.equal, before, generator.parameters()))


def test_a_network_without_batch_norm_is_only_put_into_eval_mode():
    network = line(1.0).train()
    recalibrate(network, iter(()))
    assert not network.training


def test_colours_of_the_average_are_those_of_its_weights_on_a_batch():
    random = torch.Generator().manual_seed(0)
    network, average = Generator(8, 32, 8), Generator(8, 32, 8)
    for each in (network, average):
        initialise(each, random)
    # running statistics that belong to very different weights, as late in a training
    for norm in (module for module in average.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.running_mean.fill_(0.5)
        norm.running_var.fill_(4.0)
    for step in range(1, 50):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=random) * 0.02)
        update_average(average, network, 16, 16 * step, 200)
    latents = torch.randn(512, 8, generator=random)
    fresh = torch.randn(512, 8, generator=random)
    recalibrate(average, latents.split(64))
    with torch.no_grad():
        shown = average(fresh).mean((0, 2, 3))
        average.train()
        expected = average(fresh).mean((0, 2, 3))
    assert torch.allclose(shown, expected, atol=0.01)
