"""Section `train` of params.yaml: how the networks learn."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from gan.objectives.registry import OBJECTIVES
from gan.params.model import Norm
from gan.params.optimiser import OptimiserParams
from gan.params.section import Section, Seed, Share, Weight, one_of

Precision = Literal["auto", "float64", "float32", "bf16", "fp16"]
Device = Literal["auto", "cpu", "cuda", "mps"]


class PenaltyParams(Section):
    """Weights of the penalties on the discriminator's gradient; 0 leaves one out.

    gradient: of the norm's distance from 1 between real and fake (WGAN-GP). r1, r2: half the
    squared norm at real and at fake pictures is multiplied with it. every: discriminator steps
    from one penalty to the next, which counts for all of them (lazy).
    """

    gradient: Weight
    r1: Weight
    r2: Weight
    every: Annotated[int, Field(ge=1, le=1024)]

    @property
    def enabled(self) -> bool:
        """Whether the discriminator is differentiated twice."""
        return bool(self.gradient or self.r1 or self.r2)


class RecipeParams(Section):
    """What an objective needs to train well: norms, penalties, optimisers, rhythm."""

    critic_steps: Annotated[int, Field(ge=1, le=1000)]
    discriminator_norm: Norm
    discriminator_first_norm: bool
    spectral_norm: bool
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)]
    penalties: PenaltyParams
    generator: OptimiserParams
    discriminator: OptimiserParams

    @model_validator(mode="after")
    def _penalised_samples_are_apart(self) -> Self:
        if self.penalties.enabled and self.discriminator_norm == "batch":
            raise ValueError(
                "discriminator_norm: batch is not allowed with penalties: they are on the "
                "gradient of each sample, and batch norm makes samples depend on each other; "
                "use none, layer, pixel or instance"
            )
        return self


class AverageParams(Section):
    """The averaged generator: half-life in images seen, at most `warm_up` of all seen so far."""

    half_life: PositiveInt
    warm_up: Annotated[float, Field(gt=0, le=1)]


class AugmentParams(Section):
    """What the discriminator sees of real and fake pictures alike."""

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
    """Noise on the discriminator's inputs, falling from `deviation` to 0 at image `until`."""

    deviation: Annotated[float, Field(ge=0, le=2)]
    until: PositiveInt


class EarlyStopParams(Section):
    """End after `patience` grids in a row less diverse than `share` of the best; 0: never."""

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
    recipes: dict[str, RecipeParams]

    @field_validator("recipes", mode="before")
    @classmethod
    def _recipes_are_of_objectives(cls, recipes: Any) -> Any:
        known = isinstance(recipes, dict)  # otherwise its type is told
        if unknown := sorted({str(key) for key in recipes} - set(OBJECTIVES)) if known else []:
            raise ValueError(
                f"there is no objective {', '.join(unknown)}; there are {', '.join(OBJECTIVES)}"
            )
        return recipes

    @model_validator(mode="after")
    def _objective_has_a_recipe(self) -> Self:
        if self.objective not in self.recipes:
            raise ValueError(f"objective = {self.objective!r} has no section in train.recipes")
        if self.objective == "wgan_gp" and not self.recipe.penalties.gradient:
            raise ValueError(
                "recipes.wgan_gp.penalties.gradient = 0: without it the critic's scores have no "
                "bound; the paper's weight is 10"
            )
        return self

    @property
    def recipe(self) -> RecipeParams:
        """The recipe of the objective that is switched on."""
        return self.recipes[self.objective]

    @property
    def images_per_step(self) -> int:
        """Real images that one step of both networks takes, on all devices together."""
        return self.batch_size * self.recipe.critic_steps

    def active(self) -> dict[str, Any]:
        """All that decides the result, as plain values: one recipe, and without the length."""
        values = self.model_dump(exclude={"images", "recipes", "keep_checkpoints"})
        return values | {"recipe": self.recipe.model_dump()}
