"""Section `train` of params.yaml: objective, optimisers, augmentation, intervals."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator, with_config
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from gan.objectives.registry import OBJECTIVES
from gan.params.model import Norm
from gan.params.section import SETTINGS, Images, Section, Seed, Share, Weight, one_of

Precision = Literal["auto", "float64", "float32", "bf16", "fp16"]
Device = Literal["auto", "cpu", "cuda", "mps"]

ARGUMENTS = {
    "adam": ("betas", "eps", "weight_decay", "amsgrad"),
    "adamw": ("betas", "eps", "weight_decay", "amsgrad"),
    "rmsprop": ("alpha", "eps", "momentum", "weight_decay", "centered"),
    "sgd": ("momentum", "dampening", "nesterov", "weight_decay"),
}
"""Arguments of torch's optimisers that params.yaml may set; the others keep torch's defaults."""

Memory = Annotated[float, Field(ge=0, lt=1)]
"""A share of what is remembered: at 1 nothing is forgotten, or nothing learned."""


@with_config(SETTINGS)
class Arguments(TypedDict, total=False):
    """Arguments of any optimiser."""

    betas: Annotated[list[Memory], Field(min_length=2, max_length=2)]
    alpha: Memory
    momentum: Memory
    dampening: Memory
    eps: Weight
    weight_decay: Weight
    amsgrad: bool
    nesterov: bool
    centered: bool


class ScheduleParams(Section):
    """Schedule of the learning rate, as a factor on `learning_rate`.

    It rises from 0 during `warm_up` images. If it is linear or cosine, it stays at 1 for the share
    `hold` of the training's length, and falls to `floor` at its end.
    """

    shape: Literal["constant", "linear", "cosine"]
    warm_up: Images
    hold: Annotated[float, Field(ge=0, lt=1)]
    floor: Share


class OptimiserParams(Section):
    optimiser: Literal["adam", "adamw", "rmsprop", "sgd"]
    learning_rate: PositiveFloat
    arguments: Arguments
    schedule: ScheduleParams

    @model_validator(mode="after")
    def _arguments_fit(self) -> Self:
        allowed = ARGUMENTS[self.optimiser]
        for name in self.arguments:
            if name not in allowed:
                raise ValueError(
                    f"{self.optimiser} takes no argument {name!r}; it takes {', '.join(allowed)}"
                )
        given = self.arguments
        if given.get("nesterov") and (not given.get("momentum") or given.get("dampening")):
            raise ValueError("arguments.nesterov = True needs a momentum, and a dampening of 0")
        return self


class PenaltyParams(Section):
    """Weights of the penalties on the discriminator's gradient; 0 switches one off.

    gradient: WGAN-GP's, of the norm's distance from 1 between real and fake pictures. r1, r2: of
    half the squared norm at real and at fake pictures. every: only each `every`-th update of the
    discriminator has penalties, times `every` (lazy regularisation).
    """

    gradient: Weight
    r1: Weight
    r2: Weight
    every: Annotated[int, Field(ge=1, le=1024)]

    @property
    def enabled(self) -> bool:
        """Whether any penalty is on, so that the discriminator needs a double backward."""
        return bool(self.gradient or self.r1 or self.r2)


class RecipeParams(Section):
    """Settings with which an objective trains well: norms, penalties, optimisers, critic steps."""

    critic_steps: Annotated[int, Field(ge=1, le=1000)]
    discriminator_norm: Norm
    discriminator_first_norm: bool
    spectral_norm: bool
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)]
    penalties: PenaltyParams
    generator: OptimiserParams
    discriminator: OptimiserParams

    @model_validator(mode="after")
    def _check_norm(self) -> Self:
        if self.penalties.enabled and self.discriminator_norm == "batch":
            raise ValueError(
                "discriminator_norm: batch is not allowed with penalties, which need the gradient "
                "of each sample, since batch norm makes samples depend on each other; use none, "
                "layer, pixel or instance"
            )
        return self

    @property
    def decays(self) -> bool:
        """Whether a learning rate falls, so that every step depends on the training's length."""
        return {self.generator.schedule.shape, self.discriminator.schedule.shape} != {"constant"}


class AverageParams(Section):
    """The averaged generator: half-life in images, at most the share `warm_up` of images seen."""

    half_life: PositiveInt
    warm_up: Annotated[float, Field(gt=0, le=1)]


class AugmentParams(Section):
    """Augmentation of real and fake pictures before the discriminator."""

    colour: bool
    translation: bool
    cutout: bool
    strength: Share
    ada_target: Annotated[float, Field(ge=0, lt=1)]
    ada_images: PositiveInt

    @property
    def enabled(self) -> bool:
        return self.colour or self.translation or self.cutout


class NoiseParams(Section):
    """Instance noise on the discriminator's inputs, from `deviation` to 0 at image `until`."""

    deviation: Annotated[float, Field(ge=0, le=2)]
    until: PositiveInt


class EarlyStopParams(Section):
    """Stop after `patience` grids in a row below `share` of the best diversity; 0: never."""

    patience: Annotated[int, Field(ge=0)]
    share: Share


class TrainParams(Section):
    seed: Seed
    images: Annotated[int, Field(ge=1, le=2**53)]
    batch_size: Annotated[int, Field(ge=2, le=65536)]
    objective: Annotated[str, one_of(OBJECTIVES)]
    init_from: str
    flip: bool
    augment: AugmentParams
    instance_noise: NoiseParams
    average: AverageParams
    early_stop: EarlyStopParams
    device: Device
    precision: Precision
    compile: bool
    log_every: PositiveInt
    grid_every: PositiveInt
    snapshot_every: PositiveInt
    checkpoint_every: PositiveInt
    keep_checkpoints: Annotated[int, Field(ge=2, le=1000)]
    recipes: dict[Annotated[str, one_of(OBJECTIVES)], RecipeParams]

    @model_validator(mode="after")
    def _check_recipe(self) -> Self:
        if self.objective not in self.recipes:
            raise ValueError(f"objective = {self.objective!r} has no section in train.recipes")
        if self.objective == "wgan_gp" and not self.recipe.penalties.gradient:
            raise ValueError(
                "recipes.wgan_gp.penalties.gradient = 0: without the penalty the critic's scores "
                "have no bound; use the paper's 10"
            )
        return self

    @property
    def recipe(self) -> RecipeParams:
        """The recipe of the chosen objective."""
        return self.recipes[self.objective]

    @property
    def images_per_step(self) -> int:
        """Real images that one step of both networks uses, on all devices together."""
        return self.batch_size * self.recipe.critic_steps

    def active(self) -> dict[str, Any]:
        """Plain values of the params that decide a step: one recipe, and the length only if a
        learning rate falls with it, since a longer training could not resume then."""
        without = {"recipes", "keep_checkpoints"} | (set() if self.recipe.decays else {"images"})
        return self.model_dump(exclude=without) | {"recipe": self.recipe.model_dump()}
