"""Small networks of every family, drawn from a seed."""

from itertools import product

import torch

from gan.models import interfaces as build
from gan.models.interfaces import Discriminator, Generator
from gan.params.model import DiscriminatorParams, GeneratorParams, ModelParams
from gan.params.train import PenaltyParams, RecipeParams

FAMILIES = ("antialiased", "dcgan")
SIZES = (32, 48, 64, 96, 128, 192, 256)
NORMS = ("none", "batch", "instance", "layer", "pixel")
ACTIVATIONS = ("relu", "leaky_relu", "silu", "gelu")

ALL_OPTIONS = [
    {"norm": norm, "first_norm": first, "spectral_norm": spectral}
    for norm, first, spectral in product(NORMS, (False, True), (False, True))
]
SOME_OPTIONS = [ALL_OPTIONS[i] for i in (1, 6, 8, 14, 17)] + [
    {"norm": norm, "self_modulation": True} for norm in ("batch", "none")
]
"""Each norm at least once, each flag with and without."""

NETWORK = {"width": 2, "widest": 4, "activation": "leaky_relu"}
LATENT_SIZE = 8


def assert_learns(network: torch.nn.Module) -> None:
    """A backward pass gave every parameter a finite gradient."""
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def latents(count: int, size: int = LATENT_SIZE, seed: int = 2) -> torch.Tensor:
    return torch.randn(count, size, generator=random(seed))


def pixels(count: int, size: int) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=random(1)) * 2 - 1


def model_params(family: str, **changes) -> ModelParams:
    """Both networks' params; changes are of either: width=4, last="none"."""
    latent_size = changes.pop("latent_size", LATENT_SIZE)
    network = {"family": family} | NETWORK
    network |= {key: changes.pop(key) for key in list(changes) if key in network}
    first = {"norm": "batch", "first_norm": True, "self_modulation": False}
    first |= {"spectral_norm": False, "last": "tanh"}
    return ModelParams(
        latent_size=latent_size,
        generator=GeneratorParams(**network, **(first | changes)),
        discriminator=DiscriminatorParams(**network),
    )


def generator(family: str, size: int, seed: int = 0, **changes) -> Generator:
    model = model_params(family, **changes)
    network = build.build_generator(model, size)
    build.initialise(network, model.generator, random(seed))
    return network


def norms_recipe(
    norm: str = "none",
    first_norm: bool = False,
    spectral_norm: bool = False,
    penalty: float = 0.0,
) -> RecipeParams:
    """As much of a recipe as the building of a discriminator reads."""
    return RecipeParams.model_construct(
        discriminator_norm=norm,
        discriminator_first_norm=first_norm,
        spectral_norm=spectral_norm,
        penalties=PenaltyParams(gradient=penalty, r1=0.0, r2=0.0, every=1),
    )


def discriminator(
    family: str,
    size: int,
    seed: int = 0,
    norm: str = "none",
    first_norm: bool = False,
    spectral_norm: bool = False,
    penalty: float = 0.0,
    **changes,
) -> Discriminator:
    model = model_params(family, **changes)
    recipe = norms_recipe(norm, first_norm, spectral_norm, penalty)
    network = build.build_discriminator(model, recipe, size)
    build.initialise(network, model.discriminator, random(seed))
    return network
