"""Walks of archives: nothing hostile is read, followed, trusted or waited for."""

import errno
import gzip
import os
import random
import signal
import stat
import struct
import tarfile
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from archive_files import write_tar, write_zip

from gan.errors import GanError
from pipeline.crawl.archive.walk import UnreadableError, walk_files

MB = 2**20


@pytest.fixture(autouse=True)
def _nothing_blocks():
    signal.alarm(60)
    yield
    signal.alarm(0)


@pytest.fixture
def limits(make_params):
    def make(**changes):
        return make_params({f"scrape.{key}": value for key, value in changes.items()}).scrape

    return make


def walk(path, limits):
    return [(file.name, file.refusal) for file in walk_files(path, limits)]


def contents(path, limits, most=MB):
    """The bytes of each file, or its refusal."""
    found = {}
    for file in walk_files(path, limits):
        try:
            found[file.name] = file.read(most)
        except UnreadableError as error:
            found[file.name] = error.refusal
    return found


def peak_of(function):
    """The peak of memory, in bytes, of Python objects during a call."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def write_mixed(folder):
    (folder / "sub").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(b"12345")
    write_tar(folder / "b.tar", {"c.jpg": b"123", "d.jpg": b"12"})
    write_zip(folder / "sub/e.zip", {"f.jpg": b"1234"})
    return folder


def test_caps_count_a_folder_and_the_archives_inside_together(tmp_path, limits):
    folder = write_mixed(tmp_path / "x")
    names = ["a.jpg", "b.tar/c.jpg", "b.tar/d.jpg", "sub/e.zip/f.jpg"]
    exact = limits(archive_members=5, archive_bytes=14)
    assert [name for name, _ in walk(folder, exact)] == names
    with pytest.raises(GanError, match=r"scrape\.archive_members"):
        walk(folder, limits(archive_members=4))
    with pytest.raises(GanError, match=r"scrape\.archive_bytes"):
        walk(folder, limits(archive_bytes=13))


def test_a_zip_member_that_unpacks_to_too_much_is_named_a_bomb(tmp_path, limits):
    files = {"bomb.png": bytes(4 * MB), "small.png": bytes(MB - 1), "fair.png": os.urandom(MB)}
    found = dict(walk(write_zip(tmp_path / "x.zip", files), limits()))
    status, reason = found["bomb.png"]
    assert status == "too_large"
    assert reason.startswith("compressed 1:10")
    assert reason.endswith(", over 200")
    assert found["small.png"] is found["fair.png"] is None
    assert dict(walk(tmp_path / "x.zip", limits(archive_ratio=1100.0)))["bomb.png"] is None


def test_a_compressed_tar_that_unpacks_to_too_much_stops_and_costs_no_memory(tmp_path, limits):
    path = write_tar(tmp_path / "x.tar.gz", {"bomb.png": bytes(24 * MB), "b.png": b"1"}, "w:gz")
    with pytest.raises(GanError, match=r"scrape\.archive_ratio"):
        walk(path, limits())
    trusting = limits(archive_ratio=2000.0)
    assert peak_of(lambda: walk(path, trusting)) < 8 * MB
    assert contents(path, trusting)["bomb.png"] == ("too_large", f"over {MB} bytes")
    assert contents(path, trusting)["b.png"] == b"1"


def test_a_giant_extended_header_is_refused_before_it_is_read(tmp_path, limits):
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 256 * MB
    with gzip.open(tmp_path / "x.tar.gz", "wb", compresslevel=1) as stream:
        stream.write(header.tobuf())
        for _ in range(64):
            stream.write(bytes(MB))

    def walk_refused():
        with pytest.raises(GanError, match=r"x\.tar\.gz"):
            walk(tmp_path / "x.tar.gz", limits(archive_ratio=1e9))

    assert peak_of(walk_refused) < 8 * MB


@pytest.mark.parametrize("size", ["-512", "-1024", "-100000"])
def test_a_tar_that_runs_backwards_is_damaged_and_no_endless_loop(size, tmp_path, limits):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo("a.jpg"))
        header = tarfile.TarInfo("b.jpg")
        header.pax_headers = {"size": size}
        tar.addfile(header)
    with pytest.raises(GanError, match="damaged"):
        walk(path, limits())


def test_endless_header_chains_are_damage(tmp_path, limits):
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 2
    block = header.tobuf(tarfile.GNU_FORMAT) + b"a\0".ljust(512, b"\0")
    start = tarfile.TarInfo("a.jpg").tobuf()
    (tmp_path / "x.tar").write_bytes(start + block * 5000)
    with pytest.raises(GanError, match="damaged"):
        walk(tmp_path / "x.tar", limits())


def patch_field(data, magic, offset, form, value):
    """Zip bytes with one field of the first record that begins with `magic` replaced."""
    at = data.index(magic) + offset
    return data[:at] + struct.pack(form, value) + data[at + struct.calcsize(form) :]


@pytest.mark.parametrize("declared", [10, 5 * MB])
@pytest.mark.parametrize("how", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_size_that_lies_is_found_and_costs_no_memory(how, declared, tmp_path, limits):
    path = write_zip(tmp_path / "x.zip", {"a.png": bytes(4 * MB)}, how)
    path.write_bytes(patch_field(path.read_bytes(), b"PK\x01\x02", 24, "<I", declared))
    trusting = limits(archive_ratio=1e9)
    assert peak_of(lambda: contents(path, trusting)) < 24 * MB
    found = contents(path, trusting, most=8 * MB)["a.png"]
    assert found == ("bad", "damaged in its archive")


def test_an_unknown_compression_is_one_bad_member(tmp_path, limits):
    path = write_zip(tmp_path / "x.zip", {"a.png": b"1", "b.png": b"2"})
    data = patch_field(path.read_bytes(), b"PK\x03\x04", 8, "<H", 97)
    path.write_bytes(patch_field(data, b"PK\x01\x02", 10, "<H", 97))
    assert contents(path, limits()) == {
        "a.png": ("bad", "compressed in a way that is not read here"),
        "b.png": b"2",
    }


def test_an_encrypted_member_is_blocked(tmp_path, limits):
    path = write_zip(tmp_path / "x.zip", {"a.png": b"1", "b.png": b"2"})
    path.write_bytes(patch_field(path.read_bytes(), b"PK\x01\x02", 8, "<H", 1))
    assert walk(path, limits()) == [("a.png", ("blocked", "encrypted")), ("b.png", None)]


@pytest.mark.parametrize(
    "name", ["/x", "../x", "a/../../x", "C:\\x", "c:x", "..\\x", "\\\\h\\x", "a/..", "a\\..\\x"]
)
def test_names_that_point_outside_are_blocked(name, tmp_path, limits):
    for path in (
        write_tar(tmp_path / "x.tar", {name: b"1"}),
        write_zip(tmp_path / "x.zip", {name: b""}),
    ):
        assert walk(path, limits()) == [(name, ("blocked", "unsafe name"))]


@pytest.mark.parametrize("name", ["..x", "a/...b/x..jpg", "a b/c:d.jpg", "ab:x", "~/x"])
def test_names_that_only_look_odd_are_read(name, tmp_path, limits):
    for path in (
        write_tar(tmp_path / "x.tar", {name: b"1"}),
        write_zip(tmp_path / "x.zip", {name: b""}),
    ):
        assert walk(path, limits()) == [(name, None)]


@pytest.mark.parametrize(
    "kind", [tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_a_tar_are_blocked(kind, tmp_path, limits):
    path = write_tar(tmp_path / "x.tar", {"a.jpg": b""}, type=kind, linkname="/etc/passwd")
    assert walk(path, limits()) == [("a.jpg", ("blocked", "a link or special file"))]


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_devices_in_a_zip_are_blocked(kind, tmp_path, limits):
    info = zipfile.ZipInfo("a.jpg")
    info.external_attr = (kind | 0o644) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    assert walk(tmp_path / "x.zip", limits()) == [
        ("a.jpg", ("blocked", "a link or special file")),
    ]


def test_links_and_pipes_in_a_folder_are_neither_followed_nor_waited_for(tmp_path, limits):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.jpg").write_bytes(b"secret")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "all").symlink_to(outside)
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "one.jpg").symlink_to(outside / "a.jpg")
    (folder / "self").symlink_to(folder)
    (folder / "x.tar").symlink_to(outside / "x.tar")
    os.mkfifo(folder / "pipe.jpg")
    os.mkfifo(folder / "pipe.zip")
    link, special = ("blocked", "a link to a folder"), ("blocked", "a link or special file")
    assert walk(folder, limits()) == [
        ("all", link),
        ("loop.jpg", special),
        ("one.jpg", special),
        ("pipe.jpg", special),
        ("pipe.zip", special),
        ("self", link),
        ("x.tar", special),
    ]


def test_what_takes_a_files_place_after_it_was_listed_is_not_followed(tmp_path, limits):
    for name in ("gone.jpg", "link.jpg", "pipe.jpg"):
        (tmp_path / name).write_bytes(b"1")
    members = {file.name: file for file in walk_files(tmp_path, limits())}
    for name in members:
        (tmp_path / name).unlink()
    (tmp_path / "link.jpg").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe.jpg")
    found = {}
    for name, file in members.items():
        with pytest.raises(UnreadableError) as caught:
            file.read(MB)
        found[name] = caught.value.refusal
    assert found == {
        "gone.jpg": ("failed", f"cannot be read: {os.strerror(errno.ENOENT)}"),
        "link.jpg": ("blocked", "a link or special file"),
        "pipe.jpg": ("blocked", "a link or special file"),
    }


@pytest.fixture
def strangers_folder():
    """An empty folder, and a process that has no right to what is closed to all but root."""
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        if user == 0:
            os.seteuid(65534)
        yield Path(folder)
        os.seteuid(user)


def test_a_file_or_folder_without_permission_is_named(strangers_folder, limits):
    bounds, closed = limits(), strangers_folder / "a.jpg"
    closed.write_bytes(b"1")
    closed.chmod(0)
    found = contents(strangers_folder, bounds)
    assert found == {"a.jpg": ("failed", f"cannot be read: {os.strerror(errno.EACCES)}")}
    (strangers_folder / "sub").mkdir(mode=0)
    with pytest.raises(GanError, match="sub"):
        walk(strangers_folder, bounds)
    (strangers_folder / "sub").rmdir()
    closed.rename(strangers_folder / "a.zip")
    with pytest.raises(GanError, match=r"a\.zip"):
        walk(strangers_folder, bounds)


def test_a_pipe_given_as_the_archive_is_an_error_and_not_a_wait(tmp_path, limits):
    os.mkfifo(tmp_path / "x.zip")
    with pytest.raises(GanError, match=r"x\.zip"):
        walk(tmp_path / "x.zip", limits())


@pytest.mark.parametrize("ending", [".TAR", ".Tar.GZ", ".TGZ", ".tbz2", ".txz", ".ZIP"])
def test_endings_count_in_any_case(ending, tmp_path, limits):
    path = tmp_path / f"x{ending}"
    if ending == ".ZIP":
        write_zip(path, {"A.JPG": b"1"})
    else:
        mode = {"z": "w:gz", "2": "w:bz2"}.get(ending.lower()[-1], "w")
        write_tar(path, {"A.JPG": b"1"}, {".txz": "w:xz", ".TAR": "w"}.get(ending, mode))
    assert contents(path, limits()) == {"A.JPG": b"1"}
    assert contents(tmp_path, limits()) == {f"x{ending}/A.JPG": b"1"}


@pytest.mark.parametrize(
    ("magic", "name"),
    [(b"7z\xbc\xaf\x27\x1c", "7z"), (b"Rar!\x1a\x07\x00", "RAR"), (b"\x28\xb5\x2f\xfd", "Zstand")],
)
def test_archives_of_other_kinds_are_named(magic, name, tmp_path, limits):
    (tmp_path / "x.tar").write_bytes(magic + bytes(600))
    with pytest.raises(GanError, match=rf"x\.tar: {name}"):
        walk(tmp_path / "x.tar", limits())


FILES = {f"{i}.jpg": random.Random(i).randbytes(3000) for i in range(9)}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_cut_off_anywhere_is_an_error_and_not_a_smaller_one(mode, tmp_path, limits):
    data = write_tar(tmp_path / "x", FILES, mode).read_bytes()
    path = tmp_path / "x.tar"
    # From the last file's end on there is only the end mark and its padding.
    for size in range(700, min(len(data), 9 * 3584) - 700, 512):
        path.write_bytes(data[:size])
        with pytest.raises(GanError, match="damaged"):
            walk(path, limits())


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_damaged_header_in_the_middle_is_an_error(mode, tmp_path, limits):
    data = bytearray(write_tar(tmp_path / "x", FILES).read_bytes())
    data[4 * 3584 + 5] ^= 0xFF
    path = tmp_path / "x.tar"
    path.write_bytes(data if mode == "w" else gzip.compress(data))
    with pytest.raises(GanError, match="damaged"):
        walk(path, limits())


def test_a_wrong_checksum_of_a_compressed_tar_is_an_error(tmp_path, limits):
    data = bytearray(write_tar(tmp_path / "x", FILES, "w:gz").read_bytes())
    data[-6] ^= 0xFF
    (tmp_path / "x.tgz").write_bytes(data)
    with pytest.raises(GanError, match="damaged"):
        walk(tmp_path / "x.tgz", limits())


def torn(write, path):
    """An archive of FILES without its last kilobyte."""
    path.write_bytes(write(path, FILES).read_bytes()[:-1024])


def bad_checksum(path):
    data = bytearray(write_tar(path, FILES, "w:gz").read_bytes())
    data[-6] ^= 0xFF
    path.write_bytes(data)


DAMAGES = {
    "b.zip": lambda path: torn(write_zip, path),
    "b.tgz": bad_checksum,
    "b.tar": lambda path: path.write_bytes(write_tar(path, FILES).read_bytes()[:9000]),
    "b.TAR": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_archive_in_a_folder_is_a_file_itself_and_the_walk_continues(
    name, tmp_path, limits
):
    DAMAGES[name](tmp_path / name)
    (tmp_path / "a.jpg").write_bytes(b"1")
    write_tar(tmp_path / "c.tar", {"c.jpg": b"3"})
    found = walk(tmp_path, limits())
    assert [found[0], *found[-2:]] == [
        ("a.jpg", None),
        (name, ("bad", "a damaged archive")),
        ("c.tar/c.jpg", None),
    ]
    assert all(each.startswith(f"{name}/") for each, _ in found[1:-2])


def test_a_disk_that_cannot_be_read_is_not_called_a_damaged_archive(tmp_path, limits, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    write_tar(tmp_path / "a.tar", FILES)
    monkeypatch.setattr(tarfile.TarFile, "next", fail)
    with pytest.raises(GanError, match=r"a\.tar.*Input/output error"):
        walk(tmp_path, limits())


def test_the_entries_of_a_zip_in_a_folder_count_with_the_others(tmp_path, limits):
    folder = tmp_path / "x"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"1")
    write_zip(folder / "b.zip", {f"{number}.jpg": b"" for number in range(6_000)})
    assert sum(1 for _ in walk_files(folder, limits(archive_members=6_001))) == 6_001
    with pytest.raises(GanError, match="6000"):
        walk(folder, limits(archive_members=6_000))


def test_the_headers_of_a_tar_are_not_kept(tmp_path, limits):
    path = write_tar(tmp_path / "x.tar", {f"{i}.txt": b"" for i in range(2000)})
    assert peak_of(lambda: sum(1 for _ in walk_files(path, limits()))) < MB
