"""The fast layers are torch's own: same parameters, same results, any order of derivatives."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import grad, gradcheck, gradgradcheck
from torch.nn.functional import conv2d, conv_transpose2d

from gan.models import fast, winograd
from gan.models.fast import DownConv4x4, LeakyReLU, UpConv4x4, down_conv4x4, up_conv4x4


def _draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=random, dtype=dtype).requires_grad_()


def _halve_by_torch(pixels: Tensor, weight: Tensor) -> Tensor:
    return conv2d(pixels, weight, stride=2, padding=1)


def _double_by_torch(pixels: Tensor, weight: Tensor) -> Tensor:
    return conv_transpose2d(pixels, weight, stride=2, padding=1)


HALVINGS = [down_conv4x4, _halve_by_torch]
DOUBLINGS = [up_conv4x4, _double_by_torch]


@pytest.mark.parametrize("side", [4, 8, 12])
@pytest.mark.parametrize("chunk", [1, 1 << 12, 1 << 30])
def test_halving_and_doubling_are_the_convolutions_of_torch(
    side: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(winograd, "CHUNK", chunk)
    weight, large, small = (
        _draw(7, 3, 4, 4),
        _draw(5, 3, 2 * side, 2 * side),
        _draw(5, 7, side, side),
    )
    for (ours, theirs), pixels, gradient in [
        (HALVINGS, large, small),
        (DOUBLINGS, small, large),
    ]:
        results = [function(pixels, weight) for function in (ours, theirs)]
        torch.testing.assert_close(results[0], results[1], rtol=0, atol=1e-11)
        gradients = [grad(result, (pixels, weight), gradient.detach()) for result in results]
        for one, other in zip(*gradients, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("function", "side"), [(down_conv4x4, 8), (up_conv4x4, 4)])
def test_derivatives_of_both_orders_are_those_of_differences(
    function: Callable[[Tensor, Tensor], Tensor], side: int
) -> None:
    inputs = _draw(2, 2, side, side), _draw(2, 2, 4, 4, seed=1)
    assert gradcheck(function, inputs, fast_mode=True)
    assert gradgradcheck(function, inputs, fast_mode=True)


def test_pixels_of_any_order_in_memory_give_the_same() -> None:
    pixels, weight = _draw(2, 3, 16, 16), _draw(4, 3, 4, 4, seed=1)
    last = pixels.contiguous(memory_format=torch.channels_last)
    assert torch.equal(down_conv4x4(last, weight), down_conv4x4(pixels, weight))
    assert down_conv4x4(pixels, weight).is_contiguous(memory_format=torch.channels_last)


def test_float32_is_as_near_to_the_truth_as_a_convolution_may_be() -> None:
    """Within a few times torch's own rounding, measured against float64."""
    pixels, weight = _draw(4, 64, 16, 16), _draw(64, 64, 4, 4, seed=1)
    truth = _halve_by_torch(pixels, weight)
    errors = [
        (function(pixels.float(), weight.float()) - truth).norm() / truth.norm()
        for function in HALVINGS
    ]
    assert errors[0] < 5e-6
    assert errors[0] < 10 * errors[1]


def test_only_the_input_s_gradient_is_made_where_only_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A gradient penalty would otherwise pay for weights' gradients that nobody wants."""
    made = []
    monkeypatch.setattr(fast, "from_factors", lambda *_: made.append(1))
    pixels, weight = _draw(1, 2, 8, 8), _draw(2, 2, 4, 4, seed=1)
    grad(down_conv4x4(pixels, weight).sum(), pixels, create_graph=True)
    assert not made


Layer = Callable[[int, int], nn.Module]
LAYERS: list[tuple[Layer, Layer, int]] = [
    (DownConv4x4, lambda inner, outer: nn.Conv2d(inner, outer, 4, 2, 1), 16),
    (UpConv4x4, lambda inner, outer: nn.ConvTranspose2d(inner, outer, 4, 2, 1), 8),
]


@pytest.mark.parametrize(("ours", "theirs", "side"), LAYERS)
def test_layers_take_the_state_of_torch_s_and_give_its_results(
    ours: Layer, theirs: Layer, side: int
) -> None:
    layer, other = _pair(ours, theirs, 64)
    pixels = _draw(64, 64, side, side, dtype=torch.float32)
    expected = other(pixels)
    torch.testing.assert_close(layer(pixels), expected, rtol=0, atol=1e-4)
    assert not torch.equal(layer(pixels), expected)  # else the transforms were not in use


def _pair(ours: Layer, theirs: Layer, channels: int) -> tuple[nn.Module, nn.Module]:
    layer, other = ours(channels, 96), theirs(channels, 96)
    layer.load_state_dict(other.state_dict())
    return layer, other


@pytest.mark.parametrize(("ours", "theirs", "side"), LAYERS)
@pytest.mark.parametrize("reason", ["few channels", "side", "autocast", "compiling"])
def test_layers_are_torch_s_own_where_the_transforms_do_not_pay(
    ours: Layer, theirs: Layer, side: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    channels = 8 if reason == "few channels" else 64
    side = side * 5 // 4 if reason == "side" else side
    layer, other = _pair(ours, theirs, channels)
    pixels = _draw(64, channels, side, side, dtype=torch.float32)
    monkeypatch.setattr(fast, "is_compiling", lambda: reason == "compiling")
    with torch.autocast("cpu", torch.bfloat16, enabled=reason == "autocast"):
        assert torch.equal(layer(pixels), other(pixels))


@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_leaky_relu_is_torch_s_to_the_second_derivative(slope: float) -> None:
    pixels = _draw(3, 5)
    assert torch.equal(LeakyReLU(slope)(pixels), nn.LeakyReLU(slope)(pixels))
    assert gradcheck(LeakyReLU(slope), pixels)
    assert gradgradcheck(LeakyReLU(slope), pixels)


def test_a_penalty_on_the_gradient_gives_the_weights_what_torch_s_layers_give() -> None:
    torch.manual_seed(0)
    theirs = nn.Sequential(
        nn.Conv2d(3, 48, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(48, 48, 4, 2, 1), nn.LeakyReLU(0.2)
    ).double()
    ours = nn.Sequential(
        DownConv4x4(3, 48), LeakyReLU(0.2), DownConv4x4(48, 48), LeakyReLU(0.2)
    ).double()
    ours.load_state_dict(theirs.state_dict())
    pixels = _draw(32, 3, 32, 32)
    for network in (ours, theirs):
        (gradient,) = grad(network(pixels).sum(), pixels, create_graph=True)
        (gradient.flatten(1).norm(dim=1) - 1).square().mean().backward()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        other_gradient = torch.zeros_like(other) if other.grad is None else other.grad
        one_gradient = torch.zeros_like(one) if one.grad is None else one.grad
        torch.testing.assert_close(one_gradient, other_gradient, rtol=0, atol=1e-11)


def test_a_penalty_sends_nothing_back_through_the_network_s_own_pass() -> None:
    """Leaky relu has no curvature: torch's own sends zeros, at the price of a whole pass."""
    pixels = _draw(3, 5)
    hidden = pixels * 1
    (gradient,) = grad(LeakyReLU(0.2)(hidden).square().sum() / 2, hidden, create_graph=True)
    slopes = grad(gradient.sum(), hidden, allow_unused=True)[0]
    expected = torch.where(pixels > 0, 1.0, 0.2).square()  # through the output alone
    torch.testing.assert_close(slopes, expected.to(slopes.dtype))
    hidden = pixels * 1
    (gradient,) = grad(LeakyReLU(0.2)(hidden).sum(), hidden, create_graph=True)
    assert not gradient.requires_grad
