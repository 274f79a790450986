"""Patterns of period 2: transposed and strided convolutions make them, filtered ones do not."""

import pytest
import torch
from tiny_networks import FAMILIES, discriminator, generator, latents, random

from gan.models.layers import apply_layers

CHANNELS = 8
"""Of the small maps: width 2, widest 4."""


def period_2(pictures):
    """The greatest amplitude of +-+- along rows, along columns or both, over the root mean square.

    pictures: (..., side, side) with an even side.
    """
    sign = 1 - 2 * (torch.arange(pictures.shape[-1], dtype=pictures.dtype) % 2)
    patterns = (sign[None, :], sign[:, None], sign[None, :] * sign[:, None])
    amplitudes = [(pictures * pattern).mean((-1, -2)).abs().max() for pattern in patterns]
    return (max(amplitudes) / pictures.square().mean().sqrt()).item()


def flat_response(family, norm):
    """The middle of what a generator makes of maps that are the same everywhere."""
    network = generator(family, 32, norm=norm, last="none").double().eval()
    flat = torch.randn(4, CHANNELS, 1, 1, dtype=torch.float64, generator=random(1))
    made = apply_layers(network.layers, flat.repeat(1, 1, 12, 12), latents(4))
    return made[:, :, 32:-32, 32:-32]  # beyond the reach of the borders' zeros


def flat_gradient(family):
    """The gradient of a discriminator's summed features, in the middle of a grey picture."""
    network = discriminator(family, 32).double()
    images = torch.full((1, 3, 256, 256), 0.3, dtype=torch.float64, requires_grad=True)
    features = network.layers[:-2](images)  # without the score, whose weights differ by place
    (gradient,) = torch.autograd.grad(features[:, :, 5:-5, 5:-5].sum(), images)
    return gradient[:, :, 120:136, 120:136]  # all of whose features are in the sum


@pytest.mark.parametrize("norm", ["none", "batch", "pixel"])
@pytest.mark.parametrize("family", FAMILIES)
def test_patterns_of_flat_inputs_are_made_by_strides_and_gone_after_a_low_pass(family, norm):
    response = flat_response(family, norm)
    assert response.abs().max() > 0
    pattern = period_2(response)
    assert pattern > 0.05 if family == "dcgan" else pattern < 1e-9
    flat = response.std((-1, -2)).max() < 1e-9 * response.abs().max()
    assert flat == (family != "dcgan")
    gradient = flat_gradient(family)
    assert gradient.abs().max() > 0
    assert period_2(gradient) > 0.05  # one discriminator for both
