"""Tables rejects.tsv and duplicates.tsv."""

import csv
import io
import random

from pipeline.preprocessing.faces.rules import Reject
from pipeline.preprocessing.tables import (
    NEAR,
    SAME_FILE,
    SAME_PIXELS,
    Duplicate,
    Rejected,
    count_reasons,
    duplicates_table,
    rejects_table,
)


def rejected(reason):
    return Rejected(0, "/0.png", Reject(reason))


def test_reasons_are_counted_most_frequent_first():
    rejects = [rejected(reason) for reason in "bbcccaa"]
    assert list(count_reasons(rejects).items()) == [("c", 3), ("a", 2), ("b", 2)]


def test_each_reject_is_one_line_with_any_characters_in_it():
    odd = Rejected(3, "/a\tb\nc", Reject("unreadable", "bad\r\nfile \ud800"))
    lines = rejects_table(
        [odd, Rejected(0, "/0.png", Reject("face too small", "small"))]
    ).splitlines()
    assert lines == [
        "row\turl\treason\tdetail",
        "3\t/a b c\tunreadable\tbad file \\ud800",
        "0\t/0.png\tface too small\tsmall",
    ]


def test_duplicates_are_sorted_by_kept_entry_then_by_entry():
    duplicates = [
        Duplicate(3, 90, "/3", "/90", NEAR, 4, 8),
        Duplicate(3, 7, "/3", "/7", SAME_PIXELS),
        Duplicate(20, 4, "/20", "/4", NEAR, 0, 0),
        Duplicate(1, 30, "/1", "/a\tb\r\n\ud800", SAME_FILE),
    ]
    assert list(duplicates_table(iter(duplicates))) == [
        "kept_row\trow\tkept_url\turl\tkind\tdhash\tphash\n",
        "1\t30\t/1\t/a b \\ud800\tsame file\t\t\n",
        "3\t7\t/3\t/7\tsame pixels\t\t\n",
        "3\t90\t/3\t/90\tnear\t4\t8\n",
        "20\t4\t/20\t/4\tnear\t0\t0\n",
    ]


def test_two_faces_of_one_picture_keep_their_order():
    twice = [Duplicate(3, 9, "/3", "/9", NEAR, 4, 8), Duplicate(3, 9, "/3", "/9", NEAR, 1, 0)]
    distances = [line.split("\t")[5] for line in duplicates_table(twice)][1:]
    assert distances == ["4", "1"]


def test_a_table_is_read_back_whole_with_any_characters_in_its_urls():
    odd = [chr(c) for c in (9, 10, 11, 12, 13, 28, 30, 133, 8232, 8233, 0xD800, 233, 34)]
    duplicates = [
        Duplicate(i, i + 1, f"a{c}b", f"{c}x", SAME_FILE, None, i) for i, c in enumerate(odd)
    ]
    text = "".join(duplicates_table(duplicates)).encode().decode()
    assert len(text.splitlines()) == 1 + len(odd)
    rows = list(csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE))
    assert [int(row["kept_row"]) for row in rows] == list(range(len(odd)))
    assert all(row["phash"] == row["kept_row"] and row["dhash"] == "" for row in rows)


def test_without_duplicates_there_is_only_the_header():
    assert len(list(duplicates_table([]))) == 1


def test_the_order_of_the_input_does_not_change_the_table():
    duplicates = [Duplicate(i // 3, i, "/k", f"/{i}", SAME_FILE) for i in range(30)]
    mixed = random.Random(0).sample(duplicates, 30)
    assert list(duplicates_table(mixed)) == list(duplicates_table(duplicates))
