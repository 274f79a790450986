"""The archive source: every damaged, hostile or odd file is an entry, never a crash or a path."""

import hashlib
import io
import json
import os
import struct
import sys
import zipfile
import zlib

import pytest
from archive_files import write_folder, write_tar, write_zip
from PIL import Image

from gan.errors import GanError
from pipeline.crawl.archive.source import read_pictures
from pipeline.crawl.image_check import PictureLimits
from pipeline.crawl.sink import Sink
from pipeline.crawl.storage.journal import JOURNAL, Journal
from pipeline.crawl.storage.writer import publish


def png(number, size=(8, 8)):
    stream = io.BytesIO()
    Image.new("RGB", size, (number % 256, number // 256, 7)).save(stream, "PNG")
    return stream.getvalue()


def bomb(side):
    """A valid PNG header that promises `side` squared pixels."""

    def chunk(kind, body):
        crc = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + crc

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def post(number, **changes):
    """A sidecar as gallery-dl writes it for Danbooru."""
    values = {
        "id": number,
        "category": "danbooru",
        "rating": "g",
        "tags": ["1girl", "青"],
        "source": "https://example.org/work",
        "file_url": f"https://cdn.example.org/{number}.png",
    }
    return json.dumps(values | changes, indent=4).encode()


KINDS = {
    "folder": write_folder,
    "x.tar": write_tar,
    "x.tar.gz": lambda path, files: write_tar(path, files, "w:gz"),
    "sidecars-last.tar": lambda path, files: write_tar(path, dict(sorted(files.items()))),
    "sidecars-first.zip": lambda path, files: write_zip(path, sorted(files.items())[::-1]),
}
FILES = {
    "good.jpg": (png(1), "ok"),
    "deep/er/good.PNG": (png(2), "ok"),
    "twin.jpeg": (png(1), "ok"),
    "truncated.jpg": (png(3, (400, 300))[:700], "bad"),
    "text.jpg": (b"not a picture", "bad"),
    "empty.gif": (b"", "bad"),
    "bomb.png": (bomb(30_000), "too_large"),
    "mild-bomb.png": (bomb(10_000), "too_large"),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_each_picture_file_is_one_entry_the_same_in_every_kind_of_archive(
    tmp_path, archive, fetch
):
    files = {name: data for name, (data, _) in FILES.items()} | {"notes.txt": b"no entry"}
    found, hashes = [], set()
    for kind, write in KINDS.items():
        source = archive(write(tmp_path / kind, files))
        found.append(fetch(source, into=f"{kind}.staging"))
        hashes.add(source.identity["sha256"])
        assert source.identity["source"] == f"archive:{kind}"
    assert all(each == found[0] for each in found)
    assert len(hashes) == 1
    statuses = {name: status for name, (_, status) in sorted(FILES.items())}
    assert {each.url.removeprefix("archive:"): each.status for each in found[0]} == statuses
    for entry in found[0]:
        assert (entry.status == "ok") == (entry.reason == "") == (entry.sha256 != "")
        assert " 0x" not in entry.reason
        assert str(tmp_path) not in entry.to_json()


def test_the_limit_keeps_the_first_names_and_max_bytes_the_smaller_files(tmp_path, archive, fetch):
    files = {f"{name}.png": png(1) for name in "dbc"} | {"a.png": png(2) + bytes(5000)}
    entries = fetch(archive(write_tar(tmp_path / "x.tar", files), limit=2, max_bytes=5000))
    assert [(entry.url, entry.status, entry.reason) for entry in entries] == [
        ("archive:a.png", "too_large", "over 5000 bytes"),
        ("archive:b.png", "ok", ""),
    ]


def test_a_zip_member_with_a_wrong_checksum_is_one_bad_entry(tmp_path, archive, fetch):
    path = tmp_path / "x.zip"
    write_zip(path, {"a.png": png(1), "b.png": png(2)}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 8] ^= 0xFF
    path.write_bytes(data)
    assert [entry.status for entry in fetch(archive(path))] == ["bad", "ok"]


def test_a_file_that_is_no_archive_or_has_no_picture_is_one_clear_line(tmp_path, archive, fetch):
    for name in ("x.tar", "x.zip", "x.tar.gz"):
        for content in (b"", b"hello", png(1)):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(GanError, match=name):
                fetch(archive(tmp_path / name))
    with pytest.raises(GanError, match="folder"):
        fetch(archive(write_folder(tmp_path / "folder", {"a.txt": b"x", "._a.jpg": b"x"})))


def test_a_damaged_archive_in_a_folder_is_one_bad_entry_and_none_of_its_pictures_is_taken(
    tmp_path, archive, fetch, capsys
):
    folder = write_folder(tmp_path / "x", {"a.png": png(0)})
    write_tar(folder / "b.tar", {"1.png": png(1), "2.png": png(2)})
    write_zip(folder / "c.zip", {"3.png": png(3)})
    whole = fetch(archive(folder), into="whole")
    assert [entry.status for entry in whole] == ["ok"] * 4
    # its first picture is there, but a tar has no checksum that would vouch for it
    (folder / "b.tar").write_bytes((folder / "b.tar").read_bytes()[:1500])
    capsys.readouterr()
    entries = fetch(archive(folder))
    assert [(entry.url, entry.status, entry.reason) for entry in entries] == [
        ("archive:a.png", "ok", ""),
        ("archive:b.tar", "bad", "a damaged archive"),
        ("archive:c.zip/3.png", "ok", ""),
    ]
    assert "x: b.tar " in capsys.readouterr().err


@pytest.mark.parametrize("kind", KINDS)
def test_sidecars_become_provenance_in_every_kind_of_archive(kind, tmp_path, archive, fetch):
    files = {
        "a/1.png": png(1),
        "a/1.png.json": post(1, rating="s", license="CC-BY-4.0"),
        "a/2.PNG": png(2),
        "a/2.json": post(2),
        "a/3.png": png(3),
        "a/info.json": post(4),
        "1.png.json": post(5),
    }
    one, two, three = fetch(archive(KINDS[kind](tmp_path / kind, files)))
    assert (one.url, two.url) == ("https://cdn.example.org/1.png", "https://cdn.example.org/2.png")
    assert (one.page, two.page) == tuple(f"https://danbooru.donmai.us/posts/{i}" for i in (1, 2))
    assert (one.rating, two.rating, three.rating) == ("sensitive", "general", "")
    assert (one.licence, two.licence, three.licence) == ("CC-BY-4.0", "mine", "mine")
    assert one.tags == two.tags == ("1girl", "青")
    assert one.source == "https://example.org/work"
    assert (three.url, three.page, three.tags) == ("archive:a/3.png", "archive:a/3.png", ())
    assert [entry.sha256 for entry in (one, two, three)] == [
        hashlib.sha256(png(number)).hexdigest() for number in (1, 2, 3)
    ]


def test_the_sidecar_of_the_whole_name_counts_before_that_of_the_stem(tmp_path, archive, fetch):
    files = {name: png(n) for n, name in enumerate(("a.gif", "a.png", "a.b.png", "ab.png"))}
    files |= {"a.json": post(2, tags="stem"), "a.png.json": post(1, tags="whole")}
    entries = fetch(archive(write_folder(tmp_path / "x", files)))
    assert [(entry.url.rpartition("/")[2], entry.tags) for entry in entries] == [
        ("archive:a.b.png", ()),
        ("2.png", ("stem",)),
        ("1.png", ("whole",)),
        ("archive:ab.png", ()),
    ]


def test_pictures_that_claim_one_address_are_all_kept(tmp_path, archive, fetch):
    files = {"a.png": png(0), "b.png": png(1), "c.png": png(0)}
    files |= {f"{name}.json": post(7) for name in files}
    entries = fetch(archive(write_folder(tmp_path / "x", files)))
    urls = ["https://cdn.example.org/7.png", "archive:b.png", "archive:c.png"]
    assert [entry.url for entry in entries] == urls
    assert {entry.page for entry in entries} == {"https://danbooru.donmai.us/posts/7"}


def test_broken_sidecars_cost_no_picture_and_one_line(tmp_path, archive, fetch, capsys):
    broken = [b"", b"<html>", b"[1]", b"{", b"\xff\xff", b"[" * 99_999, b" " * 2**20 + b"{}"]
    files = {f"{number}.png": png(number) for number in range(len(broken) + 1)}
    files |= {f"{number}.png.json": data for number, data in enumerate(broken)}
    folder = write_folder(tmp_path / "x", files)
    (tmp_path / "outside.json").write_bytes(post(1))
    (folder / "7.json").symlink_to(tmp_path / "outside.json")
    for number, entry in enumerate(fetch(archive(folder))):
        assert (entry.status, entry.url, entry.page) == ("ok", *[f"archive:{number}.png"] * 2)
    assert "x: 8 sidecars left out" in capsys.readouterr().err


def test_no_credential_of_a_sidecar_reaches_the_disk(tmp_path, archive, fetch):
    url = "https://me:S3CRET@cdn.example.org/1.png?api_key=S3CRET&user_id=S3CRET&n=1"
    sidecar = post(1, file_url=url, source=f"see {url}", _http_headers={"Cookie": "S3CRET"})
    fetch(archive(write_folder(tmp_path / "x", {"1.png": png(1), "1.png.json": sidecar})))
    for path in (tmp_path / "staging").iterdir():
        assert b"S3CRET" not in path.read_bytes()
    assert b"https://cdn.example.org/1.png?n=1" in (tmp_path / "staging" / JOURNAL).read_bytes()


@pytest.mark.parametrize("write", [write_tar, write_zip])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_files_of_one_name_are_all_kept(write, tmp_path, archive, fetch):
    files = [("a.png", png(1)), ("b.png", png(2)), ("a.png", png(3)), ("a.png", png(1))]
    entries = fetch(archive(write(tmp_path / "x", files)))
    numbers = {"a.png": 1, "a.png#2": 3, "a.png#3": 1, "b.png": 2}
    assert {entry.url: entry.sha256 for entry in entries} == {
        f"archive:{name}": hashlib.sha256(png(number)).hexdigest()
        for name, number in numbers.items()
    }


def test_names_in_no_encoding_and_with_control_characters_are_escaped(tmp_path, archive, fetch):
    folder = tmp_path / "x"
    folder.mkdir()
    names = [b"a\nb.png", b"\xff.png", b"\\xff.png", b"\x1b[31m.png", "青　い.png".encode()]
    for number, name in enumerate(names):
        (folder / os.fsdecode(name)).write_bytes(png(number))
    (folder / os.fsdecode(b"\xff.png.json")).write_bytes(post(9))
    entries = fetch(archive(folder))
    assert {entry.status for entry in entries} == {"ok"}
    assert {entry.url for entry in entries} == {
        "archive:a\\nb.png",
        "https://cdn.example.org/9.png",
        "archive:\\xff.png",
        "archive:\\x1b[31m.png",
        "archive:青　い.png",
    }


def test_packed_files_and_links_left_out_are_counted(tmp_path, archive, fetch, capsys):
    folder = write_folder(tmp_path / "x", {"a.png": png(1), "b.rar": b"x", "c.7z": b"x"})
    write_zip(folder / "d.zip", {"e.png": png(2), "f.zip": b"x"})
    (folder / "linked").symlink_to(tmp_path)
    assert len(fetch(archive(folder))) == 2
    said = capsys.readouterr().err
    assert "x: 3 packed files left out" in said
    assert "x: 1 linked folder left out" in said


def test_a_file_that_changes_or_goes_after_the_listing_fails(tmp_path, archive, fetch):
    folder = write_folder(tmp_path / "x", {f"{name}.png": png(ord(name)) for name in "abcd"})
    source = archive(folder)
    assert source.total == 4
    (folder / "a.png").unlink()
    write_folder(folder, {"b.png": png(1), "c.png": b"", "e.png": png(2)})
    changed = ("failed", "changed since the archive was listed")
    assert [(entry.url[-5:], entry.status, entry.reason) for entry in fetch(source)] == [
        ("a.png", "failed", "gone since the archive was listed"),
        ("b.png", *changed),
        ("c.png", *changed),
        ("d.png", "ok", ""),
    ]


class _Killed(Sink):
    """Stops at the fifth picture."""

    def check_and_add(self, *arguments):
        if sum(self.counts.values()) == 4:
            raise KeyboardInterrupt
        super().check_and_add(*arguments)


class _Counting(Sink):
    checked = 0

    def check_and_add(self, *arguments):
        _Counting.checked += 1
        super().check_and_add(*arguments)


@pytest.mark.parametrize("write", [write_folder, write_tar, write_zip])
def test_a_killed_fetch_resumes_and_ends_with_the_same_entries(write, tmp_path, archive, fetch):
    files = {f"{number}.png": png(number) for number in range(9)}
    source = archive(write(tmp_path / "x", files | {"1.json": post(1)}))
    whole = fetch(source, into="whole")
    with pytest.raises(KeyboardInterrupt):
        fetch(source, sink_of=_Killed)
    _Counting.checked = 0
    assert fetch(archive(tmp_path / "x"), sink_of=_Counting) == whole
    assert _Counting.checked == 5


@pytest.fixture
def publish_source(tmp_path):
    """publish_source(source): the dataset of it."""

    def make(source):
        with Journal(tmp_path / "published", source.identity) as journal:
            source.fetch(Sink(journal, PictureLimits()))
            counts = {"ok": len(journal)}
            return publish(journal, source.describe(counts), tmp_path / "data", tmp_path / "old")

    return make


def test_an_archive_that_only_grew_continues_its_dataset(tmp_path, archive, publish_source):
    files = {"b.png": png(1), "b.json": post(1), "c.png": png(2), "bad.png": b"no picture"}
    folder = write_folder(tmp_path / "x", files)
    dataset = publish_source(archive(folder))
    assert set(dataset.source) == {"source", "sha256", "limit", "licence", "counts"}
    assert archive(folder).continues(dataset)
    write_folder(folder, {"a.png": png(3), "bad.png": png(4)})
    (folder / "c.png").unlink()
    assert archive(folder).continues(dataset)
    assert not archive(folder, licence="other").continues(dataset)
    assert not archive(folder.rename(tmp_path / "y")).continues(dataset)


def test_another_archive_of_the_same_name_does_not_continue_it(tmp_path, archive, publish_source):
    path = tmp_path / "x.tar"
    dataset = publish_source(archive(write_tar(path, {"a.png": png(1), "b.png": png(2)})))
    for files in ({"a.png": png(1), "b.png": png(3)}, {"c.png": png(1)}):
        assert not archive(write_tar(path, files)).continues(dataset)


def test_the_identity_follows_pictures_and_sidecars(tmp_path, archive):
    folder = write_folder(tmp_path / "x", {"a.png": png(1), "a.json": post(1)})
    hashes = [archive(folder).identity["sha256"]]
    for change in ({"a.json": post(1, tags=["new"])}, {"a.png": png(2)}):
        write_folder(folder, change)
        hashes.append(archive(folder).identity["sha256"])
    assert len(set(hashes)) == 3


def test_a_listing_costs_little_memory(tmp_path, archive):
    count = 300
    names = [f"some-folder/danbooru_{number:08}_0123456789abcdef.png" for number in range(count)]
    files = {name: b"" for name in names} | {f"{name}.json": post(1) for name in names}
    path, limits = write_tar(tmp_path / "x.tar", files), archive(tmp_path / "x.tar").limits
    pictures = read_pictures(path, limits, limit=None)
    assert len(pictures) == count
    kept = [each for name, picture in pictures.items() for each in (name, picture, *picture[1:])]
    assert sum(map(sys.getsizeof, kept)) / count < 550
