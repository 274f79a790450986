"""Precision, order in memory and gradients of gradients, for networks of every family."""

import copy

import pytest
import torch
from tiny_networks import (
    ACTIVATIONS,
    FAMILIES,
    NORMS,
    SOME_OPTIONS,
    assert_learns,
    discriminator,
    generator,
    latents,
    pixels,
)


def relative_error(result, exact):
    """Root mean square of the difference, over that of the exact numbers."""
    return ((result.double() - exact).norm() / exact.double().norm()).item()


@pytest.mark.parametrize("options", SOME_OPTIONS, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_other_precisions_and_channels_last_give_the_same_within_rounding(family, options):
    for make, inputs in ((generator, latents(8)), (discriminator, pixels(8, 32))):
        network = make(family, 32, **options)
        last = copy.deepcopy(network).to(memory_format=torch.channels_last)
        exact = copy.deepcopy(last).double()(inputs.double())
        assert exact.dtype == torch.float64
        assert relative_error(network(inputs), exact) < 1e-4
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = last(inputs)
        assert relative_error(rough, exact) < 0.1
        rough.float().square().sum().backward()
        assert_learns(last)


def gradient_of_norms(score, images):
    """Squared gradient norms by image, and the gradients of their sum by the parameters."""
    images = images.requires_grad_()
    (gradient,) = torch.autograd.grad(score(images).sum(), images, create_graph=True)
    norms = gradient.flatten(1).square().sum(1)
    found = torch.autograd.grad(norms.sum(), list(score.parameters()), allow_unused=True)
    return norms, [each for each in found if each is not None]


@pytest.mark.parametrize(
    "options", [*SOME_OPTIONS, *({"activation": each} for each in ACTIVATIONS)], ids=str
)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_gradient_of_a_gradient_is_finite(family, options):
    score = discriminator(family, 32, **options).to(memory_format=torch.channels_last)
    norms, found = gradient_of_norms(score, pixels(3, 32))
    assert (norms > 0).all()
    assert len(found) > 1
    assert all(each.isfinite().all() for each in found)
    assert all(each.any() for each in found if each.dim() == 4)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_gradient_of_a_gradient_is_what_finite_differences_say(family, norm):
    score = discriminator(family, 32, norm=norm, activation="silu").double()
    images = pixels(3, 32).double()
    _, found = gradient_of_norms(score, images)
    parameters = [each for each in score.parameters() if each.dim() == 4]
    kernels = [each for each in found if each.dim() == 4]
    step = [torch.randn(p.shape, generator=torch.Generator().manual_seed(5)) for p in parameters]
    expected = sum((k * s).sum() for k, s in zip(kernels, step, strict=True))

    def move(distance):
        with torch.no_grad():
            for parameter, direction in zip(parameters, step, strict=True):
                parameter += distance * direction
        return gradient_of_norms(score, images)[0].sum().item()

    size = 1e-6
    slope = (move(size) - move(-2 * size)) / (2 * size)
    assert slope == pytest.approx(expected.item(), rel=1e-4)
