"""Family antialiased: its filter, its sphere of latents, its initial weights."""

import math

import pytest
import torch
from tiny_networks import (
    SIZES,
    assert_learns,
    discriminator,
    generator,
    latents,
    pixels,
    random,
)
from torch import nn
from torch.nn.functional import conv2d, pad
from torch.utils._python_dispatch import TorchDispatchMode

from gan.models.antialiased import LowPass
from gan.models.layers import raw_weight

FAMILY = "antialiased"


def maps(*shape):
    return torch.randn(shape, generator=random(4), dtype=torch.float64)


@pytest.mark.parametrize("size", SIZES)
def test_shapes_of_every_size(size):
    network, images = generator(FAMILY, size), pixels(2, size)
    drawn = network(latents(2))
    assert drawn.shape == (2, 3, size, size)
    assert drawn.abs().max() <= 1
    (drawn - images).square().sum().backward()
    assert_learns(network)
    assert discriminator(FAMILY, size)(images).shape == (2,)
    widths = [each.in_channels for each in network.modules() if isinstance(each, nn.Conv2d)]
    assert widths == [2, 2]  # RGB of two scales: half the size, and all of it


@pytest.mark.parametrize("channels", [1, 3, 8])
def test_the_filter_is_a_convolution_of_each_channel_over_replicated_edges(channels):
    hidden = maps(2, channels, 7, 10)
    line = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64)
    kernel = (line[:, None] * line / 16).expand(channels, 1, 3, 3)
    expected = conv2d(pad(hidden, (1, 1, 1, 1), mode="replicate"), kernel, groups=channels)
    assert torch.allclose(LowPass().double()(hidden), expected, rtol=0, atol=1e-14)
    constant = maps(2, channels, 1, 1).expand(-1, -1, 6, 6)
    assert torch.allclose(LowPass().double()(constant), constant, rtol=0, atol=1e-14)


def test_the_filter_makes_no_float32_copies_under_autocast():
    seen = set()

    class Types(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            seen.update(each.dtype for each in (out, *args) if isinstance(each, torch.Tensor))
            return out

    hidden, filtered = maps(2, 3, 8, 8).bfloat16().requires_grad_(), LowPass().bfloat16()
    with torch.autocast("cpu", torch.bfloat16), Types():
        filtered(hidden).sum().backward()
    assert seen == {torch.bfloat16}


def test_latents_scaled_by_any_factor_give_the_same_picture():
    network = generator(FAMILY, 32).double().eval()
    given = latents(4).double()
    expected = network(given)
    for factor in (0.1, 3.0, 1000.0):
        assert torch.allclose(network(given * factor), expected, rtol=0, atol=1e-5)
    assert not torch.allclose(network(-given), expected, rtol=0, atol=1e-2)
    assert torch.allclose(network.scale(given).square().mean(1), torch.ones(4).double())


@pytest.mark.parametrize("spectral_norm", [False, True], ids=["plain", "spectral"])
def test_weights_have_the_deviation_of_torch_and_are_a_function_of_the_seed(spectral_norm):
    options = {"width": 16, "widest": 16, "spectral_norm": spectral_norm}
    for make in (generator, discriminator):
        network = make(FAMILY, 64, **options)
        kinds = nn.Linear | nn.Conv2d | nn.ConvTranspose2d
        layers = [each for each in network.modules() if isinstance(each, kinds)]
        large = [raw_weight(each) for each in layers if raw_weight(each).numel() > 2000]
        assert len(large) >= 4
        for weight in large:
            deviation = 1 / math.sqrt(3 * weight[0].numel())
            assert weight.std().item() == pytest.approx(deviation, rel=0.06)
        again, other = (make(FAMILY, 64, seed, **options).state_dict() for seed in (0, 1))
        assert all(torch.equal(value, again[name]) for name, value in network.state_dict().items())
        weights = [name for name, each in network.named_parameters() if each.dim() > 1]
        assert not any(torch.equal(again[name], other[name]) for name in weights)
