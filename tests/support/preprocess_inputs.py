"""Inputs of the tests of preprocess: pictures, a dataset, settings, a cascade."""

import hashlib
import io
import platform
import re
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from gan.params.data import AttributesParams, PreprocessParams
from gan.params.file import Params, load_params
from pipeline.crawl.storage.journal import Journal
from pipeline.crawl.storage.writer import publish
from pipeline.dataset.manifest import ManifestEntry
from pipeline.paths import Paths
from pipeline.preprocessing.report import describe_summary

PARAMS_FILE = Path(__file__).parents[2] / "params.yaml"
BOX = ("face_x", "face_y", "face_width", "face_height", "score")
ALL_PASS = dict.fromkeys(("min_side", "min_contrast", "min_sharpness", "min_colour"), 0)
ALL_PASS |= {"max_aspect": 1000.0, "max_one_colour": 1.0}
NEAR = {"near": True, "dhash": 4, "phash": 8}
ATTRIBUTES = {
    "least_tags": 3,
    "least_count": 1,
    "several": ["2girls", "1girl 1boy"],
    "exclusive": {"hair": {"red_hair": [], "grey_hair": ["gray_hair", "silver_hair"]}},
    "independent": {"hat": ["beret"], "glasses": []},
}
NEAR_STAY = {"near": False, "dhash": 0, "phash": 0}
TEXT = b"this is no picture, whatever its name says"

HAS_WHEEL = (sys.platform, platform.machine()) in {("linux", "x86_64"), ("darwin", "arm64")}

DARK_ON_BRIGHT = """<?xml version="1.0"?>
<opencv_storage><cascade type_id="opencv-cascade-classifier"><stageType>BOOST</stageType>
<featureType>HAAR</featureType><height>24</height><width>24</width>
<stageParams><maxWeakCount>1</maxWeakCount></stageParams>
<featureParams><maxCatCount>0</maxCatCount></featureParams><stageNum>1</stageNum>
<stages><_><maxWeakCount>1</maxWeakCount><stageThreshold>0.5</stageThreshold>
<weakClassifiers><_><internalNodes>0 -1 0 -1.5</internalNodes><leafValues>1. 0.</leafValues></_>
</weakClassifiers></_></stages>
<features><_><rects><_>0 0 24 24 -1.</_><_>6 6 12 12 4.</_></rects><tilted>0</tilted></_>
</features></cascade></opencv_storage>
"""
"""A cascade for a dark square that fills the middle half of a bright window, in each direction."""


def params(faces=None, filters=None, duplicates=None, attributes=None, **changes) -> Params:
    """The shipped params at 32 px, by default without filters and with near-duplicates kept."""
    whole = load_params(PARAMS_FILE)
    section = whole.preprocess
    labels = ATTRIBUTES | (attributes or {})
    nested = {
        "attributes": AttributesParams.model_validate(labels),
        "faces": section.faces.model_copy(update=faces or {}),
        "filters": section.filters.model_copy(update=ALL_PASS | (filters or {})),
        "duplicates": section.duplicates.model_copy(update=NEAR_STAY | (duplicates or {})),
    }
    update = {"size": 32, "holdout": 0.3, **nested, **changes}
    return whole.model_copy(update={"preprocess": section.model_copy(update=update)})


def section(**changes) -> PreprocessParams:
    """Section `preprocess` of `params`."""
    return params(**changes).preprocess


def picture(seed, kind="PNG", size=(40, 44)):
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize(size).save(buffer, kind)
    return buffer.getvalue()


def pictures(count):
    return [picture(seed, ("PNG", "JPEG", "WEBP")[seed % 3]) for seed in range(count)]


def make_dataset(root, files, missing=(), tags=()):
    """A dataset of `files` with their `tags`, then one entry of each status in `missing`."""
    with Journal(root / "data.staging", {"files": len(files)}) as journal:
        for number, data in enumerate(files):
            digest, url = hashlib.sha256(data).hexdigest(), f"/images/{number}.png"
            place = ("", url, tuple(tags[number] if tags else ()))
            about = ("general", "", "CC0", "ok")
            entry = ManifestEntry(
                *(*place, *about),
                sha256=digest,
                bytes=len(data),
                format="PNG",
                width=40,
                height=44,
            )
            journal.add(number, entry, data)
        for number, status in enumerate(missing, start=len(files)):
            journal.add(
                number, ManifestEntry("", f"/images/{number}.png", (), "", "", "", status, "why")
            )
        publish(journal, lambda _: {"kind": "test"}, root / "data", root / "data.old")
    return Paths(root)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def in_holdout(data, share=0.3):
    return int(hashlib.sha256(data).hexdigest()[48:], 16) / 2**64 < share


def numbers_in(text):
    return [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", text)]


def assert_counts_add_up(summary, faces=False):
    assert summary.rows == sum(summary.without_image.values()) + summary.read
    pictures = summary.pictures + summary.duplicate_files
    assert summary.read == summary.bad + summary.refused + pictures
    dropped = summary.faces_rejected + summary.filtered
    dropped += summary.duplicate_pixels + summary.near_duplicates
    assert summary.faces_found == dropped + summary.train + summary.holdout
    left_out = summary.bad + summary.refused + summary.without_face
    left_out += summary.faces_rejected + summary.filtered
    assert sum(summary.rejects.values()) == left_out
    sentences = describe_summary(summary, faces=faces).split(". ")
    for sentence in sentences:
        total, kept, *left_out = numbers_in(sentence)
        if sentence is sentences[-1]:  # of avatars: those of train and of holdout come first
            train, holdout, *left_out = left_out
            assert kept == train + holdout
            assert (train, holdout) == (summary.train, summary.holdout)
        assert total == kept + sum(left_out)
    assert numbers_in(sentences[0])[0] == summary.read
