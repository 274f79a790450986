"""Residual networks neither fade nor burst when they start, whatever their size and depth."""

import pytest
import torch
from tiny_networks import ACTIVATIONS, SIZES, discriminator, generator, latents, random

LATENT_SIZE = 64
USUAL = {"width": 8, "widest": 8, "blocks": 1}
NARROW = {"width": 2, "widest": 2, "blocks": 1}
DEEP = {"width": 8, "widest": 4, "blocks": 4}
DEEPEST = {"width": 4, "widest": 4, "blocks": 16}
CASES = [
    *((32, shape, "leaky_relu") for shape in (USUAL, NARROW, DEEP)),
    *((96, USUAL, activation) for activation in ACTIVATIONS),
    *(pytest.param(size, USUAL, "leaky_relu", marks=pytest.mark.slow) for size in SIZES),
    *(pytest.param(64, DEEPEST, each, marks=pytest.mark.slow) for each in ACTIVATIONS),
]


def smooth_pixels(count, size):
    """Pictures of which neighbouring pixels are alike, in [-1, 1]."""
    coarse = torch.rand(count, 3, 8, 8, generator=random(3)) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size=size, mode="bilinear")


def elasticity(network, inputs):
    """Outputs' mean square root, and the relative change of their norm by one of the inputs.

    1 for a linear map of one number; far below, the inputs don't matter; far above, they shatter.
    """
    inputs = inputs.requires_grad_()
    outputs = network(inputs)
    (gradient,) = torch.autograd.grad(outputs.norm(), inputs)
    change = gradient.norm() * inputs.detach().norm() / outputs.detach().norm()
    return outputs.detach().square().mean().sqrt().item(), change.item()


@pytest.mark.parametrize(("size", "shape", "activation"), CASES)
def test_pixels_scores_and_their_gradients_are_sane_at_the_start(size, shape, activation):
    options = {"norm": "none", "first_norm": False, "last": "none", "activation": activation}
    network = generator("resnet", size, latent_size=LATENT_SIZE, **options, **shape)
    strength, change = elasticity(network, latents(8, LATENT_SIZE))
    assert 0.1 < strength < 3
    assert 0.5 < change < 10
    network = discriminator("resnet", size, activation=activation, **shape)
    strength, change = elasticity(network, smooth_pixels(8, size))
    assert 0.02 < strength < 3
    assert 0.5 < change < 3**0.5 * size  # a random linear score's


@pytest.mark.parametrize("make", [generator, discriminator])
def test_each_layer_gets_a_part_of_the_gradient_from_the_first_step(make):
    network = make("resnet", 64, norm="none", width=8, blocks=4)
    inputs = latents(8) if make is generator else smooth_pixels(8, 64)
    network(inputs).square().mean().backward()
    shares = [
        (parameter.grad.norm() / parameter.detach().norm()).item()
        for parameter in network.parameters()
        if parameter.dim() > 1
    ]
    assert max(shares) < 1000 * min(shares)
