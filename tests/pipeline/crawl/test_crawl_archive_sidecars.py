"""The archive source: sidecars, odd names, files that change meanwhile, archives that grew."""

import hashlib
import io
import json
import os
import sys

import pytest
from archive_files import write_folder, write_tar, write_zip
from PIL import Image

from pipeline.crawl.archive.source import read_contents
from pipeline.crawl.image_check import PictureLimits
from pipeline.crawl.sink import Sink
from pipeline.crawl.storage.journal import JOURNAL, Journal
from pipeline.crawl.storage.writer import publish


def png(number):
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (number % 256, number // 256, 7)).save(stream, "PNG")
    return stream.getvalue()


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


SHAPES = {
    "folder": write_folder,
    "sidecars-first.tar": lambda path, files: write_tar(
        path, dict(reversed(sorted(files.items())))
    ),
    "sidecars-last.tar": lambda path, files: write_tar(path, dict(sorted(files.items()))),
    "x.zip": write_zip,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_sidecars_become_provenance_in_every_kind_of_archive(shape, tmp_path, archive, fetch):
    files = {
        "a/1.png": png(1),
        "a/1.png.json": post(1, rating="s", license="CC-BY-4.0"),
        "a/2.PNG": png(2),
        "a/2.json": post(2),
        "a/3.png": png(3),
        "a/info.json": post(4),
        "1.png.json": post(5),
    }
    one, two, three = fetch(archive(SHAPES[shape](tmp_path / shape, files)))
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
    files = {
        "a.gif": png(3),
        "a.json": post(2, tags="stem"),
        "a.png": png(1),
        "a.png.json": post(1, tags="whole"),
        "a.b.png": png(4),
        "ab.png": png(5),
    }
    entries = fetch(archive(write_folder(tmp_path / "x", files)))
    assert [entry.tags for entry in entries] == [(), ("stem",), ("whole",), ()]
    assert [entry.url for entry in entries] == [
        "archive:a.b.png",
        "https://cdn.example.org/2.png",
        "https://cdn.example.org/1.png",
        "archive:ab.png",
    ]


def test_pictures_that_claim_one_address_are_all_kept(tmp_path, archive, fetch):
    files = {f"{name}.png": png(number) for number, name in enumerate("abc")}
    files |= {f"{name}.png.json": post(7) for name in "abc"} | {"c.png": png(0)}
    entries = fetch(archive(write_folder(tmp_path / "x", files)))
    assert [entry.url for entry in entries] == [
        "https://cdn.example.org/7.png",
        "archive:b.png",
        "archive:c.png",
    ]
    assert {entry.page for entry in entries} == {"https://danbooru.donmai.us/posts/7"}
    assert len({entry.sha256 for entry in entries}) == 2


def test_broken_sidecars_cost_no_picture_and_one_line(tmp_path, archive, fetch, capsys):
    broken = [b"", b"<html>", b"[1]", b"{", b"\xff\xff", b"[" * 99_999, b" " * 2**20 + b"{}"]
    files = {f"{number}.png": png(number) for number in range(len(broken))}
    files |= {f"{number}.png.json": data for number, data in enumerate(broken)}
    entries = fetch(archive(write_folder(tmp_path / "x", files)))
    assert {entry.status for entry in entries} == {"ok"}
    assert all(entry.url == entry.page == f"archive:{n}.png" for n, entry in enumerate(entries))
    said = [line for line in capsys.readouterr().err.splitlines() if "sidecar" in line]
    assert [line.startswith("x: 7 sidecars") for line in said] == [True]
    one = write_folder(tmp_path / "y", {"a.png": png(1), "a.json": b"{"})
    fetch(archive(one), into="other")
    assert "y: 1 sidecar " in capsys.readouterr().err


def test_a_link_as_a_sidecar_is_not_followed(tmp_path, archive, fetch):
    (tmp_path / "outside.json").write_bytes(post(1))
    folder = write_folder(tmp_path / "x", {"a.png": png(1)})
    (folder / "a.png.json").symlink_to(tmp_path / "outside.json")
    assert fetch(archive(folder))[0].url == "archive:a.png"


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
    assert {entry.url: entry.sha256 for entry in entries} == {
        "archive:a.png": hashlib.sha256(png(1)).hexdigest(),
        "archive:a.png#2": hashlib.sha256(png(3)).hexdigest(),
        "archive:a.png#3": hashlib.sha256(png(1)).hexdigest(),
        "archive:b.png": hashlib.sha256(png(2)).hexdigest(),
    }


def test_names_in_no_encoding_and_with_control_characters_are_escaped(tmp_path, archive, fetch):
    folder = tmp_path / "x"
    folder.mkdir()
    names = [b"a\nb.png", b"\xff.png", b"\\xff.png", b"\x1b[31m.png", "青　い.png".encode()]
    for number, name in enumerate(names):
        (folder / os.fsdecode(name)).write_bytes(png(number))
    (folder / os.fsdecode(b"\xff.png.json")).write_bytes(post(9))
    entries = {entry.url: entry for entry in fetch(archive(folder))}
    assert set(entries) == {
        "archive:a\\nb.png",
        "https://cdn.example.org/9.png",
        "archive:\\xff.png",
        "archive:\\x1b[31m.png",
        "archive:青　い.png",
    }
    for entry in entries.values():
        assert entry.url.encode("utf-8")
        assert entry.status == "ok"


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
    (folder / "b.png").write_bytes(png(1))
    (folder / "c.png").write_bytes(b"")
    (folder / "e.png").write_bytes(png(2))
    assert [(entry.url, entry.status, entry.reason) for entry in fetch(source)] == [
        ("archive:a.png", "failed", "gone since the archive was listed"),
        ("archive:b.png", "failed", "changed since the archive was listed"),
        ("archive:c.png", "failed", "changed since the archive was listed"),
        ("archive:d.png", "ok", ""),
    ]


def test_limits_of_params_decide_what_is_too_large(tmp_path, archive, fetch):
    folder = write_folder(tmp_path / "x", {"a.png": png(1), "b.png": png(2) + bytes(5000)})
    small, large = fetch(archive(folder, max_bytes=5000))
    assert (small.status, large.status, large.reason) == ("ok", "too_large", "over 5000 bytes")


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
    folder = write_folder(tmp_path / "x", {"b.png": png(1), "b.json": post(1), "c.png": png(2)})
    write_folder(folder, {"bad.png": b"no picture"})
    dataset = publish_source(archive(folder))
    assert archive(folder).continues(dataset)
    write_folder(folder, {"a.png": png(3), "bad.png": png(4)})
    assert archive(folder).continues(dataset)
    (folder / "c.png").unlink()
    assert archive(folder).continues(dataset)
    assert not archive(folder, licence="other").continues(dataset)
    assert not archive(folder.rename(tmp_path / "y")).continues(dataset)


def test_another_archive_of_the_same_name_does_not_continue_it(tmp_path, archive, publish_source):
    dataset = publish_source(
        archive(write_tar(tmp_path / "x.tar", {"a.png": png(1), "b.png": png(2)}))
    )
    write_tar(tmp_path / "x.tar", {"a.png": png(1), "b.png": png(3)})
    assert not archive(tmp_path / "x.tar").continues(dataset)
    write_tar(tmp_path / "x.tar", {"c.png": png(1)})
    assert not archive(tmp_path / "x.tar").continues(dataset)


def test_source_and_description_have_no_path_and_follow_the_sidecars(tmp_path, archive):
    folder = write_folder(tmp_path / "x", {"a.png": png(1), "a.json": post(1)})
    before = archive(folder).describe({"ok": 1})
    assert set(before) == {"source", "sha256", "limit", "licence", "counts"}
    assert str(tmp_path) not in repr(before)
    write_folder(folder, {"a.json": post(1, tags=["new"])})
    assert archive(folder).identity["sha256"] != before["sha256"]


def test_a_listing_costs_little_memory(tmp_path, archive):
    count = 300
    names = [f"some-folder/danbooru_{number:08}_0123456789abcdef.png" for number in range(count)]
    files = {name: b"" for name in names} | {f"{name}.json": post(1) for name in names}
    path, limits = write_tar(tmp_path / "x.tar", files), archive(tmp_path / "x.tar").limits
    contents = read_contents(path, limits, limit=None)
    kept = [*contents.positions, *contents.digests, *contents.provenances]
    assert len(kept) == 3 * count
    assert sum(map(sys.getsizeof, kept)) / count < 500
