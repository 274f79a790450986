"""Reports: the tables rejects.tsv and duplicates.tsv."""

import csv
import io
from types import SimpleNamespace

import numpy as np

from pipeline.preprocessing.faces.rules import Reject
from pipeline.preprocessing.near_duplicates import NOT_COMPUTED
from pipeline.preprocessing.outcome import Outcome, Rejected, rejects_table
from pipeline.preprocessing.plan import ENTRY_DTYPE
from pipeline.preprocessing.selection import Selection

ODD = "".join(chr(c) for c in (9, 10, 11, 12, 13, 28, 30, 133, 8232, 8233, 0xD800, 233, 34))


def entries_of(*numbers):
    entries = np.zeros(len(numbers), ENTRY_DTYPE)
    entries["entry"] = entries["offset"] = numbers
    return entries


def duplicates_of(names, **changes):
    """The lines for pictures 9, 7, 20, 4, 30, of which 0 leads 1 and 2, and the last came again.

    A name is the manifest's URL of an entry.
    """
    plan = SimpleNamespace(
        entries=entries_of(9, 7, 20, 4, 30),
        same_files=entries_of(31, 33),
        same_pictures=np.array([4, 4]),
    )
    selection = {
        "fault": np.zeros(5, np.int8),
        "leader": np.array([0, 0, 0, 3, 4]),
        "dhash": np.array([NOT_COMPUTED, 3, NOT_COMPUTED, NOT_COMPUTED, NOT_COMPUTED], np.int16),
        "phash": np.array([NOT_COMPUTED, 8, NOT_COMPUTED, NOT_COMPUTED, NOT_COMPUTED], np.int16),
    } | changes
    avatars = np.zeros(5, [("picture", "i8")])
    avatars["picture"] = np.arange(5)
    dataset = SimpleNamespace(
        entries_at=lambda offsets: (SimpleNamespace(url=names(offset)) for offset in offsets)
    )
    decoded = SimpleNamespace(avatars=avatars)
    return "".join(Outcome(dataset, plan, decoded, Selection(**selection)).duplicates_table())


def test_duplicates_are_sorted_by_kept_entry_then_by_entry():
    assert duplicates_of(lambda offset: f"/{offset}").splitlines() == [
        "kept_row\trow\tkept_url\turl\tkind\tdhash\tphash",
        "9\t7\t/9\t/7\tnear\t3\t8",
        "9\t20\t/9\t/20\tsame pixels\t\t",
        "30\t31\t/30\t/31\tsame file\t\t",
        "30\t33\t/30\t/33\tsame file\t\t",
    ]
    unconfirmed = np.full(5, NOT_COMPUTED, np.int16)
    assert "near\t3\t\n" in duplicates_of(str, phash=unconfirmed)


def test_a_table_is_read_back_whole_with_any_characters_in_it():
    text = duplicates_of(lambda offset: f"a{ODD}b{offset}").encode().decode()
    rows = list(csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE))
    assert len(text.splitlines()) == 1 + len(rows) == 5
    assert [row["kind"] for row in rows] == ["near", "same pixels", "same file", "same file"]
    odd = Rejected(1, 3, "/a\tb\nc", Reject("unreadable", "bad\r\nfile \ud800"))
    assert rejects_table([odd]).splitlines() == [
        "row\turl\treason\tdetail",
        "3\t/a b c\tunreadable\tbad file \\ud800",
    ]
