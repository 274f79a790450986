"""Faces in fakes and in real images, for the face share, by the detector that crops faces too."""

from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from gan.features.statistics import Features
from gan.metrics.face_share import DETECTOR, MAX_PICTURES, compare_face_shares
from gan.metrics.metric import Descriptor
from pipeline.console import track
from pipeline.faces.detector import Detector, choose_animeface, find_faces

# AnimeFace finds faces of 43 px and more, and none that touches the edge: of real faces of 64 px,
# 0.14 as they are, 0.20 enlarged three times, 0.85 so
ENLARGED, BORDER, WHITE = 2, 32, (255, 255, 255)
PROTOCOL = (
    f"pixels: uint8, at most {MAX_PICTURES} images a side, evenly spaced; enlarged {ENLARGED} "
    f"times by Pillow's bicubic filter, with {BORDER} px of white around; 1 where {DETECTOR} "
    "finds a face"
)


def open_face_descriptor() -> Descriptor:
    """Descriptor that is 1 where AnimeFace finds a face; GanError if it isn't installed here."""
    detector = choose_animeface()
    protocol = f"{PROTOCOL}; {detector.name} {detector.version}"
    return Descriptor(DETECTOR, 1, protocol, partial(_describe, detector), compare_face_shares)


def _describe(detector: Detector, images: NDArray[np.uint8]) -> Features:
    """1 for each of the images (n, 3, H, W) with a face, else 0, (n, 1)."""
    tracked = track(images.transpose(0, 2, 3, 1), f"{detector.name}: pictures", len(images))
    found = [bool(find_faces(enlarge(Image.fromarray(image)), detector)) for image in tracked]
    return np.array(found, dtype=np.float32)[:, None]


def enlarge(image: Image.Image) -> Image.Image:
    """An RGB image of twice the width and height, in a white frame."""
    size = ENLARGED * image.width, ENLARGED * image.height
    return ImageOps.expand(image.resize(size, Image.Resampling.BICUBIC), BORDER, WHITE)
