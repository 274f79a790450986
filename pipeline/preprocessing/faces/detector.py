"""Choice of the face detector that params.yaml names.

animeface  AnimeFace's library, from the package animeface (extra `faces`)
cascade    OpenCV (extra `cascade`) with an XML file of the user
boxes      a box file from any other tool
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from gan.errors import GanError
from pipeline.preprocessing.faces import animeface as face_animeface
from pipeline.preprocessing.faces import cascade as face_cascade
from pipeline.preprocessing.faces.animeface import AnimeFace
from pipeline.preprocessing.faces.box import FaceFinder
from pipeline.preprocessing.faces.box_file import BoxFile, ListedFaces
from pipeline.preprocessing.faces.cascade import Cascade

if TYPE_CHECKING:  # workers need no pydantic
    from gan.params.data import FacesParams


@dataclass(frozen=True)
class Detector:
    """All that the boxes of a detector depend on; sent to worker processes."""

    name: str
    version: str = ""  # of the package
    file: Path = Path()  # the package's library, or the user's file
    digest: str = ""  # sha256 of the user's file

    def settings(self) -> dict[str, str]:
        """The detector as a cache records it: by the content of its file, not by its path."""
        values = {"detector": self.name, "version": self.version, "sha256": self.digest}
        return {key: value for key, value in values.items() if value}


def choose_detector(settings: "FacesParams", folder: Path) -> Detector:
    """Choose the detector that `settings` name and check that it works.

    `folder` holds its file. Raises GanError if a package or file is missing or unusable.
    """
    match settings.detector:
        case "animeface":
            library = face_animeface.find_library()
            face_animeface.check_library(library)
            return Detector("animeface", face_animeface.version(), library)
        case "cascade":
            version = str(face_cascade.opencv().__version__)
            file = folder / settings.file
            chosen = Detector("cascade", version, file, _digest(file))
            Cascade(file)
            return chosen
    file = folder / settings.file
    return Detector("boxes", "", file, _digest(file))


def read_box_file(detector: Detector | None) -> BoxFile | None:
    """Read the file of the detector `boxes`; None for another detector."""
    return BoxFile.read(detector.file) if detector and detector.name == "boxes" else None


@cache
def build_finder(detector: Detector) -> FaceFinder:
    """Build the finder of a detector, once a process."""
    match detector.name:
        case "animeface":
            return AnimeFace(detector.file)
        case "cascade":
            return Cascade(detector.file)
    return ListedFaces()


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        raise GanError(
            f"{file}: no such file; put it there, or correct preprocess.faces.file"
        ) from None
    except OSError as error:
        raise GanError(f"{file}: cannot be read: {error.strerror}") from None
