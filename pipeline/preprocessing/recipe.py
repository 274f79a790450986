"""Section `preprocess` of params.yaml as a recipe for the workers and as a cache records it."""

from typing import Any

from gan.params.data import DuplicateParams, PreprocessParams
from pipeline.preprocessing.decoding.avatars import FaceRecipe, Recipe
from pipeline.preprocessing.decoding.crop import Frame
from pipeline.preprocessing.decoding.decode import Geometry
from pipeline.preprocessing.duplicates.leaders import NearLimits
from pipeline.preprocessing.faces.detector import Detector
from pipeline.preprocessing.faces.rules import FaceRules
from pipeline.preprocessing.filters import FilterRules


def make_recipe(settings: PreprocessParams, detector: Detector | None) -> Recipe:
    """Build the recipe that the section describes."""
    red, green, blue = settings.background
    mode = "pad" if settings.crop == "pad" else "square"
    geometry = Geometry(settings.size, (red, green, blue), settings.max_pixels, mode)
    filters = FilterRules(**settings.filters.model_dump())
    if detector is None:
        return Recipe(geometry, filters=filters)
    faces = settings.faces
    rules = FaceRules(faces.min_score, faces.min_side, faces.min_share, faces.max_faces)
    frame = Frame(faces.margin, faces.centre)
    return Recipe(geometry, FaceRecipe(detector, rules, frame), filters)


def make_near_limits(settings: DuplicateParams) -> NearLimits | None:
    """Largest distances of near-duplicates; None if these are kept."""
    return NearLimits(settings.dhash, settings.phash) if settings.near else None


def record_settings(settings: PreprocessParams, detector: Detector | None) -> dict[str, Any]:
    """The settings that decide a cache, as in meta.json: of a detector's file, the content."""
    values = settings.model_dump()
    faces = values.pop("faces")
    if detector is None:
        return values
    del faces["detector"], faces["file"]
    return values | {"faces": detector.settings() | faces}
