"""Detection of faces by an OpenCV cascade of the user, such as lbpcascade_animeface.xml."""

from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image

from gan.errors import GanError
from pipeline.console import one_line
from pipeline.preprocessing.faces.rules import Box

INSTALL = "pip install -e '.[cascade]'"
SCALE_FACTOR, NEIGHBOURS, SMALLEST = 1.1, 5, 24  # as lbpcascade_animeface's author uses it


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
