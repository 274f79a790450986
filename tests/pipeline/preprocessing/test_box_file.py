"""Box files of other tools: read, or refused naming the line."""

import json

import pytest

from gan.errors import GanError
from pipeline.faces.box import Box
from pipeline.preprocessing.faces.box_file import read_boxes

SHA = "ab" * 32


def box_file(tmp_path, *lines):
    file = tmp_path / "boxes.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    file.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return file


def test_boxes_are_found_by_sha256_and_by_url(tmp_path):
    file = box_file(
        tmp_path,
        {"sha256": SHA.upper(), "boxes": [[1, 2.5, 30, 40, 0.9], [5, 6, 70, 80]], "tool": "x"},
        "",
        {"url": "/ü.png", "boxes": [], "more": {}},
    )
    both = (Box(1, 2.5, 30, 40, 0.9), Box(5, 6, 70, 80, 1.0))
    assert read_boxes(file) == {SHA: both, "/ü.png": ()}
    with pytest.raises(GanError, match=r"boxes\.jsonl"):
        read_boxes(box_file(tmp_path))
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(GanError, match=r"boxes\.jsonl"):
        read_boxes(file)


GOOD = {"sha256": SHA, "boxes": []}


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("{", "JSON"),
        ({"boxes": []}, "sha256"),
        ({"sha256": "abc", "boxes": []}, "sha256 = 'abc'"),
        ({"url": "/a.png", "boxes": [[1, 2, 3, 4, 5, 6]]}, r"boxes\.0"),
        ({"url": "/a.png", "boxes": [[1, 2, "3", 4]]}, r"boxes\.0\.2 = '3'"),
        ('{"url": "/a.png", "boxes": [[1, 2, 1e999, 4]]}', r"boxes\.0\.2 = inf"),
        ({"url": "/a.png", "boxes": [[1, 2, 0, 4, 1]]}, r"boxes\.0 = .*width"),
        ({"sha256": SHA, "boxes": [[1, 2, 3, 4]]}, "line 1"),
    ],
)
def test_an_error_names_the_number_of_an_invalid_line(tmp_path, line, named):
    file = box_file(tmp_path, GOOD, "", line)
    with pytest.raises(GanError, match=rf"boxes\.jsonl:3: .*{named}") as caught:
        read_boxes(file)
    assert "\n" not in str(caught.value)
