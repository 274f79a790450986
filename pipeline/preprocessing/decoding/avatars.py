"""From one file to its avatars: the centre, or the whole, of the picture, or each of its faces."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.preprocessing.decoding.crop import Frame, cut
from pipeline.preprocessing.decoding.decode import BadImageError, Geometry, full, opened, square
from pipeline.preprocessing.decoding.plain_jpeg import PlainJpeg
from pipeline.preprocessing.faces.box import Box, Picture
from pipeline.preprocessing.faces.detector import Detector, finder
from pipeline.preprocessing.faces.rules import (
    NO_FACE,
    NOT_LISTED,
    UNREADABLE,
    FaceRules,
    Reject,
    sift,
)
from pipeline.preprocessing.filters import NO_LIMITS, FilterRules, picture_fault


@dataclass(frozen=True)
class FaceRecipe:
    """How faces are found, chosen and framed."""

    detector: Detector
    rules: FaceRules
    frame: Frame


@dataclass(frozen=True)
class Recipe:
    """All that decides which avatars a file gives; goes to other processes."""

    geometry: Geometry
    faces: FaceRecipe | None = None  # None: a picture is an avatar, cut as geometry.crop says
    rules: FilterRules = NO_LIMITS


@dataclass(frozen=True)
class Avatar:
    """A picture (size,size,3) uint8, C-ordered, the side that it spans, and the face's box."""

    pixels: NDArray[np.uint8]
    side: float  # pixels of the source picture; with borders, those count
    box: Box | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of one file: `found` faces = avatars + the rejects that have a box."""

    avatars: tuple[Avatar, ...] = ()
    rejects: tuple[Reject, ...] = ()
    found: int = 0  # without a detector a picture counts as one face


def make_avatars(data: bytes, recipe: Recipe, noted: tuple[Box, ...] | None = None) -> Outcome:
    """The avatars of a file; `noted` are the boxes that a file of boxes has for it.

    Nothing is raised for a bad picture: it is a reject. One that is refused for its size or shape
    costs no more than the reading of its header.
    """
    geometry = recipe.geometry
    try:
        if recipe.faces is None and (outcome := _quickly(data, recipe)) is not None:
            return outcome
        with opened(data, geometry) as image:
            fault = picture_fault(image.size, recipe.rules)
            if fault is not None:
                return Outcome(rejects=(fault,))
            if recipe.faces is None:
                side = geometry.side(image.size)
                return Outcome((Avatar(square(image, geometry), side),), found=1)
            page = full(image, geometry)
    except BadImageError as error:
        return Outcome(rejects=(Reject(UNREADABLE, str(error)),))
    return _faces(page, geometry.size, recipe.faces, noted)


def _quickly(data: bytes, recipe: Recipe) -> Outcome | None:
    """The avatar of a plain JPEG; None if it is no such file, or damaged."""
    image = PlainJpeg.of(data, recipe.geometry)
    if image is None:
        return None
    fault = picture_fault(image.size, recipe.rules)
    if fault is not None:
        return Outcome(rejects=(fault,))
    pixels = image.square(recipe.geometry)
    if pixels is None:
        return None
    return Outcome((Avatar(pixels, recipe.geometry.side(image.size)),), found=1)


def _faces(
    page: Image.Image, size: int, recipe: FaceRecipe, noted: tuple[Box, ...] | None
) -> Outcome:
    boxes = finder(recipe.detector).find(Picture(page, noted or ()))
    if not boxes:
        listed = noted is not None or recipe.detector.name != "boxes"
        return Outcome(rejects=(Reject(NO_FACE if listed else NOT_LISTED),))
    kept, rejects = sift(boxes, page.size, recipe.rules)
    avatars = (
        Avatar(cut(page, recipe.frame.around(box), size), recipe.frame.side(box), box)
        for box in kept
    )
    return Outcome(tuple(avatars), tuple(rejects), len(boxes))
