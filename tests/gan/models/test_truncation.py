"""Truncation: outputs of a generator's first layer are moved to their mean, in every family."""

import pytest
import torch
from tiny_networks import generator, latents, random

from gan.models.registry import FAMILIES
from gan.randomness import normal
from gan.sampling import generate, seed_latents
from gan.training.ema import recalibrate


def build(family, **options):
    """A generator as training saves it: biases are not 0, statistics and mean are measured."""
    network = generator(family, 32, width=4, **options)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0, 0.5, generator=random(5))
    recalibrate(network, latents(256).split(64))
    network.measure_mean()
    return network


OPTIONS = [{"norm": "batch"}, {"norm": "none"}, {"norm": "none", "spectral_norm": True}]
OPTIONS.append({"norm": "batch", "self_modulation": True})


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_smaller_the_more_alike_1_changes_nothing_and_0_makes_all_equal(family, options):
    network, seeds = build(family, **options), seed_latents(range(64), 8)

    def draw(*truncation):
        with torch.inference_mode():
            return network(seeds, *truncation)

    distances = [torch.pdist(draw(each).flatten(1)).mean() for each in (1.0, 0.7, 0.4, 0.0)]
    assert distances == sorted(distances, reverse=True)
    assert len(set(distances)) == 4
    assert torch.equal(draw(1.0), draw())
    images = torch.cat(list(generate(network, seeds, 0.0)))
    assert torch.equal(images, images[:1].expand_as(images))
    plain, same = (torch.cat(list(generate(network, seeds, *each))) for each in ((), (1.0,)))
    assert torch.equal(plain, same)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_the_mean_is_that_of_the_outputs_for_10_000_latents(family, options):
    network = build(family, **options)
    sample = normal(0, "truncation", torch.arange(10_000), 8)
    outputs = network.project(network.scale(sample))
    assert torch.allclose(network.project_mean, outputs.mean(0), atol=1e-5)
    assert network.project_mean.any()
    seen = []
    network.draw = lambda *given: seen.extend(given)
    network(sample[:4], 0.25)
    expected = network.project_mean + 0.25 * (outputs[:4] - network.project_mean)
    assert torch.allclose(seen[0], expected, atol=1e-6)
    assert torch.equal(seen[1], 0.25 * network.scale(sample[:4]))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_weights_without_a_mean_give_the_same_pixels_and_have_the_bias_as_mean(family, options):
    network, other = build(family, **options), generator(family, 32, 9, width=4, **options).eval()
    weights = network.state_dict()
    del weights["project_mean"]
    other.load_state_dict(weights)
    assert torch.equal(other(latents(4)), network(latents(4)))
    bias = network.project.bias
    exact = torch.zeros_like(other.project_mean) if bias is None else bias
    assert torch.equal(other.project_mean, exact)
    assert torch.allclose(other.project_mean, network.project_mean, atol=0.1)
    one, same = other(latents(2), 0.0)
    assert torch.equal(one, same)
