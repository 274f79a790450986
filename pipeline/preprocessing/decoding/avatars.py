"""Avatars of a picture file: its centre, the whole picture, or each of its faces."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.preprocessing.decoding import crop, decode
from pipeline.preprocessing.decoding.crop import Frame, cut_square
from pipeline.preprocessing.decoding.decode import (
    BadImageError,
    Geometry,
    load_full,
    load_square,
    open_picture,
)
from pipeline.preprocessing.decoding.plain_jpeg import PlainJpeg
from pipeline.preprocessing.faces.box import Box, Picture
from pipeline.preprocessing.faces.detector import Detector, build_finder
from pipeline.preprocessing.faces.rules import (
    NO_FACE,
    NOT_LISTED,
    UNREADABLE,
    FaceRules,
    Reject,
    choose_boxes,
)
from pipeline.preprocessing.filters import NO_LIMITS, FilterRules, check_picture


@dataclass(frozen=True)
class FaceRecipe:
    """How faces are found, chosen and framed."""

    detector: Detector
    rules: FaceRules
    frame: Frame


@dataclass(frozen=True)
class Recipe:
    """All that decides which avatars a file gives; sent to worker processes."""

    geometry: Geometry
    faces: FaceRecipe | None = None  # None: a picture is an avatar, cut as geometry.crop says
    filters: FilterRules = NO_LIMITS

    @property
    def most_avatars(self) -> int:
        """Avatars of one picture, at most."""
        return 1 if self.faces is None else self.faces.rules.max_faces

    @property
    def resampling(self) -> str:
        """The name of the resampling filter, as in meta.json."""
        return decode.FILTER if self.faces is None else crop.FILTER


@dataclass(frozen=True)
class Avatar:
    """A picture (size,size,3) uint8, C-ordered, the side that it spans, and the face's box."""

    pixels: NDArray[np.uint8]
    side: float  # pixels of the source picture; with borders, those count
    box: Box | None = None


@dataclass(frozen=True)
class FileResult:
    """Avatars and rejects of one file: `faces_found` = avatars + the rejects that have a box."""

    avatars: tuple[Avatar, ...] = ()
    rejects: tuple[Reject, ...] = ()
    faces_found: int = 0  # without a detector a picture counts as one face


def make_avatars(data: bytes, recipe: Recipe, boxes: tuple[Box, ...] | None = None) -> FileResult:
    """Decode a file and cut its avatars; `boxes` are those that a box file lists for it.

    Nothing is raised for a bad picture: it is a reject. If its size or shape is beyond a limit
    only its header is read.
    """
    geometry = recipe.geometry
    try:
        if recipe.faces is None and (result := _decode_plain_jpeg(data, recipe)) is not None:
            return result
        with open_picture(data, geometry) as image:
            reject = check_picture(image.size, recipe.filters)
            if reject is not None:
                return FileResult(rejects=(reject,))
            if recipe.faces is None:
                side = geometry.side(image.size)
                return FileResult((Avatar(load_square(image, geometry), side),), faces_found=1)
            page = load_full(image, geometry)
    except BadImageError as error:
        return FileResult(rejects=(Reject(UNREADABLE, str(error)),))
    return _cut_faces(page, geometry.size, recipe.faces, boxes)


def _decode_plain_jpeg(data: bytes, recipe: Recipe) -> FileResult | None:
    """The avatar of a plain JPEG; None if it is no such file, or damaged."""
    image = PlainJpeg.open(data, recipe.geometry)
    if image is None:
        return None
    reject = check_picture(image.size, recipe.filters)
    if reject is not None:
        return FileResult(rejects=(reject,))
    pixels = image.load_square(recipe.geometry)
    if pixels is None:
        return None
    return FileResult((Avatar(pixels, recipe.geometry.side(image.size)),), faces_found=1)


def _cut_faces(
    page: Image.Image, size: int, recipe: FaceRecipe, listed: tuple[Box, ...] | None
) -> FileResult:
    boxes = build_finder(recipe.detector).find(Picture(page, listed or ()))
    if not boxes:
        absent = listed is None and recipe.detector.name == "boxes"
        return FileResult(rejects=(Reject(NOT_LISTED if absent else NO_FACE),))
    kept, rejects = choose_boxes(boxes, page.size, recipe.rules)
    avatars = (
        Avatar(cut_square(page, recipe.frame.around(box), size), recipe.frame.side(box), box)
        for box in kept
    )
    return FileResult(tuple(avatars), tuple(rejects), len(boxes))
