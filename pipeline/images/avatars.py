"""From one file to its avatars: the centre square of the picture, or the square of each face."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.images.crop import Frame, cut
from pipeline.images.decode import BadImageError, Geometry, decode, upright
from pipeline.images.face_box import Box, Picture
from pipeline.images.face_rules import NO_FACE, NOT_LISTED, UNREADABLE, FaceRules, Reject, sift
from pipeline.images.faces import Detector, finder


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
    faces: FaceRecipe | None = None  # None: a picture is an avatar


@dataclass(frozen=True)
class Avatar:
    """A picture (size,size,3) uint8, the face's box, and the side that was cut out for it."""

    pixels: NDArray[np.uint8]
    box: Box | None = None
    side: float | None = None  # pixels; None: the picture's short side


@dataclass(frozen=True)
class Outcome:
    """What became of one file: `found` faces = avatars + the rejects that have a box."""

    avatars: tuple[Avatar, ...] = ()
    rejects: tuple[Reject, ...] = ()
    found: int = 0  # without a detector a picture counts as one face


def make_avatars(data: bytes, recipe: Recipe, noted: tuple[Box, ...] | None = None) -> Outcome:
    """The avatars of a file; `noted` are the boxes that a file of boxes has for it.

    Nothing is raised for a bad picture: it is a reject.
    """
    try:
        if recipe.faces is None:
            return Outcome((Avatar(decode(data, recipe.geometry)),), found=1)
        return _faces(data, recipe.geometry, recipe.faces, noted)
    except BadImageError as error:
        return Outcome(rejects=(Reject(UNREADABLE, str(error)),))


def _faces(
    data: bytes, geometry: Geometry, recipe: FaceRecipe, noted: tuple[Box, ...] | None
) -> Outcome:
    image = upright(data, geometry)
    boxes = finder(recipe.detector).find(Picture(image, noted or ()))
    if not boxes:
        listed = noted is not None or recipe.detector.name != "boxes"
        return Outcome(rejects=(Reject(NO_FACE if listed else NOT_LISTED),))
    kept, rejects = sift(boxes, image.size, recipe.rules)
    avatars = (
        Avatar(cut(image, recipe.frame.around(box), geometry.size), box, recipe.frame.side(box))
        for box in kept
    )
    return Outcome(tuple(avatars), tuple(rejects), len(boxes))
