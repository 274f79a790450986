"""Norms and spectral norm, one by one."""

import pytest
import torch
from tiny_networks import FAMILIES, discriminator, generator, latents, pixels, random
from torch import nn
from torch.autograd import grad, gradcheck, gradgradcheck

from gan.models.interfaces import Discriminator
from gan.models.layers import LeakyReLU, PixelNorm, has_bias, norm


def maps(count=2, channels=6, side=5, dtype=torch.float32):
    return 3 * torch.randn(count, channels, side, side, generator=random(1), dtype=dtype) + 1


def test_pixel_norm_brings_each_pixel_to_a_mean_square_of_one():
    (layer,) = norm("pixel", 6)
    hidden = maps()
    result = layer(hidden)
    assert not list(layer.parameters())
    assert torch.allclose(result.square().mean(1), torch.ones(2, 5, 5), rtol=1e-4)
    assert torch.allclose(result / hidden, (result / hidden)[:, :1].expand_as(hidden), rtol=1e-4)
    assert layer(torch.zeros(1, 3, 2, 2)).eq(0).all()
    small = maps(1, 3, 2, torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(layer, small)
    assert torch.autograd.gradgradcheck(layer, small)


def test_pixel_norm_computes_in_float32_under_autocast():
    hidden = maps(channels=512)
    exact = PixelNorm()(hidden.double())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.allclose(PixelNorm()(hidden).double(), exact, rtol=1e-5)
        half = PixelNorm()((300 * hidden).half())  # squares beyond float16
    assert half.dtype == torch.float16
    assert torch.allclose(half.double(), exact, rtol=2e-3, atol=1e-3)


def test_instance_and_layer_norm_are_torchs():
    hidden = maps().to(memory_format=torch.channels_last)
    for kind, oracle in (
        ("instance", nn.InstanceNorm2d(6, affine=True)),
        ("layer", lambda x: nn.functional.layer_norm(x, x.shape[1:])),
    ):
        (layer,) = norm(kind, 6)
        assert torch.allclose(layer(hidden), oracle(hidden), rtol=1e-4, atol=1e-5)
        assert [parameter.shape for parameter in layer.parameters()] == [(6,), (6,)]


def draw(*shape):
    return torch.randn(shape, generator=random(0), dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_leaky_relu_is_torch_s_to_the_second_derivative(slope):
    pixels = draw(3, 5)
    assert gradcheck(LeakyReLU(slope), pixels)
    assert gradgradcheck(LeakyReLU(slope), pixels)
    assert torch.equal(LeakyReLU(slope)(pixels), nn.LeakyReLU(slope)(pixels))


def test_a_penalty_on_the_gradient_gives_the_weights_what_torch_s_layers_give():
    torch.manual_seed(0)
    theirs, ours = (
        nn.Sequential(
            nn.Conv2d(3, 8, 4, 2, 1), slope(0.2), nn.Conv2d(8, 8, 4, 2, 1), slope(0.2)
        ).double()
        for slope in (nn.LeakyReLU, LeakyReLU)
    )
    ours.load_state_dict(theirs.state_dict())
    pixels, found = draw(4, 3, 16, 16), []
    for network in (ours, theirs):
        (gradient,) = grad(network(pixels).sum(), pixels, create_graph=True)
        (gradient.flatten(1).norm(dim=1) - 1).square().mean().backward()
        found.append([p.grad for p in network.parameters() if p.grad is not None and p.grad.any()])
    torch.testing.assert_close(*found, rtol=0, atol=1e-11)


def test_a_penalty_sends_nothing_back_through_the_network_s_own_pass():
    """Leaky relu has no curvature: torch's own sends zeros, at the price of a whole pass."""
    pixels = draw(3, 5)
    hidden = pixels * 1
    (gradient,) = grad(LeakyReLU(0.2)(hidden).square().sum() / 2, hidden, create_graph=True)
    slopes = grad(gradient.sum(), hidden, allow_unused=True)[0]
    expected = torch.where(pixels > 0, 1.0, 0.2).square()  # through the output alone
    torch.testing.assert_close(slopes, expected.to(slopes.dtype))
    hidden = pixels * 1
    (gradient,) = grad(LeakyReLU(0.2)(hidden).sum(), hidden, create_graph=True)
    assert not gradient.requires_grad


@pytest.mark.parametrize("kind", ["relu", "leaky_relu"])
def test_a_discriminator_has_activations_for_a_double_backward_where_penalties_need_them(kind):
    plain, penalised = (
        discriminator("dcgan", 32, penalty=weight, activation=kind) for weight in (0.0, 10.0)
    )
    made = [
        [each for each in network.modules() if isinstance(each, LeakyReLU)]
        for network in (plain, penalised)
    ]
    assert not made[0]
    assert len(made[1]) == 3
    assert torch.equal(plain(pixels(2, 32)), penalised(pixels(2, 32)))


@pytest.mark.parametrize("kind", ["batch", "instance", "layer"])
def test_layers_before_a_norm_with_a_bias_have_none(kind):
    assert not has_bias(kind)
    assert norm(kind, 4)[0].bias is not None
    for network in (generator("dcgan", 64, norm=kind), discriminator("dcgan", 64, norm=kind)):
        kinds = nn.Conv2d | nn.ConvTranspose2d
        layers = [each for each in network.layers if isinstance(each, kinds)]
        bare = 0 if isinstance(network, Discriminator) else -1  # the one at the picture
        assert layers.pop(bare).bias is not None
        assert [each.bias for each in layers] == [None] * 3


@pytest.mark.parametrize("family", FAMILIES)
def test_first_norm_is_one_norm_more_and_spares_the_projection_its_bias(family):
    counts, biases = [], []
    for first in (False, True):
        made = generator(family, 64, norm="batch", first_norm=first)
        score = discriminator(family, 64, norm="batch", first_norm=first)
        parts = [[type(each) for each in network.modules()] for network in (made, score)]
        counts.append([each.count(nn.BatchNorm2d) for each in parts])
        biases.append(made.project.bias is not None)
    assert counts[1] == [count + 1 for count in counts[0]]
    assert biases == [True, False]


def largest_gains(network):
    """The largest singular value of every layer's weight, as it is used."""
    found = []
    for layer in network.modules():
        if hasattr(layer, "parametrizations"):
            # torch puts the output channels first
            transposed = isinstance(layer, nn.ConvTranspose2d)
            weight = layer.weight.transpose(0, 1) if transposed else layer.weight
            found.append(torch.linalg.matrix_norm(weight.flatten(1), ord=2).item())
    assert len(found) == sum(each.dim() > 1 for each in network.parameters())
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_spectral_norm_brings_the_largest_singular_value_to_one(family):
    for make, inputs in ((generator, latents(2)), (discriminator, pixels(2, 32))):
        network = make(family, 32, spectral_norm=True, width=4)
        gains = largest_gains(network.eval())
        assert gains == pytest.approx([1] * len(gains), abs=0.15)  # near from the first step
        with torch.no_grad():
            for _ in range(60):
                network.train()(inputs)
        gains = largest_gains(network.eval())
        assert gains == pytest.approx([1] * len(gains), abs=0.05)
