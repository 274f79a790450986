"""Building blocks of the networks: norms, activations, the two networks around a family's layers,
and the initialisation of weights.

A layer is a convolution, a norm and an activation, in this order.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import torch
from torch import Generator as Random
from torch import Tensor, nn
from torch.nn.functional import leaky_relu
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized

from gan.models.interfaces import Discriminator, Generator, plan_resolutions
from gan.params.model import Activation, GeneratorParams, Norm
from gan.params.train import RecipeParams

SLOPE = 0.2
"""Slope of leaky_relu for negative numbers."""

_ACTIVATIONS: dict[Activation, Callable[[], nn.Module]] = {
    # in place: no layer before them needs its output for the way back
    "relu": lambda: nn.ReLU(inplace=True),
    "leaky_relu": lambda: nn.LeakyReLU(SLOPE, inplace=True),
    "silu": nn.SiLU,
    "gelu": nn.GELU,
}
_SLOPES: dict[Activation, float] = {"relu": 0.0, "leaky_relu": SLOPE}

_NORMS: dict[Norm, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    # equals InstanceNorm2d, which on a CPU loses the order channels last
    "instance": lambda channels: nn.GroupNorm(channels, channels),
    "layer": lambda channels: nn.GroupNorm(1, channels),  # over channels and space together
    "pixel": lambda _: PixelNorm(),
}

_WITH_GAINS = nn.BatchNorm2d | nn.GroupNorm
_WITH_WEIGHTS = nn.Conv2d | nn.ConvTranspose2d | nn.Linear

_POWER_ITERATIONS = 15
"""As many as torch's spectral norm makes when it is registered."""


class _LeakyReLUFunction(torch.autograd.Function):
    """Leaky ReLU whose double backward sends nothing to its input.

    The second derivative is zero wherever it exists, but torch's own function sends these zeros
    back through the whole network, an eighth of the time of a step with a gradient penalty.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, slope: float) -> Tensor:
        out = _leaky_relu(hidden, slope)
        ctx.slope = slope
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (out,) = ctx.saved_tensors
        return _LeakyReLUGradient.apply(gradient, out.detach(), ctx.slope), None


class _LeakyReLUGradient(torch.autograd.Function):
    """The gradient, times `slope` where `out` is not positive."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, out: Tensor, slope: float) -> Tensor:
        ctx.slope = slope
        ctx.save_for_backward(out)
        kernels = torch.ops.aten
        if not slope:
            return cast(Tensor, kernels.threshold_backward(gradient, out, 0))
        return cast(Tensor, kernels.leaky_relu_backward(gradient, out, slope, True))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (out,) = ctx.saved_tensors
        return _LeakyReLUGradient.apply(gradient, out, ctx.slope), None, None


class LeakyReLU(nn.LeakyReLU):
    """Torch's own, with a cheaper double backward; ReLU if the slope is 0."""

    def forward(self, hidden: Tensor) -> Tensor:
        return cast(Tensor, _LeakyReLUFunction.apply(hidden, self.negative_slope))


def _leaky_relu(hidden: Tensor, slope: float) -> Tensor:
    return leaky_relu(hidden, slope) if slope else torch.relu(hidden)  # 0 times inf is NaN


class PixelNorm(nn.Module):
    """Scales a pixel's channels to mean square 1 (Karras et al. 2018, arXiv:1710.10196, 4.2)."""

    def forward(self, hidden: Tensor) -> Tensor:
        # squares of float16 overflow at 256, and autocast would have the product in bfloat16
        with torch.autocast(hidden.device.type, enabled=False):
            wide = hidden.to(torch.promote_types(hidden.dtype, torch.float32)).movedim(1, -1)
            squares = torch.linalg.vecdot(wide, wide)  # half the time of square and mean
            scale = torch.rsqrt(squares / wide.shape[-1] + 1e-8)
            return (wide * scale.unsqueeze(-1)).movedim(-1, 1).to(hidden.dtype)


class Modulated(nn.Module):
    """A layer of maps (N, C, H, W) and of latents (N, latent_size), scaled and truncated."""


class SelfModulation(Modulated, nn.Linear):
    """Gains and shifts of channels, which are linear functions of the latents.

    Chen et al. 2019, arXiv:1810.01365, section 2.2, with linear functions.
    """

    def __init__(self, latent_size: int, channels: int) -> None:
        super().__init__(latent_size, 2 * channels)

    def forward(self, maps: Tensor, latents: Tensor) -> Tensor:  # type: ignore[override]
        gains, shifts = nn.Linear.forward(self, latents)[:, :, None, None].chunk(2, 1)
        return torch.addcmul(shifts, maps, 1 + gains)


def apply_layers(layers: Iterable[nn.Module], maps: Tensor, latents: Tensor) -> Tensor:
    """Apply layers one after the other; those that are modulated get the latents too."""
    for layer in layers:
        maps = layer(maps, latents) if isinstance(layer, Modulated) else layer(maps)
    return maps


def activation(kind: Activation, double_backward: bool = False) -> nn.Module:
    """The activation of this kind; `double_backward`: one whose double backward is cheap."""
    if double_backward and kind in _SLOPES:
        return LeakyReLU(_SLOPES[kind])
    return _ACTIVATIONS[kind]()


def norm(kind: Norm, channels: int) -> list[nn.Module]:
    """The norm of this kind as a list of one layer, or an empty list for `none`."""
    return [] if kind == "none" else [_NORMS[kind](channels)]


def modulation(params: GeneratorParams, latent_size: int, channels: int) -> list[nn.Module]:
    """The layer after a norm as a list of one, or an empty list without self-modulation."""
    return [SelfModulation(latent_size, channels)] if params.self_modulation else []


def has_bias(following: Norm) -> bool:
    """Whether the convolution before this norm needs a bias: not if the norm brings one."""
    return following in ("none", "pixel")


def _add_spectral_norm(network: nn.Module) -> None:
    """Parametrise all layers: weights are divided by their largest singular value."""
    for module in list(network.modules()):
        if isinstance(module, _WITH_WEIGHTS):
            spectral_norm(module)


class LayeredGenerator(Generator):
    """A linear projection of the latents to small feature maps, then the layers of a family.

    `layers` turn maps of `channels` channels, 4x4 or 6x6, into 3 channels of the picture's size.
    """

    def __init__(
        self,
        params: GeneratorParams,
        latent_size: int,
        size: int,
        channels: int,
        layers: Sequence[nn.Module],
    ) -> None:
        side = plan_resolutions(size)[0]
        bias = not params.first_norm or has_bias(params.norm)
        super().__init__(latent_size, size, nn.Linear(latent_size, channels * side**2, bias=bias))
        self.first_side = side
        first = [*norm(params.norm, channels), activation(params.activation)]
        last = [nn.Tanh()] if params.last == "tanh" else []
        self.layers = nn.Sequential(*(first if params.first_norm else []), *layers, *last)
        if params.spectral_norm:
            _add_spectral_norm(self)

    def draw(self, hidden: Tensor, latents: Tensor) -> Tensor:
        maps = hidden.view(len(hidden), -1, self.first_side, self.first_side)
        return apply_layers(self.layers, maps, latents)


class LayeredDiscriminator(Discriminator):
    """The layers of a family, then a linear score.

    `layers` turn pixels into maps of `channels` channels, 4x4 or 6x6.
    """

    def __init__(
        self, recipe: RecipeParams, size: int, channels: int, layers: Sequence[nn.Module]
    ) -> None:
        super().__init__()
        score = nn.Linear(channels * plan_resolutions(size)[0] ** 2, 1)
        self.layers = nn.Sequential(*layers, nn.Flatten(), score)
        self.uses_batch_statistics = any(
            isinstance(part, nn.BatchNorm2d) for part in self.modules()
        )
        if recipe.spectral_norm:
            _add_spectral_norm(self)

    def forward(self, pixels: Tensor) -> Tensor:
        scores: Tensor = self.layers(pixels)
        return scores.squeeze(1)


def raw_weight(layer: nn.Module) -> nn.Parameter:
    """The trained parameter, before spectral norm divides it."""
    normed = is_parametrized(layer, "weight")
    return layer.get_parameter("parametrizations.weight.original" if normed else "weight")


def _draw(target: Tensor, mean: float, deviation: float, random: Random) -> None:
    """Fill `target` with normal numbers, the same on every device, in every type and layout."""
    drawn = torch.empty(target.shape).normal_(mean, deviation, generator=random)
    target.copy_(drawn)


def _restart_spectral_norm(layer: nn.Module, random: Random) -> None:
    """Draw the singular vectors anew: torch drew them from the global generator."""
    mode = layer.training
    layer.train()
    for vector in layer.get_submodule("parametrizations").buffers():
        _draw(vector, 0.0, 1.0, random)
        vector.div_(vector.norm())
    for _ in range(_POWER_ITERATIONS):
        layer.weight  # noqa: B018  (each access is one power iteration)
    layer.train(mode)


@torch.no_grad()
def draw_weights(
    network: nn.Module,
    random: Random,
    deviation: Callable[[nn.Module], float],
    spread_of_gains: float = 0.0,
) -> None:
    """Initialise all layers in place from `random` alone: biases 0, gains of norms around 1."""
    for module in network.modules():
        if isinstance(module, _WITH_WEIGHTS):
            _draw(raw_weight(module), 0.0, deviation(module), random)
            if is_parametrized(module):
                _restart_spectral_norm(module, random)
        elif isinstance(module, _WITH_GAINS):
            _draw(module.weight, 1.0, spread_of_gains, random)
        else:
            continue
        if module.bias is not None:
            module.bias.zero_()
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
