"""Detection of faces by AnimeFace (nagadomi, 2009), whose library the package `animeface` ships.

The package's own binding reads Pillow's private structures and, since Pillow 12 changed them,
finds no faces and raises no error. So the library is called directly, and has to find a known
face before it is used.
"""

import ctypes
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata, util
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gan.errors import GanError
from pipeline.preprocessing.faces.box import Box, DetectorImage, Picture

INSTALL = (
    "pip install -e '.[faces]' (there are wheels for Linux x86-64 and macOS arm64), or set "
    "preprocess.faces.detector to cascade or boxes"
)
STEP, SCALE_FACTOR, SMALLEST = 4.0, 1.095, 42.592  # AnimeFace's own settings; pixels of a face
MOST_FACES = 4096  # of one picture
TEST_PICTURE = Path(__file__).with_name("selftest.jpg")
TEST_FACE = (88.0, 132.0, 88.0, 88.0)  # the one face of TEST_PICTURE: x, y, width, height
TEST_SLACK = 0.25  # of the width: how far a box may lie from there

Find = Callable[[Path], list[Box]]


class _Matrix(ctypes.Structure):
    """nv_matrix_t: rows x cols pixels of n floats, `step` floats apart."""

    _fields_ = (
        ("list", ctypes.c_int),
        ("list_step", ctypes.c_uint),
        ("n", ctypes.c_int),
        ("m", ctypes.c_int),
        ("rows", ctypes.c_int),
        ("cols", ctypes.c_int),
        ("step", ctypes.c_int),
        ("alias", ctypes.c_int),
        ("v", ctypes.POINTER(ctypes.c_float)),
    )


class _Rect(ctypes.Structure):
    """nv_rect_t."""

    _fields_ = tuple((name, ctypes.c_int) for name in ("x", "y", "width", "height"))


class _Face(ctypes.Structure):
    """nv_face_position_t."""

    _fields_ = (
        ("likelihood", ctypes.c_float),
        *((name, _Rect) for name in ("face", "left_eye", "right_eye", "nose", "mouth", "chin")),
    )


_MatrixPointer = ctypes.POINTER(_Matrix)
_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "nv_matrix3d_alloc": (_MatrixPointer, (ctypes.c_int,) * 3),
    "nv_matrix_zero": (None, (_MatrixPointer,)),
    "nv_matrix_free": (None, (ctypes.POINTER(_MatrixPointer),)),
    "nv_gray": (None, (_MatrixPointer, _MatrixPointer)),
    "nv_gaussian5x5": (None, (_MatrixPointer, ctypes.c_int) * 2),
    "nv_laplacian1": (None, (_MatrixPointer, _MatrixPointer, ctypes.c_float)),
    "nv_integral": (None, (_MatrixPointer, _MatrixPointer, ctypes.c_int)),
    "nv_face_detect": (
        ctypes.c_int,
        (
            *(ctypes.POINTER(_Face), ctypes.c_int, _MatrixPointer, _MatrixPointer),
            *(ctypes.POINTER(_Rect), ctypes.c_void_p, ctypes.c_void_p),
            *(ctypes.POINTER(ctypes.c_void_p), ctypes.c_int, ctypes.c_void_p),
            *(ctypes.c_float,) * 3,
        ),
    ),
}
_NETWORKS = ("dir", "face_00", "face_01", "face_02", "parts")


class AnimeFace:
    """A finder of faces of 43 pixels and more; scores are likelihoods, 0.5 to 1."""

    def __init__(self, library: Path) -> None:
        try:
            self._library = ctypes.CDLL(str(library))
            for name, (result, arguments) in _SIGNATURES.items():
                function = getattr(self._library, name)
                function.restype, function.argtypes = result, arguments
            self._networks = {name: self._address(f"nv_face_mlp_{name}") for name in _NETWORKS}
        except (OSError, AttributeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise GanError(f"animeface: its library does not fit: {reason}; {INSTALL}") from None

    def _address(self, symbol: str) -> int:
        return ctypes.addressof(ctypes.c_char.in_dll(self._library, symbol))

    def find(self, picture: Picture) -> list[Box]:
        """The faces of a picture, as they come from the library."""
        shrunk = DetectorImage.of(picture.image)
        if min(shrunk.image.size) <= SMALLEST:
            return []  # the library's filters read beyond the end of such a picture
        return [
            shrunk.box(
                face.face.x, face.face.y, face.face.width, face.face.height, face.likelihood
            )
            for face in self._detect(np.asarray(shrunk.image))
        ]

    def _detect(self, pixels: NDArray[np.uint8]) -> Sequence[_Face]:
        """The steps before detection as AnimeFace's own programs take them."""
        height, width = pixels.shape[:2]
        with (
            self._matrix(3, height, width) as bgr,
            self._matrix(1, height, width) as gray,
            self._matrix(1, height, width) as smooth,
            self._matrix(1, height, width) as edge,
            self._matrix(1, height + 1, width + 1) as gray_sum,
            self._matrix(1, height + 1, width + 1) as edge_sum,
        ):
            _fill(bgr, pixels)
            self._library.nv_gray(gray, bgr)
            self._library.nv_gaussian5x5(smooth, 0, gray, 0)
            self._library.nv_laplacian1(edge, smooth, 4.0)
            self._library.nv_integral(gray_sum, gray, 0)
            self._library.nv_integral(edge_sum, edge, 0)
            return self._search(gray_sum, edge_sum, _Rect(0, 0, width, height))

    def _search(self, gray_sum: Any, edge_sum: Any, area: _Rect) -> Sequence[_Face]:
        of = self._networks
        bagging = (ctypes.c_void_p * 3)(of["face_01"], of["face_02"], None)
        faces = (_Face * MOST_FACES)()
        count = self._library.nv_face_detect(
            *(faces, MOST_FACES, gray_sum, edge_sum, area, of["dir"], of["face_00"]),
            *(bagging, 2, of["parts"], STEP, SCALE_FACTOR, SMALLEST),
        )
        return faces[:count]

    @contextmanager
    def _matrix(self, channels: int, rows: int, cols: int) -> Iterator[Any]:
        matrix = self._library.nv_matrix3d_alloc(channels, rows, cols)
        if not matrix:
            raise MemoryError
        try:
            self._library.nv_matrix_zero(matrix)
            yield matrix
        finally:
            self._library.nv_matrix_free(ctypes.byref(matrix))


def _fill(matrix: Any, rgb: NDArray[np.uint8]) -> None:
    """Write a picture into a matrix of three channels: blue, green, red."""
    inside = matrix.contents
    floats = np.ctypeslib.as_array(inside.v, (inside.rows, inside.cols, inside.step))
    floats[:, :, : inside.n] = rgb[:, :, ::-1]


def find_library() -> Path:
    """The package's extension module, by which the library's symbols are reached.

    Raises GanError if the package is absent, or came without its library. It is not imported.
    """
    package = util.find_spec("animeface")
    if package is None or not package.submodule_search_locations:
        raise GanError(f"the package animeface is not installed; {INSTALL}")
    module = PathFinder.find_spec("_nvxs", list(package.submodule_search_locations))
    if module is None or not str(module.origin).endswith(tuple(EXTENSION_SUFFIXES)):
        raise GanError(f"the package animeface came without its library; {INSTALL}")
    return Path(str(module.origin))


def version() -> str:
    """Version of the installed package."""
    return metadata.version("animeface")


def find_known_face(library: Path) -> list[Box]:
    """Detect the faces of TEST_PICTURE."""
    with Image.open(TEST_PICTURE) as image:
        return AnimeFace(library).find(Picture(image.convert("RGB")))


def check_library(library: Path, find: Find = find_known_face) -> None:
    """Raise GanError unless the library finds the face of TEST_PICTURE in its place.

    In a child process: a library that does not fit this system may crash.
    """
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_send_boxes, args=(sender, find, library))
    child.start()
    sender.close()
    try:
        boxes = receiver.recv()
    except EOFError:
        raise GanError(f"animeface: its library crashes on a known face; {INSTALL}") from None
    finally:
        child.join()
    if isinstance(boxes, str):
        raise GanError(boxes)
    if not any(_is_known_face(box) for box in boxes):
        raise GanError(
            f"animeface: its library does not find a known face ({len(boxes)} boxes elsewhere): "
            f"it does not fit this system; {INSTALL}"
        )


def _send_boxes(channel: Connection, find: Find, library: Path) -> None:
    """In the child process: send the boxes, or the message of an error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent alone handles Ctrl-C
    try:
        channel.send(find(library))
    except GanError as error:
        channel.send(str(error))


def _is_known_face(box: Box) -> bool:
    sides = (box.x, box.y, box.width, box.height)
    slack = TEST_SLACK * TEST_FACE[2]
    return all(abs(a - b) <= slack for a, b in zip(sides, TEST_FACE, strict=True))
