"""The archive source: every damaged, hostile or odd file is an entry, never a crash or a path."""

import hashlib
import io
import json
import os
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archive_files import write_folder, write_tar, write_zip
from local_server import fetch_dataset
from local_server import picture as png
from picture_files import encode, plain, png_of
from PIL import Image

from gan.errors import GanError
from pipeline.crawl.archive.source import read_pictures
from pipeline.crawl.archive.walk import walk_files
from pipeline.crawl.storage.journal import JOURNAL
from pipeline.pictures.formats import FORMATS


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
    "truncated.jpg": (png(3, size=(400, 300))[:700], "bad"),
    "text.jpg": (b"not a picture", "bad"),
    "empty.gif": (b"", "bad"),
    "bomb.png": (png_of(30_000, 30_000), "too_large"),
}


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


def test_a_file_that_is_no_archive_or_has_no_picture_is_one_clear_line(tmp_path, archive):
    for name in ("x.tar", "x.zip"):
        (tmp_path / name).write_bytes(png(1))
        with pytest.raises(GanError, match=name):
            assert archive(tmp_path / name).identity
    folder = write_folder(tmp_path / "folder", {"a.txt": b"x", "._a.jpg": b"x"})
    with pytest.raises(GanError, match="folder: holds no"):
        assert archive(folder).identity


def test_a_damaged_archive_in_a_folder_is_one_bad_entry_and_none_of_its_pictures_is_taken(
    tmp_path, archive, fetch, capsys
):
    folder = write_folder(tmp_path / "x", {"a.png": png(0), "b.rar": b"x", "c.7z": b"x"})
    torn = write_tar(folder / "b.tar", {"1.png": png(1), "2.png": png(2)})
    write_zip(folder / "c.zip", {"3.png": png(3), "f.zip": b"x"})
    (folder / "linked").symlink_to(tmp_path)
    # its first picture is there, but a tar has no checksum that would vouch for it
    torn.write_bytes(torn.read_bytes()[:1500])
    assert [(entry.url, entry.status, entry.reason) for entry in fetch(archive(folder))] == [
        ("archive:a.png", "ok", ""),
        ("archive:b.tar", "bad", "a damaged archive"),
        ("archive:c.zip/3.png", "ok", ""),
    ]
    said = capsys.readouterr().err
    for left_out in ("b.tar is damaged", "3 packed files left out", "1 linked folder left out"):
        assert f"x: {left_out}" in said


@pytest.mark.parametrize("kind", KINDS)
def test_sidecars_become_provenance_in_every_kind_of_archive(kind, tmp_path, archive, fetch):
    names = ["a/1.png", "a/2.PNG", "a/3.b.png", "a/3.gif", "a/3.png", "a/4.png", "a/5.png"]
    files = {name: png(number) for number, name in enumerate(names)}
    files |= {
        "a/1.png.json": post(1, rating="s", license="CC-BY-4.0"),
        "a/2.json": post(2),
        "a/3.json": post(3, tags="stem"),
        "a/3.png.json": post(4, tags="whole"),
        "a/4.png.json": post(1),  # claims an address again
        "a/info.json": post(5),
        "1.png.json": post(6),
    }
    entries = fetch(archive(KINDS[kind](tmp_path / kind, files)))
    own = "archive:a/{}.png".format
    page, cdn = (
        "https://danbooru.donmai.us/posts/{}".format,
        "https://cdn.example.org/{}.png".format,
    )
    assert [(entry.url, entry.page) for entry in entries] == [
        (cdn(1), page(1)),
        (cdn(2), page(2)),
        (own("3.b"), own("3.b")),
        (cdn(3), page(3)),
        (cdn(4), page(4)),
        (own("4"), page(1)),
        (own("5"), own("5")),
    ]
    usual = ("1girl", "青")
    assert [entry.tags for entry in entries] == [
        usual,
        usual,
        (),
        ("stem",),
        ("whole",),
        usual,
        (),
    ]
    one, two, *_, last = entries
    assert (one.rating, two.rating, last.rating) == ("sensitive", "general", "")
    assert (one.licence, two.licence, last.licence) == ("CC-BY-4.0", "mine", "mine")
    assert (one.source, last.source) == ("https://example.org/work", "")
    hashes = [hashlib.sha256(png(number)).hexdigest() for number in range(len(names))]
    assert [entry.sha256 for entry in entries] == hashes


def test_broken_sidecars_cost_no_picture_and_one_line(tmp_path, archive, fetch, capsys):
    broken = [b"", b"<html>", b"[1]", b"\xff\xff", b"[" * 99_999, b" " * 2**20 + b"{}"]
    broken += [b'{"id": 9' + b"9" * 5000 + b"}"]
    files = {f"{number}.png": png(number) for number in range(len(broken) + 1)}
    files |= {f"{number}.png.json": data for number, data in enumerate(broken)}
    folder = write_folder(tmp_path / "x", files)
    (folder / "7.json").symlink_to(tmp_path / "nowhere.json")
    for number, entry in enumerate(fetch(archive(folder))):
        assert (entry.status, entry.url, entry.page) == ("ok", *[f"archive:{number}.png"] * 2)
    assert "x: 8 sidecars left out" in capsys.readouterr().err


CSV = """file_name,tags,rating,license
1.png,"1girl, red hair",s,CC0
deep/2.png,1girl blue_hair,,
./3.png,"1girl,hat",,
gone.png,hat,,
"""
JSONL = [
    {"file_name": "1.png", "tags": ["1girl", "red hair"], "rating": "s", "license": "CC0"},
    {"file": "deep/2.png", "tag_string": "1girl blue_hair"},
    {"path": "3.png", "tags": "1girl,hat"},
    {"file_name": "gone.png"},
]
TABLES = {
    "tags.csv": CSV,
    "metadata.csv": CSV.replace("file_name", "FileName"),
    "tags.jsonl": "\n".join(map(json.dumps, JSONL)),
    "metadata.jsonl": "\n\n".join(map(json.dumps, JSONL)) + "\n",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("table", TABLES)
def test_a_table_gives_tags_to_the_pictures_that_it_names(
    kind, table, tmp_path, archive, fetch, capsys
):
    names = ["a/1.png", "a/deep/2.png", "a/3.png", "a/4.png", "a/5.png", "other.png"]
    files = {name: png(number) for number, name in enumerate(names)}
    files |= {f"a/{table}": TABLES[table].encode("utf-8-sig"), "a/5.json": post(5)}
    entries = {e.url: e for e in fetch(archive(KINDS[kind](tmp_path / kind, files)))}
    assert {url.removeprefix("archive:"): entry.tags for url, entry in entries.items()} == {
        "a/1.png": ("1girl", "red hair"),
        "a/deep/2.png": ("1girl", "blue_hair"),
        "a/3.png": ("1girl", "hat"),
        "a/4.png": (),
        "https://cdn.example.org/5.png": ("1girl", "青"),
        "other.png": (),
    }
    first, last = entries["archive:a/1.png"], entries["archive:other.png"]
    assert (first.rating, first.licence, last.licence) == ("sensitive", "CC0", "mine")
    (said,) = [each for each in capsys.readouterr().err.splitlines() if table in each]
    assert "3 pictures, none for 2; 1 line for others" in said


def test_tags_that_are_separated_by_tabs_or_semicolons_or_in_another_case_are_found(
    tmp_path, archive, fetch
):
    for number, text in enumerate(("FILE_NAME\tTags\n1.png\ta b\n", "Tags;path\na b;1.png\n")):
        folder = write_folder(tmp_path / f"{number}", {"1.png": png(1), "tags.csv": text.encode()})
        (entry,) = fetch(archive(folder), into=f"{number}.staging")
        assert entry.tags == ("a", "b")


BROKEN = {
    "tags.csv": [b"id,tags\n1,a\n", b"file_name,tags\n1.png,a\n,b\n", b"file_name\n\xff\xfe"],
    "tags.jsonl": [b"{}", b'{"file_name": "1.png"}\n[1]\n', b'{"file_name": "1.png"\n', b"\xff"],
}


@pytest.mark.parametrize(
    ("name", "data"), [(name, data) for name, each in BROKEN.items() for data in each]
)
def test_a_broken_table_of_tags_is_one_error_and_another_programs_table_is_left_out(
    name, data, tmp_path, archive, fetch, capsys
):
    folder = write_folder(tmp_path / "x", {"1.png": png(1), f"sub/{name}": data})
    with pytest.raises(GanError, match=f"sub/{name}: ") as raised:
        assert archive(folder).identity
    assert "\n" not in str(raised.value)
    metadata = name.replace("tags", "metadata")
    (folder / "sub" / name).rename(folder / "sub" / metadata)
    (entry,) = fetch(archive(folder))
    assert entry.tags == ()
    assert f"sub/{metadata} left out: " in capsys.readouterr().err


def test_no_credential_of_a_sidecar_reaches_the_disk(tmp_path, archive, fetch):
    url = "https://me:S3CRET@cdn.example.org/1.png?api_key=S3CRET&user_id=S3CRET&n=1"
    addresses = dict.fromkeys(("file_url", "url", "post_url"), url)
    own = {"source": f"see {url}", "_http_headers": {"Cookie": "S3CRET"}}
    sidecar = post(1, **addresses, **own, category="unknown")
    fetch(archive(write_folder(tmp_path / "x", {"1.png": png(1), "1.png.json": sidecar})))
    for path in (tmp_path / "staging").iterdir():
        assert b"S3CRET" not in path.read_bytes()
    journal = (tmp_path / "staging" / JOURNAL).read_bytes()
    assert journal.count(b"https://cdn.example.org/1.png?n=1") == 3


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


def stop_at_four(sink):
    if sink.fetched == 4:
        raise KeyboardInterrupt


@pytest.mark.parametrize("write", [write_folder, write_tar, write_zip])
def test_a_killed_fetch_resumes_and_ends_with_the_same_entries(write, tmp_path, archive, fetch):
    files = {f"{number}.png": png(number) for number in range(9)}
    source = archive(write(tmp_path / "x", files | {"1.json": post(1)}))
    whole = fetch(source, into="whole")
    with pytest.raises(KeyboardInterrupt):
        fetch(source, on_change=stop_at_four)
    sinks = []
    assert fetch(archive(tmp_path / "x"), on_change=sinks.append) == whole
    assert sinks[-1].fetched == 5


def test_an_archive_that_only_grew_continues_its_dataset(tmp_path, archive, capsys):
    files = {"b.png": png(1), "b.json": post(1), "c.png": png(2), "bad.png": b"no picture"}
    folder = write_folder(tmp_path / "x", files)
    source = archive(folder)
    dataset = fetch_dataset(source, tmp_path / "published")
    assert set(dataset.source) == {"source", "sha256", "limit", "licence", "counts"}
    assert archive(folder).continues(dataset)
    write_folder(folder, {"a.png": png(3), "bad.png": png(4)})
    (folder / "c.png").unlink()
    assert archive(folder).continues(dataset)
    assert not archive(folder, licence="other").continues(dataset)
    assert "--replace" not in capsys.readouterr().err
    write_folder(folder, {"b.json": post(1, tags=["new"])})
    retagged = archive(folder)
    assert retagged.identity["sha256"] != source.identity["sha256"]
    assert retagged.continues(dataset)
    assert "1 picture; --replace" in capsys.readouterr().err
    write_folder(folder, {"b.png": png(5)})
    assert not archive(folder).continues(dataset)
    (folder / "b.png").unlink()
    assert not archive(folder).continues(dataset)


def test_a_listing_costs_little_memory(tmp_path, archive):
    count = 300
    names = [f"some-folder/danbooru_{number:08}_0123456789abcdef.png" for number in range(count)]
    files = {name: b"" for name in names} | {f"{name}.json": post(1) for name in names}
    path, limits = write_tar(tmp_path / "x.tar", files), archive(tmp_path / "x.tar").policy.params
    pictures = read_pictures(path, limits, limit=None)
    assert len(pictures) == count
    kept = [each for name, picture in pictures.items() for each in (name, picture, *picture[1:])]
    assert sum(map(sys.getsizeof, kept)) / count < 550


def names_of(entries):
    return [entry.url.removeprefix("archive:") for entry in entries if entry.status == "ok"]


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_found_by_content_and_other_files_counted_by_what_they_are(
    kind, tmp_path, archive, fetch, capsys
):
    files = {f"{each}.{each.lower()}": encode(plain((9, 8, 7)), each) for each in FORMATS}
    files |= {"no-ending": encode(plain((1, 2, 3)), "AVIF"), "odd.bin": png(9)}
    expected = sorted(files)
    files |= {f"{n}.jxl": b"\xff\x0a" + bytes(90) for n in range(3)}
    files |= {"a.mp4": b"\0\0\0\x18ftypmp42" + bytes(50), "b.dat": bytes(range(256))}
    files |= {"c.json": b"{}", "d.txt": b"words", "._e.png": png(1)}
    entries = fetch(archive(KINDS[kind](tmp_path / kind, files)))
    assert names_of(entries) == expected
    assert {entry.format for entry in entries} == set(FORMATS)
    said = capsys.readouterr().err
    assert "5 files left out" in said
    for part in ("3 JPEG XL", "1 MP4 video", "1 .dat"):
        assert part in said


def test_links_of_a_folder_are_followed_as_in_the_cache_of_hugging_face(tmp_path, archive, fetch):
    blobs = write_folder(tmp_path / "hub" / "blobs", {f"{n:040}": png(n) for n in range(3)})
    images = tmp_path / "hub" / "snapshots" / "main" / "images"
    images.mkdir(parents=True)
    for blob in sorted(blobs.iterdir()):
        (images / f"{blob.name[-1]}.jpg").symlink_to(os.path.relpath(blob, images))
    (images / "gone.jpg").symlink_to("nowhere")
    entries = fetch(archive(images.parent))
    assert names_of(entries) == ["images/0.jpg", "images/1.jpg", "images/2.jpg"]
    assert entries[-1].status == "blocked"


def test_frames_of_an_animation_are_left_out_and_counted(tmp_path, archive, fetch, capsys):
    def frames(count, digits=6):
        return {f"{n:0{digits}}.jpg": png(n) for n in range(count)}

    folder = write_folder(tmp_path / "x", {"777_ugoira.zip.json": b'{"type": "ugoira"}'})
    write_folder(folder, {"1.png": png(70), "2.png": png(71)})
    write_zip(folder / "777_ugoira.zip", frames(30, digits=4))
    write_zip(folder / "one.zip", frames(3))
    write_zip(folder / "said.zip", {"animation.json": b"{}", "a.png": png(80), "b.png": png(81)})
    # pictures that only look like it
    write_zip(folder / "long.zip", frames(151))
    write_zip(folder / "single.zip", frames(1))
    write_zip(folder / "mixed.zip", {**frames(2), "cover.png": png(90)})
    found = names_of(fetch(archive(folder)))
    assert len(found) == 2 + 151 + 1 + 3
    assert {name.partition("/")[0] for name in found} == {
        *("1.png", "2.png", "long.zip", "mixed.zip", "single.zip")
    }
    assert "35 frames of 3 animations, such as 777_ugoira.zip left out" in capsys.readouterr().err
    assert len(fetch(archive(folder / "one.zip"), into="typed")) == 3  # chosen by its name


def test_files_named_as_archives_that_are_none_do_not_end_the_walk(tmp_path, archive, fetch):
    folder = write_folder(tmp_path / "x", {"a.png": png(1), "b.zip": png(2)})
    write_folder(folder, {"c.npy": b"\x89HDF\r\n\x1a\n" + bytes(64), "d.tar": b"7z\xbc\xaf'\x1c"})
    assert "a.png" in names_of(fetch(archive(folder)))


def test_waifucs_sidecars_and_captions_give_tags_page_and_rating(tmp_path, archive, fetch):
    meta = {
        "danbooru": {"id": 5, "rating": "g", "tag_string": "a b", "source": "https://s.example/1"},
        "group_id": "danbooru_5",
        "tags": {"1girl": 0.98, "long_hair": 0.7},
        "url": "https://cdn.example.org/5.png",
    }
    files = {name: png(n) for n, name in enumerate(["s/d_5.png", "b.png", "c.png", "d.png"])}
    files |= {
        "s/.d_5_meta.json": json.dumps(meta).encode(),
        "b.txt": b"1girl, long hair, saber \\(fate\\),\n",
        "c.png.txt": b"1girl solo",
        "d.txt": b"not, used",
        "d.json": post(9),
    }
    b, c, d, first = fetch(archive(write_folder(tmp_path / "x", files)))
    assert (first.url, first.page) == (meta["url"], "https://danbooru.donmai.us/posts/5")
    assert (first.tags, first.rating) == (("1girl", "long_hair"), "general")
    assert first.source == "https://s.example/1"
    assert b.tags == ("1girl", "long hair", "saber (fate)")
    assert (c.tags, d.tags) == (("1girl", "solo"), ("1girl", "青"))


@pytest.mark.parametrize(
    ("name", "data", "advice"),
    [
        ("x.zip.001", b"PK\x03\x04", "cat .*x.zip.* > .*x.zip"),
        ("x.h5", b"\x89HDF\r\n\x1a\n", "HDF5.*folder"),
        ("x.png", png(1), "PNG.*folder"),
        ("x.7z", b"7z\xbc\xaf\x27\x1c", "7z.*unpack"),
        ("x.bin", b"\7" * 600, "no folder, tar, zip"),
    ],
)
def test_a_file_that_is_not_opened_is_named_in_one_line_with_a_way_out(
    tmp_path, archive, name, data, advice
):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(GanError, match=advice) as caught:
        assert archive(tmp_path / name).identity
    assert "method" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_parts_of_a_split_archive_in_a_folder_are_counted(tmp_path, archive, fetch, capsys):
    files = {"a.png": png(1), "x.zip.001": b"PK\x03\x04", "x.zip.002": b"x", "y.z01": b"x"}
    fetch(archive(write_folder(tmp_path / "x", files)))
    assert "3 packed files left out" in capsys.readouterr().err


def write_parquet(path, column, values, **others):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({**others, column: values}), path, row_group_size=7)
    return path


@pytest.mark.parametrize("struct", [True, False])
def test_parquet_as_hugging_face_packs_pictures_is_a_source(struct, tmp_path, archive, fetch):
    data = [png(n) for n in range(20)]
    values = [{"bytes": each, "path": f"/tmp/{n:02}.png"} for n, each in enumerate(data)]
    folder = tmp_path / "hub"
    path = folder / "data" / "train-00000-of-00001.parquet"
    write_parquet(path, "image", values if struct else data, label=list(range(20)), raw=data[::-1])
    write_parquet(folder / "labels.parquet", "label", [1, 2, 3])
    expected = [hashlib.sha256(each).hexdigest() for each in data]
    for number, place in enumerate((path, folder)):
        entries = fetch(archive(place), into=f"{number}.staging")
        assert [entry.sha256 for entry in entries] == expected
    with pytest.raises(GanError, match=r"labels\.parquet: no column of pictures among label"):
        assert archive(folder / "labels.parquet").identity
    path.write_bytes(path.read_bytes()[:300])
    write_folder(folder, {"a.png": png(1)})
    statuses = {e.url: e.status for e in fetch(archive(folder), into="damaged")}
    assert statuses == {"archive:a.png": "ok", f"archive:{path.relative_to(folder)}": "bad"}


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("kind", ["npz", "npz packed", "npy"])
def test_arrays_of_pictures_are_a_source(kind, channels, tmp_path, archive, fetch):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 9, 8, channels), np.uint8)
    path = tmp_path / "x" / f"samples.{kind[:3]}"
    path.parent.mkdir()
    labels = np.arange(5)
    if kind == "npy":
        np.save(path, pixels)
    else:
        (np.savez_compressed if "packed" in kind else np.savez)(path, pixels, labels=labels)
    np.save(path.parent / "labels.npy", labels)
    entries = fetch(archive(path))
    assert [(each.status, each.width, each.height) for each in entries] == [("ok", 8, 9)] * 5
    files = list(walk_files(path, archive(path).policy.params))
    for file, expected in zip(files, pixels, strict=True):
        with Image.open(io.BytesIO(file.read(10_000))) as image:
            assert np.array_equal(np.asarray(image).reshape(expected.shape), expected)
    assert len(fetch(archive(path.parent), into="folder")) == 5
    with pytest.raises(GanError, match=r"labels\.npy: no array of uint8"):
        assert archive(path.parent / "labels.npy").identity
