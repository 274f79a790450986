"""Face detectors: faces found, packages and files checked before use."""

import _ctypes
import os
import signal
import sys
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image
from preprocess_inputs import DARK_ON_BRIGHT, HAS_WHEEL

from gan.errors import GanError
from gan.params.data import FacesParams
from pipeline.faces import animeface as face_animeface
from pipeline.faces import detector
from pipeline.faces.animeface import (
    AnimeFace,
    check_library,
    find_known_face,
    find_library,
)
from pipeline.faces.box import Box
from pipeline.faces.detector import Cascade, Detector, choose_detector, find_faces

SHIPPED = yaml.safe_load((Path(__file__).parents[3] / "params.yaml").read_text())

animeface = pytest.mark.skipif(not HAS_WHEEL, reason="animeface has no wheel for this platform")


def settings(**changes):
    return FacesParams(**SHIPPED["preprocess"]["faces"] | changes)


def known_picture():
    with Image.open(face_animeface.TEST_PICTURE) as image:
        return image.convert("RGB")


def intersection_over_union(one, other):
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    common = max(0, width) * max(0, height)
    return common / (one.width * one.height + other.width * other.height - common)


# --- input of a detector ---


def test_a_large_page_is_shrunk_for_the_detector_and_boxes_are_scaled_back(monkeypatch):
    seen = []

    def find(image):
        seen.append(image)
        return [Box(100, 50, 20, 30, 0.7)]

    monkeypatch.setattr(detector, "_build_finder", lambda chosen: find)
    board = np.zeros((1501, 3000), np.uint8)
    board[::2] = 255
    (box,) = find_faces(Image.fromarray(board).convert("RGB"), Detector("any"))
    assert seen[0].size == (1000, 500)
    assert box == Box(300, 50 * 3.002, 60, 30 * 3.002, 0.7)
    levels = np.asarray(seen[0])[10:-10, 10:-10]
    assert (levels.min() > 110, levels.max() < 145) == (True, True)  # not aliased
    small = Image.new("RGB", (60, 1000))
    assert find_faces(small, Detector("any")) == find(small)
    assert seen[1] is small
    find_faces(Image.new("RGB", (1, 9000)), Detector("any"))
    assert seen[-1].size == (1, 1000)


# --- animeface ---


@animeface
def test_animeface_finds_the_known_face_each_time_and_none_on_an_empty_page(tmp_path):
    chosen = choose_detector(settings(detector="animeface"), tmp_path)
    assert chosen.describe() == {"detector": "animeface", "version": metadata.version("animeface")}
    library = AnimeFace(find_library())
    first = library.find(known_picture())
    assert len(first) == 1
    assert [library.find(known_picture()) for _ in range(3)] == [first] * 3
    assert library.find(Image.new("RGB", (300, 400), "white")) == []


@animeface
@pytest.mark.parametrize("size", [(1, 1), (3, 900), (43, 43), (58, 2000)])
def test_animeface_survives_pictures_too_small_for_a_face(size):
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    assert AnimeFace(find_library()).find(Image.fromarray(noise)) == []


def read_no_pixels(library):
    """As the package's own binding since Pillow 12: no error, and no pixels."""
    face_animeface._fill = lambda matrix, rgb: None
    return find_known_face(library)


def read_shifted_boxes(library):
    """As with another layout of the result: the fields are one number off."""
    return [Box(b.y, b.width, b.height, 3.0) for b in find_known_face(library)]


def crash(library):
    os.kill(os.getpid(), signal.SIGSEGV)


@animeface
@pytest.mark.parametrize("find", [read_no_pixels, read_shifted_boxes, crash])
def test_a_broken_binary_interface_is_an_error(find):
    with pytest.raises(GanError, match=r"animeface: .*\[faces\]") as caught:
        check_library(find_library(), find)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["another library", "no library", "absent"])
def test_a_library_that_does_not_fit_is_an_error(tmp_path, kind):
    library = Path(_ctypes.__file__) if kind == "another library" else tmp_path / "lib.so"
    if kind == "no library":
        library.write_text("hello")
    with pytest.raises(GanError, match=r"animeface: .*\[faces\]"):
        check_library(library)


def test_an_error_names_the_missing_package(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "animeface", raising=False)
    with pytest.raises(GanError, match=r"animeface .*\[faces\].*preprocess\.faces\.detector"):
        choose_detector(settings(detector="animeface"), tmp_path)
    (tmp_path / "animeface").mkdir()
    (tmp_path / "animeface" / "__init__.py").touch()
    (tmp_path / "animeface" / "_nvxs.py").write_text("raise NotImplementedError")
    with pytest.raises(GanError, match=r"animeface .*\[faces\]"):
        choose_detector(settings(detector="animeface"), tmp_path)


# --- cascade ---


@pytest.fixture
def cascade(tmp_path):
    file = tmp_path / "dark.xml"
    file.write_text(DARK_ON_BRIGHT)
    return file


def dark_square(scale=1):
    page = Image.new("RGB", (300 * scale, 200 * scale), (250, 240, 230))
    page.paste((20, 10, 30), tuple(scale * place for place in (130, 70, 190, 130)))
    return page


@pytest.mark.parametrize("scale", [1, 5])
def test_a_cascade_finds_what_its_file_describes(cascade, scale):
    (box,) = find_faces(dark_square(scale), Detector("cascade", file=cascade))
    expected = Box(*(scale * place for place in (100, 40, 120, 120)))
    assert intersection_over_union(box, expected) > 0.75
    assert box.score >= 5
    ours = Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml"
    assert Cascade(ours).find(dark_square()) == []


def test_a_cascade_is_recorded_by_the_content_of_its_file(cascade, tmp_path):
    wanted = settings(detector="cascade", file="dark.xml")
    first = choose_detector(wanted, tmp_path).describe()
    assert set(first) == {"detector", "version", "sha256"}
    assert first["version"] == cv2.__version__
    cascade.rename(tmp_path / "other.xml")
    renamed = settings(detector="cascade", file="other.xml")
    assert choose_detector(renamed, tmp_path).describe() == first
    (tmp_path / "other.xml").write_text(DARK_ON_BRIGHT + "\n")
    assert choose_detector(renamed, tmp_path).describe() != first


@pytest.mark.parametrize("text", ["", "<xml>", "<opencv_storage></opencv_storage>"])
def test_a_file_that_is_no_cascade_is_an_error(tmp_path, text, capfd):
    (tmp_path / "bad.xml").write_text(text)
    with pytest.raises(GanError, match=r"bad\.xml"):
        choose_detector(settings(detector="cascade", file="bad.xml"), tmp_path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("state", ["absent", "without cascades"])
def test_an_error_names_the_missing_opencv(monkeypatch, tmp_path, state):
    detector.opencv.cache_clear()
    if state == "absent":
        monkeypatch.setitem(sys.modules, "cv2", None)
    else:
        monkeypatch.delattr(cv2, "CascadeClassifier")
    with pytest.raises(GanError, match=r"\[cascade\]"):
        choose_detector(settings(detector="cascade", file="x.xml"), tmp_path)
    detector.opencv.cache_clear()


# --- settings ---


def test_a_file_that_is_absent_or_elsewhere_is_an_error(tmp_path):
    (tmp_path / "folder").mkdir()
    for chosen in ("cascade", "boxes"):
        for name, named in (("absent", r"faces\.file"), ("folder", "folder")):
            with pytest.raises(GanError, match=named):
                choose_detector(settings(detector=chosen, file=name), tmp_path)
    for changes in ({"detector": "boxes"}, {"detector": "cascade", "file": "../x.xml"}):
        with pytest.raises(ValueError, match="faces/"):
            settings(**changes)
