"""The archive source: every damaged, hostile or odd file is a entry, never a crash or a path."""

import io
import os
import random
import stat
import struct
import tarfile
import zipfile
import zlib

import pytest
from archive_files import write_folder, write_tar, write_zip
from PIL import Image

from gan.errors import GanError


def jpeg(colour=(200, 90, 30), size=(40, 30)):
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, "JPEG")
    return stream.getvalue()


def bomb(side=30_000):
    """A valid PNG header that promises 900 million pixels."""

    def chunk(kind, body):
        crc = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + crc

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


FILES = {
    "good.jpg": jpeg(),
    "deep/er/good.PNG": jpeg((1, 2, 3)),
    "twin.jpeg": jpeg(),
    "truncated.jpg": jpeg(size=(400, 300))[:700],
    "text.jpg": b"not a picture",
    "empty.gif": b"",
    "bomb.png": bomb(),
    "mild-bomb.png": bomb(10_000),
    "notes.txt": b"no entry for this",
}
STATUSES = {
    "good.jpg": "ok",
    "deep/er/good.PNG": "ok",
    "twin.jpeg": "ok",
    "truncated.jpg": "bad",
    "text.jpg": "bad",
    "empty.gif": "bad",
    "bomb.png": "too_large",
    "mild-bomb.png": "too_large",
}


KINDS = {
    "folder": write_folder,
    "x.tar": write_tar,
    "x.tar.gz": lambda path, files: write_tar(path, files, "w:gz"),
    "x.zip": write_zip,
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_every_picture_file_is_one_entry_with_the_right_status(kind, tmp_path, archive, fetch):
    entries = fetch(archive(KINDS[kind](tmp_path / kind, FILES)))
    assert {entry.url.removeprefix("archive:"): entry.status for entry in entries} == STATUSES
    assert [entry.url for entry in entries] == sorted(entry.url for entry in entries)
    for entry in entries:
        assert (entry.status == "ok") == (entry.reason == "") == (entry.sha256 != "")
        assert " 0x" not in entry.reason
        assert str(tmp_path) not in entry.to_json()


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_the_same_files_give_the_same_entries_in_every_kind_of_archive(tmp_path, archive, fetch):
    entries = []
    for kind, write in KINDS.items():
        backwards = dict(reversed(FILES.items())) if kind == "x.zip" else FILES
        entries.append(fetch(archive(write(tmp_path / kind, backwards)), into=f"{kind}.staging"))
    assert all(each == entries[0] for each in entries)


def test_identity_follows_names_and_contents_alone(tmp_path, archive):
    one = write_folder(tmp_path / "1/x.tar", FILES)
    two = write_tar(tmp_path / "x.tar", FILES)
    assert archive(one).identity == archive(two).identity
    (one / "good.jpg").write_bytes(jpeg((9, 9, 9)))
    assert archive(one).identity != archive(two).identity


def test_links_and_devices_are_never_followed(tmp_path, archive, fetch):
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(jpeg())
    folder = write_folder(tmp_path / "folder", {"good.jpg": jpeg((5, 5, 5))})
    (folder / "link.jpg").symlink_to(secret)
    os.mkfifo(folder / "pipe.jpg")
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name in ("good.jpg", "link.jpg", "pipe.jpg"):
            tar.add(folder / name, name)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        packed.write(folder / "good.jpg", "good.jpg")
        for name, kind in (("link.jpg", stat.S_IFLNK), ("pipe.jpg", stat.S_IFIFO)):
            info = zipfile.ZipInfo(name)
            info.external_attr = (kind | 0o644) << 16
            packed.writestr(info, str(secret))
    for kind in ("folder", "x.tar", "x.zip"):
        entries = fetch(archive(tmp_path / kind))
        assert [entry.status for entry in entries] == ["ok", "blocked", "blocked"], kind


def test_a_file_over_the_byte_limit_is_not_read(tmp_path, archive, fetch):
    path = write_zip(tmp_path / "x.zip", {"big.png": bytes(21 * 2**20), "good.jpg": jpeg()})
    big, good = fetch(archive(path))
    assert (big.status, good.status) == ("too_large", "ok")


def test_archives_inside_a_folder_are_walked_too(tmp_path, archive, fetch):
    folder = tmp_path / "folder"
    folder.mkdir()
    write_tar(folder / "shard.tar", {"a.jpg": jpeg()})
    write_zip(folder / "more.zip", {"b.jpg": jpeg((1, 1, 1))})
    (folder / "c.jpg").write_bytes(jpeg((2, 2, 2)))
    assert [entry.url for entry in fetch(archive(folder))] == [
        "archive:c.jpg",
        "archive:more.zip/b.jpg",
        "archive:shard.tar/a.jpg",
    ]


def test_the_limit_keeps_the_first_names(tmp_path, archive, fetch):
    path = write_tar(tmp_path / "x.tar", {f"{name}.jpg": jpeg() for name in "dbca"})
    entries = fetch(archive(path, limit=2))
    assert [entry.url for entry in entries] == ["archive:a.jpg", "archive:b.jpg"]


def test_a_name_in_no_encoding_is_kept_apart(tmp_path, archive, fetch):
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        for name in (b"\xff.jpg", b"\xfe.jpg"):
            info = tarfile.TarInfo(name.decode("utf-8", "surrogateescape"))
            info.size = len(jpeg())
            tar.addfile(info, io.BytesIO(jpeg()))
    assert len({entry.url for entry in fetch(archive(tmp_path / "x.tar"))}) == 2


def test_a_zip_member_with_a_wrong_checksum_is_one_bad_entry(tmp_path, archive, fetch):
    path = tmp_path / "x.zip"
    write_zip(path, {"a.jpg": jpeg(), "b.jpg": jpeg((5, 5, 5))}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[data.index(b"\xff\xd8") + 300] ^= 0xFF
    path.write_bytes(data)
    assert [entry.status for entry in fetch(archive(path))] == ["bad", "ok"]


@pytest.mark.parametrize("content", [b"", b"hello", jpeg()])
@pytest.mark.parametrize("name", ["x.tar", "x.zip", "x.tar.gz"])
def test_a_file_that_is_no_archive_is_one_clear_line(name, content, tmp_path, archive, fetch):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(GanError, match=name):
        fetch(archive(tmp_path / name))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_torn_archive_is_an_error_and_not_a_smaller_one(tmp_path, archive, fetch):
    for kind in ("x.tar", "x.tar.gz", "x.zip"):
        path = KINDS[kind](tmp_path / kind, {**FILES, "z.jpg": random.Random(1).randbytes(90_000)})
        data = path.read_bytes()
        path.write_bytes(data[: len(data) * 2 // 3])
        with pytest.raises(GanError, match=kind):
            fetch(archive(path))


def test_a_damaged_archive_in_a_folder_is_one_bad_entry_and_none_of_its_pictures_is_taken(
    tmp_path, archive, fetch, capsys
):
    folder = write_folder(tmp_path / "x", {"a.jpg": jpeg()})
    write_tar(folder / "b.tar", {"1.jpg": jpeg((1, 1, 1)), "2.jpg": jpeg((2, 2, 2))})
    write_zip(folder / "c.zip", {"3.jpg": jpeg((3, 3, 3))})
    whole = fetch(archive(folder), into="whole")
    assert {entry.status for entry in whole} == {"ok"}
    tar = (folder / "b.tar").read_bytes()
    # its first picture is there, but a tar has no checksum that would vouch for it
    (folder / "b.tar").write_bytes(tar[:1500])
    capsys.readouterr()
    entries = fetch(archive(folder))
    assert [(entry.url, entry.status, entry.reason) for entry in entries] == [
        ("archive:a.jpg", "ok", ""),
        ("archive:b.tar", "bad", "a damaged archive"),
        ("archive:c.zip/3.jpg", "ok", ""),
    ]
    said = [line for line in capsys.readouterr().err.splitlines() if "damaged" in line]
    assert [line.startswith("x: b.tar ") for line in said] == [True]


def test_no_picture_file_is_an_error(tmp_path, archive, fetch):
    with pytest.raises(GanError, match="folder"):
        fetch(archive(write_folder(tmp_path / "folder", {"a.txt": b"x", "._a.jpg": b"x"})))
