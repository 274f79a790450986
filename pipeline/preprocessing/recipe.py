"""The section `preprocess` of params.yaml, as the work wants it and as a cache tells it."""

from typing import Any

from gan.params.data import PreprocessParams
from pipeline.preprocessing.decoding import crop, decode
from pipeline.preprocessing.decoding.avatars import FaceRecipe, Recipe
from pipeline.preprocessing.duplicates.leaders import Limits
from pipeline.preprocessing.faces.detector import Detector
from pipeline.preprocessing.faces.rules import FaceRules
from pipeline.preprocessing.filters import FilterRules


def make_recipe(settings: PreprocessParams, detector: Detector | None) -> Recipe:
    """All that decides which avatars a file gives."""
    red, green, blue = settings.background
    mode = "pad" if settings.crop == "pad" else "square"
    geometry = decode.Geometry(settings.size, (red, green, blue), settings.max_pixels, mode)
    rules = FilterRules(**settings.filters.model_dump())
    if detector is None:
        return Recipe(geometry, rules=rules)
    faces = settings.faces
    chosen = FaceRules(faces.min_score, faces.min_side, faces.min_share, faces.max_faces)
    frame = crop.Frame(faces.margin, faces.centre)
    return Recipe(geometry, FaceRecipe(detector, chosen, frame), rules)


def near_limits(settings: PreprocessParams) -> Limits | None:
    """How near duplicates are; None if near ones stay."""
    near = settings.duplicates
    return Limits(near.dhash, near.phash) if near.near else None


def decided(settings: PreprocessParams, recipe: Recipe) -> dict[str, Any]:
    """The settings that decide the cache: for the file of a detector, its content."""
    values = settings.model_dump()
    faces = values.pop("faces")
    if recipe.faces is None:
        return values
    for named in ("detector", "file"):
        del faces[named]
    return values | {"faces": recipe.faces.detector.settings() | faces}


def resampling(recipe: Recipe) -> str:
    """The name of the one filter that makes all images of a cache."""
    return decode.FILTER if recipe.faces is None else crop.FILTER
