"""Preprocess with face detectors: crops, index, counts, rejects."""

import _ctypes
import json
from importlib import metadata
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from picture_files import encode, stored
from PIL import Image
from preprocess_inputs import (
    HAS_WHEEL,
    TEXT,
    assert_counts_add_up,
    contents,
    make_dataset,
    params,
)

from gan.attributes import UNKNOWN
from gan.errors import GanError
from gan.tensor_cache import TensorCache
from pipeline.dataset.reader import Dataset
from pipeline.faces import detector as face_detector
from pipeline.gallery.page import face_boxes, paint_page_jpeg
from pipeline.paths import Paths
from pipeline.preprocessing.decoding import crop
from pipeline.stages.preprocess import run

WHITE, RED, BLUE, GREEN = (255, 255, 255), (200, 30, 30), (20, 40, 220), (10, 160, 60)
FACES = {"min_side": 40, "min_share": 0.1, "min_score": 0.2, "max_faces": 3}


def settings(detector, file="", **changes):
    """Params with this detector; by default crops are the boxes themselves."""
    update = {"detector": detector, "file": file, "margin": 1.0, "centre": 0.5} | FACES | changes
    return params(update, holdout=0.0, crop="faces")


def page(*blocks, size=(300, 200)):
    """A white page with blocks of one colour: (colour, x, y, width, height)."""
    image = Image.new("RGB", size, WHITE)
    for colour, x, y, width, height in blocks:
        image.paste(colour, (x, y, x + width, y + height))
    return encode(image)


def write_boxes(paths, boxes):
    """faces/boxes.jsonl: boxes by the number of the file, as make_dataset names its URL."""
    (paths.root / "faces").mkdir(exist_ok=True)
    lines = [{"url": f"/images/{n}.png", "boxes": each} for n, each in boxes.items()]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (paths.root / "faces" / "boxes.jsonl").write_text(text)


def index_of(paths):
    return pq.read_table(paths.cache / "index.parquet").to_pydict()


def rejects_of(paths):
    lines = (paths.reports / "rejects.tsv").read_text().splitlines()[1:]
    return [(int(row), reason) for row, _, reason, _ in (line.split("\t") for line in lines)]


@pytest.fixture
def blocks(tmp_path):
    """Five files: two faces, one, none, a page without a line, and one that is no picture."""
    files = [
        page((RED, 20, 30, 60, 60), (BLUE, 150, 100, 80, 80)),
        page((GREEN, 100, 50, 100, 100)),
        page(size=(299, 200)),
        page(size=(298, 200)),
        TEXT,
    ]
    paths = make_dataset(tmp_path, files)
    found = {
        0: [[150, 100, 80, 80, 0.9], [20, 30, 60, 60, 0.8], [25, 35, 50, 50, 0.7], [0, 0, 9, 9]],
        1: [[100, 50, 100, 100], [280, 50, 90, 90], [0, 0, 50, 180], [5, 5, 50, 50, 0.1]],
        2: [],
    }
    write_boxes(paths, found)
    return paths


def test_faces_are_cached_with_their_boxes_and_every_reject_is_listed(blocks):
    summary = run(settings("boxes", "boxes.jsonl"), blocks, workers=1)
    cache = TensorCache.open(blocks.cache)
    cache.verify()
    index = index_of(blocks)
    rows = [
        (row, tuple(int(v) for v in image[16, 16]), (x, y, width, height, score))
        for row, image, x, y, width, height, score in zip(
            *(index["row"], cache.images, index["face_x"], index["face_y"]),
            *(index["face_width"], index["face_height"], index["score"]),
            strict=True,
        )
    ]
    assert rows == [
        (0, BLUE, (150, 100, 80, 80, 0.9)),
        (0, RED, (20, 30, 60, 60, 0.8)),
        (1, GREEN, (100, 50, 100, 100, 1.0)),
    ]
    for image, (_, colour, _) in zip(cache.images, rows, strict=True):
        assert (image[4:28, 4:28] == colour).all()
    assert_counts_add_up(summary, faces=True)
    assert (summary.read, summary.bad, summary.pictures, summary.without_face) == (5, 1, 4, 2)
    assert (summary.faces_found, summary.faces_rejected, summary.train) == (8, 5, 3)
    assert rejects_of(blocks) == [
        (0, "face too small"),
        (0, "face found twice"),
        (1, "box too long or too flat"),
        (1, "box leaves the picture"),
        (1, "score too low"),
        (2, "no face"),
        (3, "not in the file of boxes"),
        (4, "unreadable"),
    ]
    report = json.loads((blocks.reports / "preprocess.json").read_text())
    assert report["rejects"] == summary.rejects
    assert summary.rejects == {reason: 1 for _, reason in rejects_of(blocks)}
    assert Image.open(blocks.reports / "rejects.png").height > 8 * 128


def test_more_workers_give_the_same_bytes_and_faces_of_a_file_share_its_split(tmp_path):
    files = [page((RED, 10, 10, 60, 60 + n), (BLUE, 150, 60, 90 - n, 90)) for n in range(40)]
    paths = make_dataset(tmp_path, files)
    write_boxes(
        paths, {n: [[10, 10, 60, 60 + n], [150, 60, 90 - n, 90], [0, 0, 5, 5]] for n in range(40)}
    )
    chosen = settings("boxes", "boxes.jsonl", margin=1.5)
    section = chosen.preprocess.model_copy(update={"holdout": 0.3})
    chosen = chosen.model_copy(update={"preprocess": section})
    summary = run(chosen, paths, workers=1)
    first = contents(paths.cache), contents(paths.reports)
    for workers in (2, 3):
        run(chosen, paths, workers=workers)
        assert (contents(paths.cache), contents(paths.reports)) == first
    index = index_of(paths)
    assert summary.holdout > 10
    splits = set(zip(index["sha256"], index["split"], strict=True))
    assert len(set(index["sha256"])) == len(splits) < len(index["row"])


def test_boxes_are_in_pixels_of_the_upright_picture(tmp_path):
    upright = Image.new("RGB", (200, 300), WHITE)
    upright.paste(RED, (20, 200, 80, 260))
    paths = make_dataset(tmp_path, [stored(upright, 6, "PNG")])
    write_boxes(paths, {0: [[20, 200, 60, 60]]})
    run(settings("boxes", "boxes.jsonl"), paths, workers=1)
    (image,) = TensorCache.open(paths.cache).images
    assert (image[3:29, 3:29] == RED).all()


def test_a_cache_records_the_content_of_a_box_file_and_not_its_name(blocks):
    def meta(file):
        run(settings("boxes", file), blocks, workers=1)
        return TensorCache.open(blocks.cache).meta

    first = meta("boxes.jsonl")
    assert first["filter"] == crop.FILTER
    faces = first["settings"]["faces"]
    assert "file" not in faces
    assert (faces["detector"], len(faces["sha256"]), faces["max_faces"]) == ("boxes", 64, 3)
    file = blocks.root / "faces" / "boxes.jsonl"
    file.rename(file.with_name("renamed.jsonl"))
    assert meta("renamed.jsonl") == first
    file.write_text((blocks.root / "faces" / "renamed.jsonl").read_text() + "\n")
    assert meta("boxes.jsonl")["digest"] != first["digest"]


@pytest.mark.parametrize(
    ("detector", "text", "named"),
    [
        ("boxes", "{}", "faces/mine:1: "),
        ("cascade", "<x>", "faces/mine: "),
        ("animeface", None, "animeface: "),
    ],
)
def test_an_unusable_detector_is_an_error_before_any_work(
    tmp_path, monkeypatch, detector, text, named
):
    wrong = Path(_ctypes.__file__)
    monkeypatch.setattr(face_detector, "find_library", lambda: wrong)
    monkeypatch.setattr(Dataset, "open", lambda folder: pytest.fail("the work began"))
    (tmp_path / "faces").mkdir()
    if text is not None:
        (tmp_path / "faces" / "mine").write_text(text)
    with pytest.raises(GanError, match=named) as caught:
        run(settings(detector, "mine"), Paths(tmp_path), workers=1)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["faces"]


@pytest.mark.slow
@pytest.mark.skipif(not HAS_WHEEL, reason="animeface has no wheel for this platform")
def test_most_painted_pages_give_a_good_crop(tmp_path):
    paths = make_dataset(tmp_path, [paint_page_jpeg(seed, 256) for seed in range(30)])
    chosen = settings("animeface", margin=1.75, centre=0.42, min_side=43, max_faces=16)
    summary = run(chosen, paths, workers=2)
    assert_counts_add_up(summary, faces=True)
    index = index_of(paths)
    good, wrong = set(), 0
    names = ("row", "face_x", "face_y", "face_width")
    for row, x, y, width in zip(*(index[key] for key in names), strict=True):
        middle = np.array([x + width / 2, y + width / 2])
        fits = any(
            np.abs(middle - (left + side / 2, top + side / 2)).max() < 0.3 * side
            and 0.6 < width / side < 1.6
            for left, top, side, _ in face_boxes(row, 256)
        )
        good |= {row} if fits else set()
        wrong += not fits
    assert len(good) >= 25
    assert wrong <= 2
    meta = TensorCache.open(paths.cache).meta
    assert meta["settings"]["faces"]["version"] == metadata.version("animeface")


def test_faces_that_share_a_picture_have_no_labels(tmp_path):
    boxes = {n: [[20, 20, 60, 60], [200, 110, 60, 60]][: 1 + (n >= 4)] for n in range(8)}
    blocks = {n: [((20 * n, 90 * i, 70), *box) for i, box in enumerate(boxes[n])] for n in boxes}
    files = [page(*each) for each in blocks.values()]
    tags = [["solo", "x", ("red_hair", "grey_hair")[n % 2]] for n in boxes]
    paths = make_dataset(tmp_path, files, (), tags)
    write_boxes(paths, boxes)
    run(settings("boxes", "boxes.jsonl"), paths, workers=1)
    cache, rows = TensorCache.open(paths.cache), index_of(paths)["row"]
    assert [each.name for each in cache.vocabulary] == ["hair"]
    assert len(rows) == 4 + 2 * 4
    assert cache.labels[:, 0].tolist() == [row % 2 if row < 4 else UNKNOWN for row in rows]
