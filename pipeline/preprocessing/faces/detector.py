"""Finders of faces: `find(picture) -> boxes`, by whichever detector params.yaml names.

animeface  AnimeFace's library, from the package animeface (extra `faces`)
cascade    OpenCV (extra `cascade`) with an XML file that the user brings
boxes      a file of boxes from any other tool
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
from pipeline.preprocessing.faces.box_file import NotedFaces
from pipeline.preprocessing.faces.cascade import Cascade

if TYPE_CHECKING:  # workers need no pydantic
    from gan.params.data import FacesParams


@dataclass(frozen=True)
class Detector:
    """Which finder to build, and all that its boxes depend on; goes to other processes."""

    name: str
    version: str = ""  # of the package that finds
    file: Path = Path()  # its library, or the user's file
    digest: str = ""  # sha256 of the user's file

    def settings(self) -> dict[str, str]:
        """What belongs into a cache's settings: contents count, places do not."""
        named = {"detector": self.name, "version": self.version, "sha256": self.digest}
        return {key: value for key, value in named.items() if value}


def choose_detector(settings: "FacesParams", folder: Path) -> Detector:
    """The detector that `settings` name, proved to work.

    Files are looked for in `folder`. Raises GanError if a package or file is missing or unfit.
    """
    match settings.detector:
        case "animeface":
            library = face_animeface.find_library()
            face_animeface.prove(library)
            return Detector("animeface", face_animeface.version(), library)
        case "cascade":
            version = str(face_cascade.opencv().__version__)
            file = folder / settings.file
            chosen = Detector("cascade", version, file, _digest(file))
            Cascade(file)
            return chosen
    file = folder / settings.file
    return Detector("boxes", "", file, _digest(file))


@cache
def finder(detector: Detector) -> FaceFinder:
    """The finder of a detector, built once a process."""
    match detector.name:
        case "animeface":
            return AnimeFace(detector.file)
        case "cascade":
            return Cascade(detector.file)
    return NotedFaces()


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
