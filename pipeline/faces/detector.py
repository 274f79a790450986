"""Choice of the face detector that params.yaml names.

animeface  AnimeFace's library, from the package animeface (extra `faces`)
cascade    OpenCV (extra `cascade`) with an XML file of the user
boxes      a box file from any other tool
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image

from gan.errors import GanError
from gan.params.data import FacesParams
from pipeline.console import one_line
from pipeline.faces.animeface import AnimeFace, check_library, find_library
from pipeline.faces.box import Box
from pipeline.paths import sha256_of

LONGEST_SIDE = 1000  # pixels of a detector's input: larger ones cost time and find no more faces
INSTALL = "pip install -e '.[cascade]'"
SCALE_FACTOR, NEIGHBOURS, SMALLEST = 1.1, 5, 24  # as lbpcascade_animeface's author uses it


@dataclass(frozen=True)
class Detector:
    """All that the boxes of a detector depend on; sent to worker processes."""

    name: str
    version: str = ""  # of the package
    file: Path = Path()  # the package's library, or the user's file
    digest: str = ""  # sha256 of the user's file

    def describe(self) -> dict[str, str]:
        """The detector as a cache records it: by the content of its file, not by its path."""
        values = {"detector": self.name, "version": self.version, "sha256": self.digest}
        return {key: value for key, value in values.items() if value}


def choose_detector(settings: FacesParams, folder: Path) -> Detector:
    """Choose the detector that `settings` name and check that it works.

    `folder` holds its file. Raises GanError if a package or file is missing or unusable.
    """
    if settings.detector == "animeface":
        try:
            return choose_animeface()
        except GanError as error:
            instead = "or set preprocess.faces.detector to cascade or boxes"
            raise GanError(f"{error}, {instead}") from None
    version = str(opencv().__version__) if settings.detector == "cascade" else ""
    file = folder / settings.file
    try:
        digest = sha256_of(file)
    except OSError as error:
        fix = "put it there, or correct preprocess.faces.file"
        raise GanError(f"{file}: cannot be read: {error.strerror}; {fix}") from None
    if settings.detector == "cascade":
        Cascade(file)
    return Detector(settings.detector, version, file, digest)


def choose_animeface() -> Detector:
    """Choose AnimeFace and check that it works; GanError if it is missing or unusable."""
    library = find_library()
    check_library(library)
    return Detector("animeface", metadata.version("animeface"), library)


def find_faces(page: Image.Image, detector: Detector) -> list[Box]:
    """All faces of an upright RGB page; equal pages give equal boxes, in equal order.

    A detector gets large pages antialiased and shrunk.
    """
    share = min(1.0, LONGEST_SIDE / max(page.size))
    size = max(1, round(page.width * share)), max(1, round(page.height * share))
    small = page if share == 1 else page.resize(size, Image.Resampling.LANCZOS)
    across, down = page.width / size[0], page.height / size[1]
    return [
        Box(box.x * across, box.y * down, box.width * across, box.height * down, box.score)
        for box in _build_finder(detector)(small)
    ]


@cache
def _build_finder(detector: Detector) -> Callable[[Image.Image], list[Box]]:
    """Build the finder of a detector, once a process."""
    finder = Cascade if detector.name == "cascade" else AnimeFace
    return finder(detector.file).find


class Cascade:
    """A finder by a cascade in an XML file; scores are numbers of neighbours, 5 and more.

    Raises GanError if OpenCV can't read the file as a cascade.
    """

    def __init__(self, file: Path) -> None:
        self._cv2 = opencv()
        try:
            self._classifier = self._cv2.CascadeClassifier(str(file))
            empty = self._classifier.empty()
        except (self._cv2.error, SystemError):
            empty = True
        if empty:
            raise GanError(f"{file}: not a cascade that OpenCV can read; give its .xml file")

    def find(self, image: Image.Image) -> list[Box]:
        """The faces of an RGB image, from top to bottom."""
        # equalised: the published cascades were trained on such pictures
        grey = self._cv2.equalizeHist(np.asarray(image.convert("L")))
        found, neighbours = self._classifier.detectMultiScale2(
            grey, scaleFactor=SCALE_FACTOR, minNeighbors=NEIGHBOURS, minSize=(SMALLEST, SMALLEST)
        )
        boxes = [
            Box(int(x), int(y), int(width), int(height), float(score))
            for (x, y, width, height), score in zip(found, neighbours, strict=True)
        ]
        return sorted(boxes, key=lambda box: (box.y, box.x, box.width))


@cache
def opencv() -> ModuleType:
    """The module cv2, quiet and on one core; GanError if it is absent or has no cascades."""
    try:
        import cv2
    except ImportError as error:
        missing = one_line(str(error))
        raise GanError(f"OpenCV cannot be imported ({missing}); {INSTALL}") from None
    if not hasattr(cv2, "CascadeClassifier"):
        raise GanError(f"OpenCV {cv2.__version__} has no cascades any more; {INSTALL}")
    # the order of what several threads find is not fixed, and the pool uses all cores already
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2
