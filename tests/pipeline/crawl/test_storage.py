"""The dataset format, written and read back; kills and damage at every step."""

import hashlib
import json
import tarfile
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from gan.errors import GanError
from pipeline.crawl.storage.earlier_crawl import EarlierCrawl
from pipeline.crawl.storage.journal import IMAGES, JOURNAL, SYNCED, Journal
from pipeline.crawl.storage.writer import discard, has_news, publish, recover
from pipeline.dataset.manifest import STATUSES, ManifestEntry
from pipeline.dataset.reader import Dataset

SOURCE = {"source": "test", "count": 3}


def entry_of(name, data=b"", status="ok"):
    ok = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    ok |= {"format": "PNG", "width": 4, "height": 5}
    return ManifestEntry(
        page=f"p/{name}",
        url=f"u/{name}",
        tags=("smile", "青"),
        rating="general",
        source="painter:1",
        licence="CC0-1.0",
        status=status,
        reason="" if status == "ok" else "because",
        **(ok if status == "ok" else {}),
    )


def fill(journal, names, status="ok"):
    for position, name in names:
        data = name.encode() * 700
        journal.add(position, entry_of(name, data, status), data)


def pack(journal, root):
    return publish(journal, lambda _: SOURCE, root / "data", root / "old")


def build(root, names=((2, "c"), (0, "a"), (1, "b"))):
    with Journal(root / "staging", SOURCE) as journal:
        fill(journal, names)
        return pack(journal, root)


def test_entries_survive_json_and_what_is_none_is_refused():
    for status in STATUSES:
        entry = entry_of("x", b"bytes", status)
        assert ManifestEntry.from_dict(json.loads(entry.to_json())) == entry
    for line in ("[]", '{"page": 1}', "nonsense"):
        with pytest.raises(ValueError):  # noqa: PT011
            ManifestEntry.from_dict(json.loads(line))


def test_what_was_written_is_read_back_in_source_order(tmp_path):
    first = build(tmp_path / "other", ((1, "b"), (0, "a"), (2, "c")))
    build(tmp_path)
    dataset = Dataset.open(tmp_path / "data")
    dataset.verify()
    for path in dataset.folder.iterdir():  # whatever the order of arrival
        assert path.read_bytes() == (first.folder / path.name).read_bytes()
    assert [entry.url for entry in dataset.entries()] == ["u/a", "u/b", "u/c"]
    assert dataset.source == SOURCE
    assert dataset.counts["ok"] == 3
    index = dataset.index()
    assert [bytes(each).hex() for each in index.digests.view(("u1", 32))] == [
        entry.sha256 for entry in dataset.entries()
    ]
    for number, name in enumerate("abc"):
        assert index.read_image(number) == name.encode() * 700
    places = [place for place, _ in dataset.parse_entries(ManifestEntry.from_dict)]
    assert [entry.url for entry in dataset.entries_at(reversed(places))] == ["u/c", "u/b", "u/a"]


def test_shards_hold_4096_images_that_the_index_finds_as_tar_does(tmp_path):
    dataset = build(tmp_path, tuple((index, f"{index:05d}") for index in range(5000)))
    index = dataset.index()
    assert sorted(dataset.files) == ["images-00000.tar", "images-00001.tar", "manifest.jsonl"]
    members = []
    for shard, name in enumerate(dataset.shards):
        with tarfile.open(dataset.folder / name) as tar:
            members += [(shard, member) for member in tar]
    assert [shard for shard, _ in members].count(0) == 4096
    # No header names a time, an owner or an original file.
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for _, m in members} == {(0, 0, 0, "", "")}
    assert members[0][1].name == f"{next(dataset.entries()).sha256}.png"
    found = zip(index.digests.view(("u1", 32)), index.shard, index.offset, index.size, strict=True)
    assert [(bytes(d).hex(), int(n), int(o), int(s)) for d, n, o, s in found] == [
        (member.name[:64], shard, member.offset_data, member.size) for shard, member in members
    ]
    wanted = np.random.default_rng(0).permutation(5000)
    assert np.array_equal(index.find(index.digests[wanted]), wanted)
    with pytest.raises(GanError, match="the image 0707"):
        index.find(np.array([b"\7" * 32], "S32"))
    # A hash that ends in zeros is found, and named whole.
    ends = np.array([b"a" * 31 + b"\0", b"b" * 30 + b"\0\0"], "S32")
    odd = replace(index, digests=ends, shard=index.shard[:2], offset=index.offset[:2])
    assert odd.find(ends[::-1]).tolist() == [1, 0]
    with pytest.raises(GanError, match="63" * 30 + "0000"):
        odd.find(np.array([b"c" * 30 + b"\0\0"], "S32"))


def test_the_same_bytes_under_two_urls_are_stored_once_and_a_last_outcome_counts(tmp_path):
    with Journal(tmp_path / "staging", SOURCE) as journal:
        for position in range(3):
            journal.add(position, entry_of(str(position), b"same"), b"same")
        journal.add(3, entry_of("a", status="failed"))
        assert not journal.is_done("u/a")
        journal.add(3, entry_of("a", b"same"), b"same")
        assert journal.is_done("u/a")
        dataset = pack(journal, tmp_path)
    assert [entry.status for entry in dataset.entries()] == ["ok"] * 4
    assert len(dataset.index()) == 1


def test_no_image_at_all_is_an_error_and_publishes_nothing(tmp_path):
    with Journal(tmp_path / "staging", SOURCE) as journal:
        journal.add(0, entry_of("a", status="gone"))
        with pytest.raises(GanError, match="not one image"):
            pack(journal, tmp_path)
    assert not (tmp_path / "data").exists()


def test_a_journal_cut_anywhere_resumes_to_the_same_digest(tmp_path):
    whole = build(tmp_path / "whole")
    lines = (tmp_path / "whole/staging" / JOURNAL).read_bytes()
    images = (tmp_path / "whole/staging" / IMAGES).read_bytes()
    for cut in range(0, len(lines), 61):
        root = tmp_path / str(cut)
        (root / "staging").mkdir(parents=True)
        older = lines[:cut].replace(b"\n", b"\n" + SYNCED, 1)  # of older versions
        (root / "staging" / JOURNAL).write_bytes(older)
        (root / "staging" / IMAGES).write_bytes(images)
        assert build(root).digest == whole.digest
        assert (root / "staging" / IMAGES).stat().st_size == len(images)


def test_entries_whose_bytes_a_power_cut_took_are_not_done(tmp_path):
    whole = build(tmp_path)
    images = tmp_path / "staging" / IMAGES
    images.write_bytes(images.read_bytes()[:1000])
    with Journal(tmp_path / "staging", SOURCE) as journal:
        assert [journal.is_done(f"u/{name}") for name in "cab"] == [True, False, False]
        fill(journal, ((0, "a"), (1, "b")))
        again = pack(journal, tmp_path)
    assert again.digest == whole.digest


def test_damaged_bytes_of_the_journal_are_not_published(tmp_path):
    with Journal(tmp_path / "staging", SOURCE) as journal:
        fill(journal, ((0, "a"),))
        images = tmp_path / "staging" / IMAGES
        images.write_bytes(b"\0" * images.stat().st_size)
        with pytest.raises(GanError, match="1 damaged"):
            pack(journal, tmp_path)
    # the same command resumes: damaged images are fetched again
    with Journal(tmp_path / "staging", SOURCE) as journal:
        assert not journal.is_done("u/a")
        fill(journal, ((0, "a"),))
        pack(journal, tmp_path).verify()


def grow(root, entries, status="ok"):
    """Add entries (position, name) to what stands in root/data; also whether there was news."""
    earlier = EarlierCrawl(Dataset.open(root / "data"))
    with Journal(root / "more", {"source": "more"}, earlier) as journal:
        fill(journal, [each for each in entries if not earlier.is_settled(f"u/{each[1]}")], status)
        news = has_news(journal)
        grown = pack(journal, root)
    discard(root / "more")
    assert grown.counts == dict.fromkeys(STATUSES, 0) | Counter(
        entry.status for entry in grown.entries()
    )
    return grown, news


def test_a_later_crawl_adds_shards_and_entries_and_changes_no_old_one(tmp_path):
    old = build(tmp_path)
    same, news = grow(tmp_path, ((0, "a"), (1, "b")))
    assert not news
    assert same.digest == old.digest
    shard = (tmp_path / "data/images-00000.tar").read_bytes()
    grown, news = grow(tmp_path, ((0, "z"), (1, "a"), (5, "y")))
    grown.verify()
    assert news
    assert list(grown.shards) == ["images-00000.tar", "images-00001.tar"]
    assert (tmp_path / "data/images-00000.tar").read_bytes() == shard
    assert [entry.url for entry in grown.entries()] == ["u/a", "u/b", "u/c", "u/z", "u/y"]
    assert len(grown.index()) == 5
    assert grown.digest != old.digest


def test_an_entry_that_failed_is_replaced_in_its_place_by_a_later_crawl(tmp_path):
    with Journal(tmp_path / "staging", SOURCE) as journal:
        fill(journal, ((0, "a"), (2, "c")))
        fill(journal, ((1, "b"),), "failed")
        pack(journal, tmp_path)
    still, news = grow(tmp_path, ((9, "b"),), "failed")
    assert not news
    assert still.counts["failed"] == 1
    grown, news = grow(tmp_path, ((9, "b"),))
    assert news
    assert [entry.url for entry in grown.entries()] == ["u/a", "u/b", "u/c"]
    assert grown.counts["ok"] == 3
    held = {bytes(each).hex() for each in grown.index().digests.view(("u1", 32))}
    assert held == {entry.sha256 for entry in grown.entries()}


def test_bytes_that_an_old_shard_holds_are_not_stored_again_but_fetched_if_it_is_lost(tmp_path):
    build(tmp_path)
    earlier = EarlierCrawl(Dataset.open(tmp_path / "data"))
    data = b"a" * 700
    with Journal(tmp_path / "more", SOURCE, earlier) as journal:
        journal.add(0, replace(entry_of("a", data), url="u/elsewhere"), data)
        assert (tmp_path / "more" / IMAGES).stat().st_size == 0
        journal.add(1, entry_of("new", b"new"), b"new")
        grown = pack(journal, tmp_path)
    assert list(grown.shards) == ["images-00000.tar", "images-00001.tar"]
    assert len(list(grown.entries())) == 5
    with Journal(tmp_path / "more", SOURCE, EarlierCrawl()) as journal:
        assert not journal.is_done("u/elsewhere")
        assert journal.is_done("u/new")


def test_a_journal_of_something_else_is_begun_anew(tmp_path):
    with Journal(tmp_path, SOURCE) as journal:
        fill(journal, ((0, "a"),))
    with Journal(tmp_path, {"source": "other"}) as journal:
        assert list(journal.records()) == []
    assert (tmp_path / IMAGES).stat().st_size == 0


def test_the_old_dataset_is_kept_and_comes_back_after_a_kill_between_the_renames(tmp_path):
    old = build(tmp_path)
    discard(tmp_path / "staging")
    new = build(tmp_path, ((0, "z"),))
    assert Dataset.open(tmp_path / "old").digest == old.digest
    recover(tmp_path / "data", tmp_path / "old")
    assert Dataset.open(tmp_path / "data").digest == new.digest
    (tmp_path / "data").rename(tmp_path / "lost")
    recover(tmp_path / "data", tmp_path / "old")
    assert Dataset.open(tmp_path / "data").digest == old.digest


def test_files_that_are_missing_half_written_changed_or_strange_are_noticed(tmp_path):
    dataset = build(tmp_path)
    for path in sorted(dataset.folder.iterdir()):
        kept = path.read_bytes()
        for part in (0, len(kept) // 2, len(kept) - 2, None):
            path.unlink()
            if part is not None:
                path.write_bytes(kept[:part])
            with pytest.raises(GanError):
                Dataset.open(dataset.folder)
        path.write_bytes(kept[:300] + bytes([kept[300] ^ 1]) + kept[301:])
        with pytest.raises(GanError, match=path.name):
            Dataset.open(dataset.folder).verify()
        path.write_bytes(kept)
    dataset.verify()
    (tmp_path / "data/notes.txt").write_text("x")
    with pytest.raises(GanError, match=r"notes\.txt"):
        dataset.verify()
    (dataset.folder / "images-00000.tar").write_bytes(b"x" * 512 + b"\0" * 512)
    with pytest.raises(GanError, match=r"images-00000\.tar: not a tar shard"):
        dataset.index()
    path = tmp_path / "data/snapshot.json"
    path.write_text(path.read_text().replace(dataset.digest, "0" * 64))
    with pytest.raises(GanError, match="digest"):
        Dataset.open(tmp_path / "data")
