"""The fast layers are torch's own: same parameters, same results, any order of derivatives."""

import pytest
import torch
from torch import nn
from torch.autograd import grad, gradcheck, gradgradcheck
from torch.nn.functional import conv2d, conv_transpose2d

from gan.models import fast
from gan.models import fast as winograd
from gan.models.fast import DownConv4x4, LeakyReLU, UpConv4x4, down_conv4x4, up_conv4x4


def draw(*shape, seed=0, dtype=torch.float64):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=random, dtype=dtype).requires_grad_()


def down_by_torch(pixels, weight):
    return conv2d(pixels, weight, stride=2, padding=1)


def up_by_torch(pixels, weight):
    return conv_transpose2d(pixels, weight, stride=2, padding=1)


@pytest.mark.parametrize("side", [4, 8, 12])
@pytest.mark.parametrize("chunk", [1, 1 << 12, 1 << 30])
def test_both_are_the_convolutions_of_torch(side, chunk, monkeypatch):
    monkeypatch.setattr(winograd, "CHUNK", chunk)
    weight, small, large = draw(7, 3, 4, 4), draw(5, 7, side, side), draw(5, 3, 2 * side, 2 * side)
    for functions, pixels, gradient in [
        ((down_conv4x4, down_by_torch), large, small),
        ((up_conv4x4, up_by_torch), small, large),
    ]:
        results = [function(pixels, weight) for function in functions]
        gradients = [grad(result, (pixels, weight), gradient.detach()) for result in results]
        for one, other in zip(
            (results[0], *gradients[0]), (results[1], *gradients[1]), strict=True
        ):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("function", "side"), [(down_conv4x4, 8), (up_conv4x4, 4)])
def test_derivatives_of_both_orders_are_those_of_differences(function, side):
    inputs = draw(2, 2, side, side), draw(2, 2, 4, 4, seed=1)
    assert gradcheck(function, inputs, fast_mode=True)
    assert gradgradcheck(function, inputs, fast_mode=True)


def test_pixels_of_any_order_in_memory_give_the_same():
    pixels, weight = draw(2, 3, 16, 16), draw(4, 3, 4, 4, seed=1)
    last = pixels.contiguous(memory_format=torch.channels_last)
    assert torch.equal(down_conv4x4(last, weight), down_conv4x4(pixels, weight))
    assert down_conv4x4(pixels, weight).is_contiguous(memory_format=torch.channels_last)


def test_float32_is_within_a_few_times_the_rounding_of_a_convolution():
    pixels, weight = draw(4, 64, 16, 16), draw(64, 64, 4, 4, seed=1)
    truth = down_by_torch(pixels, weight)
    ours, theirs = (
        (function(pixels.float(), weight.float()) - truth).norm() / truth.norm()
        for function in (down_conv4x4, down_by_torch)
    )
    assert ours < 5e-6
    assert ours < 10 * theirs


def test_only_the_input_s_gradient_is_made_where_only_it_is_asked_for(monkeypatch):
    """A gradient penalty would otherwise pay for weights' gradients that nobody wants."""
    made = []
    monkeypatch.setattr(fast, "from_factors", lambda *_, **__: made.append(1))
    pixels, weight = draw(1, 2, 8, 8), draw(2, 2, 4, 4, seed=1)
    grad(down_conv4x4(pixels, weight).sum(), pixels, create_graph=True)
    assert not made


@pytest.mark.parametrize(
    ("ours", "theirs", "side"), [(DownConv4x4, nn.Conv2d, 16), (UpConv4x4, nn.ConvTranspose2d, 8)]
)
@pytest.mark.parametrize("reason", ["", "few channels", "side", "autocast", "compiling"])
def test_layers_take_torch_s_state_and_are_torch_s_own_where_the_transforms_do_not_pay(
    ours, theirs, side, reason, monkeypatch
):
    channels = 8 if reason == "few channels" else 64
    side = side * 5 // 4 if reason == "side" else side
    layer, other = ours(channels, 96), theirs(channels, 96, 4, 2, 1)
    layer.load_state_dict(other.state_dict())
    pixels = draw(64, channels, side, side, dtype=torch.float32)
    monkeypatch.setattr(fast, "is_compiling", lambda: reason == "compiling")
    with torch.autocast("cpu", torch.bfloat16, enabled=reason == "autocast"):
        result, expected = layer(pixels), other(pixels)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-4)
    assert torch.equal(result, expected) == bool(reason)


@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_leaky_relu_is_torch_s_to_the_second_derivative(slope):
    pixels = draw(3, 5)
    assert gradcheck(LeakyReLU(slope), pixels)
    assert gradgradcheck(LeakyReLU(slope), pixels)
    assert torch.equal(LeakyReLU(slope)(pixels), nn.LeakyReLU(slope)(pixels))


def test_a_penalty_on_the_gradient_gives_the_weights_what_torch_s_layers_give():
    torch.manual_seed(0)
    theirs, ours = (
        nn.Sequential(layer(3, 48), slope(0.2), layer(48, 48), slope(0.2)).double()
        for layer, slope in (
            (lambda inner, outer: nn.Conv2d(inner, outer, 4, 2, 1), nn.LeakyReLU),
            (DownConv4x4, LeakyReLU),
        )
    )
    ours.load_state_dict(theirs.state_dict())
    pixels, found = draw(32, 3, 32, 32), []
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
