"""Label smoothing, which only objectives with labels have."""

from gan.errors import GanError
from gan.train_params import RecipeParams

LABELLED = ("bce", "lsgan")


def refuse_labels(objective: str, recipe: RecipeParams) -> None:
    """GanError if the recipe smooths labels, which `objective` has not."""
    if recipe.label_smoothing:
        raise GanError(
            f"train.recipes.{objective}.label_smoothing = {recipe.label_smoothing}: only "
            f"{' and '.join(LABELLED)} have labels; use 0"
        )
