"""Avatars of a picture file: its centre, the whole picture, or each of its faces."""

from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gan.params.data import PreprocessParams
from pipeline.faces.box import Box
from pipeline.faces.detector import Detector, find_faces
from pipeline.preprocessing.decoding import crop, decode
from pipeline.preprocessing.faces.rules import (
    NO_FACE,
    NOT_LISTED,
    UNREADABLE,
    Reject,
    choose_boxes,
)
from pipeline.preprocessing.filters import check_picture


@dataclass(frozen=True)
class Recipe:
    """All that decides which avatars a file gives; sent to worker processes."""

    settings: PreprocessParams
    detector: Detector | None = None  # None: a picture is an avatar, cut as settings.crop says

    @property
    def most_avatars(self) -> int:
        """Avatars of one picture, at most."""
        return 1 if self.detector is None else self.settings.faces.max_faces

    @property
    def resampling(self) -> str:
        """The name of the resampling filter, as in meta.json."""
        return decode.FILTER if self.detector is None else crop.FILTER


@dataclass(frozen=True)
class Avatar:
    """A picture (size,size,3) uint8, C-ordered, the side that it spans, and the face's box."""

    pixels: NDArray[np.uint8]
    side: float  # pixels of the source picture; with borders, those count
    box: Box | None = None


def make_avatars(
    data: bytes, recipe: Recipe, listed: tuple[Box, ...] | None = None
) -> tuple[list[Avatar], list[Reject]]:
    """Decode a file and cut its avatars; `listed` are the boxes that a box file has for it.

    As many faces were found as there are avatars and rejected boxes. Nothing is raised for a bad
    picture: it is a reject. If its size or shape is beyond a limit it is not decoded, unless it
    is a small plain JPEG.
    """
    settings = recipe.settings
    try:
        plain = decode.load_plain_jpeg(data, settings) if recipe.detector is None else None
        with nullcontext(plain) if plain else decode.open_picture(data, settings) as image:
            reject = check_picture(image.size, settings.filters)
            if reject is not None:
                return [], [reject]
            if recipe.detector is None:
                side = decode.square_side(image.size, settings)  # before libjpeg shrinks it
                if plain:
                    pixels = np.asarray(decode.fit_square(plain, plain.size, settings))
                else:
                    pixels = decode.load_square(image, settings)
                return [Avatar(pixels, side)], []
            page = decode.load_full(image, settings)
    except decode.BadImageError as error:
        return [], [Reject(UNREADABLE, str(error))]
    return _cut_faces(page, settings, recipe.detector, listed)


def _cut_faces(
    page: Image.Image,
    settings: PreprocessParams,
    detector: Detector,
    listed: tuple[Box, ...] | None,
) -> tuple[list[Avatar], list[Reject]]:
    if detector.name == "boxes" and listed is None:
        return [], [Reject(NOT_LISTED)]
    boxes = listed if detector.name == "boxes" else find_faces(page, detector)
    if not boxes:
        return [], [Reject(NO_FACE)]
    kept, rejects = choose_boxes(boxes, page.size, settings.faces)
    avatars = []
    for box in kept:
        square = crop.frame_face(box, settings.faces)
        pixels = crop.cut_square(page, square, settings.size)
        avatars.append(Avatar(pixels, settings.faces.margin * max(box.width, box.height), box))
    return avatars, rejects
