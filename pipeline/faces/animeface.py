"""Detection of faces by AnimeFace (nagadomi, 2009), whose library the package `animeface` ships.

The package's own binding reads Pillow's private structures and, since Pillow 12 changed them,
finds no faces and raises no error. So the library is called directly, and has to find a known
face before it is used.
"""

import ctypes
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import astuple
from importlib import util
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gan.errors import GanError
from pipeline.console import one_line
from pipeline.faces.box import Box

INSTALL = "pip install -e '.[faces]' (there are wheels for Linux x86-64 and macOS arm64)"
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
        *((name, ctypes.c_int) for name in ("n", "m", "rows", "cols", "step", "alias")),
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
_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "nv_matrix_zero": (_MatrixPointer,),
    "nv_matrix_free": (ctypes.POINTER(_MatrixPointer),),
    "nv_gray": (_MatrixPointer, _MatrixPointer),
    "nv_gaussian5x5": (_MatrixPointer, ctypes.c_int) * 2,
    "nv_laplacian1": (_MatrixPointer, _MatrixPointer, ctypes.c_float),
    "nv_integral": (_MatrixPointer, _MatrixPointer, ctypes.c_int),
    "nv_face_detect": (
        *(ctypes.POINTER(_Face), ctypes.c_int, _MatrixPointer, _MatrixPointer),
        *(ctypes.POINTER(_Rect), ctypes.c_void_p, ctypes.c_void_p),
        *(ctypes.POINTER(ctypes.c_void_p), ctypes.c_int, ctypes.c_void_p),
        *(ctypes.c_float,) * 3,
    ),
}
"""Types of the arguments; nv_matrix3d_alloc alone returns no int."""

_NETWORKS = ("dir", "face_00", "face_01", "face_02", "parts")


class AnimeFace:
    """A finder of faces of 43 pixels and more; scores are likelihoods, 0.5 to 1."""

    def __init__(self, library: Path) -> None:
        try:
            self._library = ctypes.CDLL(str(library))
            for name, arguments in _FUNCTIONS.items():
                getattr(self._library, name).argtypes = arguments
            self._library.nv_matrix3d_alloc.restype = _MatrixPointer
            self._networks = {
                name: ctypes.addressof(ctypes.c_char.in_dll(self._library, f"nv_face_mlp_{name}"))
                for name in _NETWORKS
            }
        except (OSError, AttributeError, ValueError) as error:
            reason = one_line(str(error))
            raise GanError(f"animeface: its library does not fit: {reason}; {INSTALL}") from None

    def find(self, image: Image.Image) -> list[Box]:
        """The faces of an RGB image, as they come from the library."""
        if min(image.size) <= SMALLEST:
            return []  # the library's filters read beyond the end of such a picture
        width, height = image.size
        library, networks, faces = self._library, self._networks, (_Face * MOST_FACES)()
        bagging = (ctypes.c_void_p * 3)(networks["face_01"], networks["face_02"], None)
        with (
            self._matrix(3, height, width) as bgr,
            self._matrix(1, height, width) as gray,
            self._matrix(1, height, width) as smooth,
            self._matrix(1, height, width) as edge,
            self._matrix(1, height + 1, width + 1) as gray_sum,
            self._matrix(1, height + 1, width + 1) as edge_sum,
        ):
            # the steps before detection as AnimeFace's own programs take them
            _fill(bgr, np.asarray(image))
            library.nv_gray(gray, bgr)
            library.nv_gaussian5x5(smooth, 0, gray, 0)
            library.nv_laplacian1(edge, smooth, 4.0)
            library.nv_integral(gray_sum, gray, 0)
            library.nv_integral(edge_sum, edge, 0)
            count = library.nv_face_detect(
                *(faces, MOST_FACES, gray_sum, edge_sum, _Rect(0, 0, width, height)),
                *(networks["dir"], networks["face_00"], bagging, 2, networks["parts"]),
                *(STEP, SCALE_FACTOR, SMALLEST),
            )
        return [
            Box(each.face.x, each.face.y, each.face.width, each.face.height, each.likelihood)
            for each in faces[:count]
        ]

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


def find_known_face(library: Path) -> list[Box]:
    """Detect the faces of TEST_PICTURE."""
    with Image.open(TEST_PICTURE) as image:
        return AnimeFace(library).find(image.convert("RGB"))


def check_library(library: Path, find: Find = find_known_face) -> None:
    """Raise GanError unless the library finds the face of TEST_PICTURE in its place.

    In a child process: a library that does not fit this system may crash.
    """
    ignore_ctrl_c = (signal.SIGINT, signal.SIG_IGN)  # the parent alone handles it
    try:
        with ProcessPoolExecutor(1, get_context("spawn"), signal.signal, ignore_ctrl_c) as child:
            boxes = child.submit(find, library).result()
    except BrokenProcessPool:
        raise GanError(f"animeface: its library crashes on a known face; {INSTALL}") from None
    slack = TEST_SLACK * TEST_FACE[2]
    if not any(np.allclose(astuple(box)[:4], TEST_FACE, rtol=0, atol=slack) for box in boxes):
        raise GanError(
            f"animeface: its library does not find a known face ({len(boxes)} boxes elsewhere): "
            f"it does not fit this system; {INSTALL}"
        )
