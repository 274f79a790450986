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
from archive_files import write_folder, write_tar, write_zip

from gan.errors import GanError
from pipeline.crawl.archive.walk import UnreadableError, walk_files

MB = 2**20
LINK, SPECIAL = ("blocked", "a link to a folder"), ("blocked", "a link or special file")
DAMAGED = ("bad", "damaged in its archive")


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
            found[file.name] = error.args
    return found


def peak_of(function):
    """The peak of memory, in bytes, of Python objects during a call."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_caps_count_a_folder_and_the_archives_inside_together(tmp_path, limits):
    folder = write_folder(tmp_path / "x", {"a.jpg": b"12345", "sub/n.txt": b""})
    write_tar(folder / "b.tar", {"c.jpg": b"123", "d.jpg": b"12"})
    write_zip(folder / "sub/e.zip", {"f.jpg": b"1234"})
    names = ["a.jpg", "b.tar/c.jpg", "b.tar/d.jpg", "sub/e.zip/f.jpg", "sub/n.txt"]
    assert [name for name, _ in walk(folder, limits(archive_members=6, archive_bytes=14))] == names
    for cap in ({"archive_members": 5}, {"archive_bytes": 13}):
        with pytest.raises(GanError, match=rf"scrape\.{next(iter(cap))}"):
            walk(folder, limits(**cap))


def test_a_zip_member_that_unpacks_to_too_much_is_named_a_bomb(tmp_path, limits):
    files = {"bomb.png": bytes(4 * MB), "small.png": bytes(MB - 1), "fair.png": os.urandom(MB)}
    found = dict(walk(write_zip(tmp_path / "x.zip", files), limits()))
    status, reason = found["bomb.png"]
    assert (status, reason[:15], reason[-10:]) == ("too_large", "compressed 1:10", ", over 200")
    assert found["small.png"] is found["fair.png"] is None
    assert dict(walk(tmp_path / "x.zip", limits(archive_ratio=1100.0)))["bomb.png"] is None


def test_a_tar_costs_no_memory_whatever_it_unpacks_to_or_its_headers_claim(tmp_path, limits):
    path = write_tar(tmp_path / "x.tar.gz", {"bomb.png": bytes(24 * MB), "b.png": b"1"}, "w:gz")
    with pytest.raises(GanError, match=r"scrape\.archive_ratio"):
        walk(path, limits())
    trusting = limits(archive_ratio=1e9)
    assert peak_of(lambda: walk(path, trusting)) < 8 * MB
    found = contents(path, trusting)
    assert found == {"bomb.png": ("too_large", f"over {MB} bytes"), "b.png": b"1"}
    path = write_tar(tmp_path / "x.tar", {f"{i}.txt": b"" for i in range(2000)})
    assert peak_of(lambda: sum(1 for _ in walk_files(path, limits()))) < MB
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 256 * MB
    with gzip.open(tmp_path / "giant.tgz", "wb", compresslevel=1) as stream:
        stream.write(header.tobuf())
        for _ in range(64):
            stream.write(bytes(MB))

    def walk_refused():
        with pytest.raises(GanError, match=r"giant\.tgz"):
            walk(tmp_path / "giant.tgz", trusting)

    assert peak_of(walk_refused) < 8 * MB


def test_a_tar_that_runs_backwards_or_only_of_headers_is_damaged(tmp_path, limits):
    path = tmp_path / "x.tar"
    for size in ("-512", "-100000"):
        write_tar(path, {"a.jpg": b"", "b.jpg": b""}, pax_headers={"size": size})
        with pytest.raises(GanError, match="damaged"):
            walk(path, limits())
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 2
    block = header.tobuf(tarfile.GNU_FORMAT) + b"a\0".ljust(512, b"\0")
    path.write_bytes(tarfile.TarInfo("a.jpg").tobuf() + block * 5000)
    with pytest.raises(GanError, match="damaged"):
        walk(path, limits())


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
    assert contents(path, trusting, most=8 * MB) == {"a.png": DAMAGED}


def test_encrypted_altered_and_unknown_compression_cost_one_member(tmp_path, limits):
    path = write_zip(tmp_path / "x.zip", {"a.png": b"1", "b.png": b"2"})
    data = path.read_bytes()
    listed = b"PK\x01\x02"
    unknown = ("bad", "compressed in a way that is not read here")
    for changed, refusal in (
        (patch_field(data, listed, 8, "<H", 1), ("blocked", "encrypted")),
        (patch_field(data, listed, 16, "<I", 0), DAMAGED),  # another checksum
        (
            patch_field(patch_field(data, b"PK\x03\x04", 8, "<H", 97), listed, 10, "<H", 97),
            unknown,
        ),
    ):
        path.write_bytes(changed)
        assert contents(path, limits()) == {"a.png": refusal, "b.png": b"2"}


UNSAFE = ["/x", "../x", "a/../../x", "C:\\x", "c:x", "..\\x", "\\\\h\\x", "a/..", "a\\..\\x"]
ODD = ["..x", "a/...b/x..jpg", "a b/c:d.jpg", "ab:x", "~/x", "dir\\b.png", "__MACOSX/._a.png"]


@pytest.mark.parametrize("write", [write_tar, write_zip])
def test_names_that_point_outside_are_blocked_and_odd_ones_read(write, tmp_path, limits):
    path = write(tmp_path / "x", dict.fromkeys(UNSAFE + ODD, b"1"))
    unsafe = dict.fromkeys(UNSAFE, ("blocked", "unsafe name"))
    assert contents(path, limits()) == unsafe | dict.fromkeys(ODD, b"1")


class OldName(zipfile.ZipInfo):
    """A name as old packers write it: bytes in some encoding, and no mark of UTF-8."""

    def _encodeFilenameFlags(self):  # noqa: N802
        return self.filename.encode("cp437"), 0


def test_names_in_old_encodings_and_long_ones_come_in_whole(tmp_path, limits):
    old = ["é.png", "日本.png".encode("shift-jis").decode("cp437")]
    files = [*((OldName(name), b"1") for name in old), ("青い.png", b"1"), ("a folder/", b"")]
    path = write_zip(tmp_path / "x.zip", files)
    assert contents(path, limits()) == dict.fromkeys([*old, "青い.png"], b"1")
    long = {"絵/" + "long" * 80 + ".png": b"1"}
    assert contents(write_tar(tmp_path / "x.tar", long), limits()) == long


def test_links_and_devices_inside_archives_are_blocked(tmp_path, limits):
    for kind in (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        path = write_tar(tmp_path / "x.tar", {"a.jpg": b""}, type=kind, linkname="/etc/passwd")
        assert walk(path, limits()) == [("a.jpg", SPECIAL)]
    for kind in (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR):
        info = zipfile.ZipInfo("a.jpg")
        info.external_attr = (kind | 0o644) << 16
        path = write_zip(tmp_path / "x.zip", [(info, "/etc/passwd")])
        assert walk(path, limits()) == [("a.jpg", SPECIAL)]


def test_links_in_a_folder_are_followed_to_files_alone_and_pipes_not_waited_for(tmp_path, limits):
    outside = write_folder(tmp_path / "outside", {"a.jpg": b"secret"})
    folder = tmp_path / "folder"
    folder.mkdir()
    links = {"all": outside, "loop.jpg": "loop.jpg", "one.jpg": outside / "a.jpg", "x.tar": "x"}
    for name, target in links.items():
        (folder / name).symlink_to(target)
    for name in ("pipe.jpg", "pipe.zip"):
        os.mkfifo(folder / name)
    special = dict.fromkeys(["loop.jpg", "pipe.jpg", "pipe.zip", "x.tar"], SPECIAL)
    assert dict(walk(folder, limits())) == {"all": LINK, "one.jpg": None} | special
    with pytest.raises(GanError, match=r"pipe\.zip"):
        walk(folder / "pipe.zip", limits())


def test_what_takes_a_files_place_after_it_was_listed_is_not_followed(tmp_path, limits):
    write_folder(tmp_path, dict.fromkeys(("gone.jpg", "grown.jpg", "link.jpg", "pipe.jpg"), b"1"))
    found = {}
    for file in list(walk_files(tmp_path, limits())):
        (tmp_path / file.name).unlink()
        (tmp_path / "grown.jpg").write_bytes(bytes(MB + 1))
        if file.name == "link.jpg":
            (tmp_path / file.name).symlink_to("/etc/passwd")
        elif file.name == "pipe.jpg":
            os.mkfifo(tmp_path / file.name)
        with pytest.raises(UnreadableError) as caught:
            file.read(MB)
        found[file.name] = caught.value.args
    gone = ("failed", f"cannot be read: {os.strerror(errno.ENOENT)}")
    grown = ("too_large", f"over {MB} bytes")
    places = {"link.jpg": SPECIAL, "pipe.jpg": SPECIAL}
    assert found == places | {"gone.jpg": gone, "grown.jpg": grown}


def test_a_file_or_folder_without_permission_is_named(limits):
    user, bounds = os.geteuid(), limits()
    with tempfile.TemporaryDirectory() as name:
        folder, closed = Path(name), Path(name, "a.jpg")
        folder.chmod(0o777)
        if user == 0:  # root may read all
            os.seteuid(65534)
        try:
            closed.write_bytes(b"1")
            closed.chmod(0)
            refusal = ("failed", f"cannot be read: {os.strerror(errno.EACCES)}")
            assert contents(folder, bounds) == {"a.jpg": refusal}
            closed.rename(folder / "a.zip")
            with pytest.raises(GanError, match=r"a\.zip: cannot be read"):
                walk(folder, bounds)
            (folder / "a.zip").unlink()
            (folder / "sub").mkdir(mode=0)
            with pytest.raises(GanError, match="sub: cannot be listed"):
                walk(folder, bounds)
        finally:
            os.seteuid(user)


def test_endings_count_in_any_case_and_other_kinds_are_named(tmp_path, limits):
    files = {"A.JPG": b"1"}
    for ending, mode in ((".TAR", "w"), (".Tar.GZ", "w:gz"), (".tbz2", "w:bz2"), (".txz", "w:xz")):
        write_tar(tmp_path / f"x{ending}", files, mode)
    write_zip(tmp_path / "x.ZIP", files)
    assert len(contents(tmp_path, limits())) == 5
    for path in tmp_path.iterdir():
        assert contents(path, limits()) == files
    (tmp_path / "x.tar").write_bytes(b"Rar!\x1a\x07\x00" + bytes(600))
    with pytest.raises(GanError, match=r"x\.tar: RAR"):
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


def flip(data, position):
    return data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :]


def test_a_damaged_archive_is_an_error_and_among_others_a_file_itself(tmp_path, limits):
    torn = write_zip(tmp_path / "x", FILES).read_bytes()[:-1024]
    packed = write_tar(tmp_path / "x", FILES, "w:gz").read_bytes()
    plain = write_tar(tmp_path / "x", FILES).read_bytes()
    header = flip(plain, 4 * 3584 + 5)
    damages = {"torn.zip": torn, "checksum.tgz": flip(packed, -6), "torn.tar": plain[:9000]}
    damages |= {"header.tar": header, "packed.tgz": gzip.compress(header), "empty.TAR": b""}
    for name, data in damages.items():
        folder = write_folder(tmp_path / f"with {name}", {"a.jpg": b"1", name: data})
        with pytest.raises(GanError, match="damaged"):
            walk(folder / name, limits())
        write_tar(folder / "z.tar", {"z.jpg": b"3"})
        found = walk(folder, limits())
        damaged = (name, ("bad", "a damaged archive"))
        assert [found[0], *found[-2:]] == [("a.jpg", None), damaged, ("z.tar/z.jpg", None)]
        assert all(each.startswith(f"{name}/") for each, _ in found[1:-2])
