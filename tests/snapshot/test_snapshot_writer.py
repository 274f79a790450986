"""The snapshot format, written and read back; kills and damage at every step."""

import hashlib
import pickle
import tarfile
from pathlib import Path

import pytest

from gan.errors import GanError
from pipeline.snapshot.journal import JOURNAL, SPOOL, Journal
from pipeline.snapshot.manifest import STATUSES, Row
from pipeline.snapshot.reader import Snapshot
from pipeline.snapshot.writer import discard, publish, recover

SOURCE = {"source": "test", "count": 3}


def row_of(name, data=b"", status="ok"):
    ok = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "format": "PNG",
        "width": 4,
        "height": 5,
    }
    return Row(
        page=f"p/{name}",
        url=f"u/{name}",
        tags=("smile", "青"),
        rating="general",
        licence="CC0-1.0",
        status=status,
        reason="" if status == "ok" else "because",
        **(ok if status == "ok" else {}),
    )


def fill(journal, names):
    for position, name in names:
        journal.add(position, row_of(name, name.encode() * 700), name.encode() * 700)


def build(root, names=((2, "c"), (0, "a"), (1, "b"))):
    with Journal(root / "staging", SOURCE) as journal:
        fill(journal, names)
        return publish(journal, SOURCE, root / "data", root / "old")


def test_rows_survive_json():
    for status in STATUSES:
        row = row_of("x", b"bytes", status)
        assert Row.from_json(row.to_json()) == row


@pytest.mark.parametrize("line", ["", "[]", "{}", '{"page": 1}', "nonsense"])
def test_a_line_that_is_no_row_is_refused(line):
    with pytest.raises(ValueError):  # noqa: PT011
        Row.from_json(line)


def test_what_was_written_is_read_back_in_source_order(tmp_path):
    build(tmp_path)
    snapshot = Snapshot.open(tmp_path / "data")
    snapshot.verify()
    assert [row.url for row in snapshot.rows] == ["u/a", "u/b", "u/c"]
    assert snapshot.source == SOURCE
    assert snapshot.counts["ok"] == 3
    assert list(snapshot.locations()) == [row.sha256 for row in snapshot.rows]
    for name, row in zip("abc", snapshot.rows, strict=True):
        location = pickle.loads(pickle.dumps(snapshot.locations()[row.sha256]))
        assert snapshot.read(location) == name.encode() * 700


def test_equal_content_gives_equal_bytes_whatever_the_order_of_arrival(tmp_path):
    build(tmp_path / "one")
    build(tmp_path / "two", ((1, "b"), (0, "a"), (2, "c")))
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / name / "data").iterdir()}
        for name in ("one", "two")
    )
    assert one == two


def test_shards_hold_4096_images_with_headers_that_name_nobody(tmp_path):
    snapshot = build(tmp_path, tuple((index, f"{index:05d}") for index in range(4100)))
    assert sorted(snapshot.files) == ["images-00000.tar", "images-00001.tar", "manifest.jsonl"]
    with tarfile.open(snapshot.folder / "images-00000.tar") as tar:
        members = tar.getmembers()
    assert len(members) == 4096
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in members} == {(0, 0, 0, "", "")}
    assert members[0].name == f"{snapshot.rows[0].sha256}.png"


def test_the_same_bytes_under_two_urls_are_stored_once(tmp_path):
    with Journal(tmp_path / "staging", SOURCE) as journal:
        for position in range(3):
            journal.add(position, row_of(str(position), b"same"), b"same")
        snapshot = publish(journal, SOURCE, tmp_path / "data", tmp_path / "old")
    assert len(snapshot.rows) == 3
    assert len(snapshot.locations()) == 1


def test_a_failed_row_is_tried_again_and_its_last_word_counts(tmp_path):
    with Journal(tmp_path / "staging", SOURCE) as journal:
        journal.add(0, row_of("a", status="failed"))
        assert not journal.is_done("u/a")
        journal.add(0, row_of("a", b"picture"), b"picture")
        assert journal.is_done("u/a")
        snapshot = publish(journal, SOURCE, tmp_path / "data", tmp_path / "old")
    assert [row.status for row in snapshot.rows] == ["ok"]


def test_no_image_at_all_is_an_error_and_publishes_nothing(tmp_path):
    with Journal(tmp_path / "staging", SOURCE) as journal:
        journal.add(0, row_of("a", status="gone"))
        with pytest.raises(GanError, match="not one image"):
            publish(journal, SOURCE, tmp_path / "data", tmp_path / "old")
    assert not (tmp_path / "data").exists()


def test_cut_anywhere_the_journal_goes_on_to_the_same_digest(tmp_path):
    whole = build(tmp_path / "whole")
    lines = (tmp_path / "whole/staging" / JOURNAL).read_bytes()
    spool = (tmp_path / "whole/staging" / SPOOL).read_bytes()
    for cut in range(0, len(lines), 37):
        root = tmp_path / str(cut)
        (root / "staging").mkdir(parents=True)
        (root / "staging" / JOURNAL).write_bytes(lines[:cut])
        (root / "staging" / SPOOL).write_bytes(spool)
        assert build(root).digest == whole.digest
        assert (root / "staging" / SPOOL).stat().st_size == len(spool)


def test_rows_whose_bytes_a_power_cut_took_are_not_done(tmp_path):
    whole = build(tmp_path)
    spool = tmp_path / "staging" / SPOOL
    spool.write_bytes(spool.read_bytes()[:1000])
    with Journal(tmp_path / "staging", SOURCE) as journal:
        assert [journal.is_done(f"u/{name}") for name in "cab"] == [True, False, False]
        fill(journal, ((0, "a"), (1, "b")))
        again = publish(journal, SOURCE, tmp_path / "data", tmp_path / "old")
    assert again.digest == whole.digest


def test_spooled_bytes_that_changed_are_not_published(tmp_path):
    with Journal(tmp_path / "staging", SOURCE) as journal:
        fill(journal, ((0, "a"),))
        spool = tmp_path / "staging" / SPOOL
        spool.write_bytes(b"\0" * spool.stat().st_size)
        with pytest.raises(GanError, match="damaged"):
            publish(journal, SOURCE, tmp_path / "data", tmp_path / "old")


def test_a_journal_of_something_else_is_begun_anew(tmp_path):
    with Journal(tmp_path, SOURCE) as journal:
        fill(journal, ((0, "a"),))
    with Journal(tmp_path, {"source": "other"}) as journal:
        assert journal.entries == []
    assert (tmp_path / SPOOL).stat().st_size == 0


def test_two_scrapes_do_not_share_a_journal(tmp_path):
    with Journal(tmp_path, SOURCE), pytest.raises(GanError, match="another"):
        Journal(tmp_path, SOURCE)


def test_the_old_snapshot_is_kept_and_comes_back_after_a_kill_between_the_renames(tmp_path):
    old = build(tmp_path)
    discard(tmp_path / "staging")
    new = build(tmp_path, ((0, "z"),))
    assert Snapshot.open(tmp_path / "old").digest == old.digest
    recover(tmp_path / "data", tmp_path / "old")
    assert Snapshot.open(tmp_path / "data").digest == new.digest
    (tmp_path / "data").rename(tmp_path / "lost")
    recover(tmp_path / "data", tmp_path / "old")
    assert Snapshot.open(tmp_path / "data").digest == old.digest


def test_a_missing_or_short_file_is_noticed_on_opening(tmp_path):
    build(tmp_path)
    with pytest.raises(GanError, match="no complete snapshot"):
        Snapshot.open(tmp_path / "absent")
    shard = tmp_path / "data/images-00000.tar"
    shard.write_bytes(shard.read_bytes()[:-512])
    with pytest.raises(GanError, match=r"images-00000\.tar"):
        Snapshot.open(tmp_path / "data")
    shard.unlink()
    with pytest.raises(GanError, match=r"images-00000\.tar"):
        Snapshot.open(tmp_path / "data")


def test_every_half_written_snapshot_is_refused(tmp_path):
    build(tmp_path)
    for path in sorted((tmp_path / "data").iterdir()):
        kept = path.read_bytes()
        for part in (0, len(kept) // 2, len(kept) - 1):
            path.write_bytes(kept[:part])
            if path.name == "snapshot.json" and part == len(kept) - 1:
                continue  # only its last newline
            with pytest.raises(GanError):
                Snapshot.open(tmp_path / "data")
        path.write_bytes(kept)
    Snapshot.open(tmp_path / "data").verify()


@pytest.mark.parametrize("name", ["images-00000.tar", "manifest.jsonl"])
def test_a_flipped_bit_is_noticed_and_the_file_named(tmp_path, name):
    build(tmp_path)
    path = tmp_path / "data" / name
    data = bytearray(path.read_bytes())
    data[700] ^= 1
    path.write_bytes(data)
    with pytest.raises(GanError, match=name):
        Snapshot.open(tmp_path / "data").verify()


def test_a_strange_file_and_a_changed_description_are_noticed(tmp_path):
    snapshot = build(tmp_path)
    (tmp_path / "data/notes.txt").write_text("x")
    with pytest.raises(GanError, match=r"notes\.txt"):
        snapshot.verify()
    path = tmp_path / "data/snapshot.json"
    path.write_text(path.read_text().replace(snapshot.digest, "0" * 64))
    with pytest.raises(GanError, match="digest"):
        Snapshot.open(Path(tmp_path / "data"))
