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

from PIL import Image

from gan.errors import GanError
from gan.params.data import FacesParams
from pipeline.paths import sha256_of
from pipeline.preprocessing.faces.animeface import AnimeFace, check_library, find_library
from pipeline.preprocessing.faces.cascade import Cascade, opencv
from pipeline.preprocessing.faces.rules import Box

LONGEST_SIDE = 1000  # pixels of a detector's input: larger ones cost time and find no more faces


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
        library = find_library()
        check_library(library)
        return Detector("animeface", metadata.version("animeface"), library)
    version = str(opencv().__version__) if settings.detector == "cascade" else ""
    file = folder / settings.file
    try:
        digest = sha256_of(file)
    except FileNotFoundError:
        raise GanError(
            f"{file}: no such file; put it there, or correct preprocess.faces.file"
        ) from None
    except OSError as error:
        raise GanError(f"{file}: cannot be read: {error.strerror}") from None
    if settings.detector == "cascade":
        Cascade(file)
    return Detector(settings.detector, version, file, digest)


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
