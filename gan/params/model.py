"""Section `model` of params.yaml: the two networks."""

from typing import Annotated, Literal

from pydantic import Field

from gan.models.registry import FAMILIES
from gan.params.section import Section, one_of

Norm = Literal["none", "batch", "instance", "layer", "pixel"]
Activation = Literal["relu", "leaky_relu", "silu", "gelu"]
Width = Annotated[int, Field(ge=1, le=1024)]


class NetworkParams(Section):
    """Params of both networks; their layers next to the picture have `width` channels."""

    family: Annotated[str, one_of(FAMILIES)]
    width: Width
    widest: Annotated[int, Field(ge=1, le=64)]
    activation: Activation


class GeneratorParams(NetworkParams):
    norm: Norm
    first_norm: bool
    self_modulation: bool
    spectral_norm: bool
    last: Literal["tanh", "none"]


class DiscriminatorParams(NetworkParams):
    """Only the common params: the discriminator's norms are in the recipe of the objective."""


class ModelParams(Section):
    latent_size: Annotated[int, Field(ge=1, le=4096)]
    generator: GeneratorParams
    discriminator: DiscriminatorParams
