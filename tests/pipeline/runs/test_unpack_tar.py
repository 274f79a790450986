"""Unpacking of a commit's files: all of them, and nothing outside of the folder."""

import os
import subprocess
import tarfile
from io import BytesIO

import pytest

from gan.errors import GanError
from pipeline.runs.lineage.git_history import GitHistory
from pipeline.runs.lineage.unpack_tar import unpack_tar


def tar(*members):
    """A tar of (name, type, content or target of a link)."""
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind == tarfile.REGTYPE:
                info.size = len(content)
                archive.addfile(info, BytesIO(content))
            else:
                info.linkname = content
                archive.addfile(info)
    return packed.getvalue()


@pytest.fixture
def folder(tmp_path):
    """An empty folder, all alone in another one."""
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    return inner


def alone(folder):
    return [each.name for each in folder.parent.iterdir()] == [folder.name]


def git(folder, *arguments):
    names = ("-c", "user.name=x", "-c", "user.email=x@y", "-c", "init.defaultBranch=main")
    return subprocess.run(
        ["git", *names, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_a_commit_comes_whole_but_for_links_out_of_it(tmp_path):
    here = tmp_path / "repository"
    deep = here / "package" / ("long" * 40) / "x.py"
    deep.parent.mkdir(parents=True)
    deep.write_bytes(b"x = 1\r\n")
    (here / "päckage.txt").write_bytes(bytes(range(256)))
    (here / "empty").touch()
    (here / "package" / "link").symlink_to("../empty")
    (here / "folder").symlink_to("package")
    (here / "out").symlink_to("../elsewhere")
    (here / "absolute").symlink_to("/etc/passwd")
    git(here, "init", "-q")
    git(here, "add", "-A")
    git(here, "commit", "-q", "-m", "all")
    with GitHistory(here).extract(git(here, "rev-parse", "HEAD"), None) as files:
        there = {path.relative_to(files).as_posix() for path in files.rglob("*")}
        assert (files / deep.relative_to(here)).read_bytes() == b"x = 1\r\n"
        assert (files / "päckage.txt").read_bytes() == bytes(range(256))
        assert os.readlink(files / "package" / "link") == "../empty"
        assert os.readlink(files / "folder") == "package"
    expected = {path.relative_to(here).as_posix() for path in here.rglob("*")}
    expected = {name for name in expected if name.split("/")[0] not in (".git", "out", "absolute")}
    assert there == expected


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "a/.."])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE])
def test_a_name_that_leads_out_is_refused(folder, name, kind):
    with pytest.raises(GanError, match="leads out"):
        unpack_tar(tar((name, kind, b"x" if kind == tarfile.REGTYPE else "y")), folder)
    assert alone(folder)


@pytest.mark.parametrize(
    "kind", [tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_hard_links_and_devices_are_refused(folder, kind):
    with pytest.raises(GanError, match="special"):
        unpack_tar(tar(("a", tarfile.REGTYPE, b"a"), ("special", kind, "a")), folder)
    assert not (folder / "special").exists()


@pytest.mark.parametrize("target", ["..", "../x", "a/../../x", "/etc", "/"])
def test_a_link_that_leads_out_is_left_out(folder, target):
    unpack_tar(tar(("link", tarfile.SYMTYPE, target)), folder)
    assert list(folder.iterdir()) == []


LINKS = (
    ("here", tarfile.SYMTYPE, "."),
    ("here/up", tarfile.SYMTYPE, ".."),  # by its name inside, by its place outside
    ("up/link", tarfile.SYMTYPE, "x"),
)


def test_no_link_is_made_through_a_link(folder):
    unpack_tar(tar(*LINKS), folder)
    assert alone(folder)
    assert not (folder / "up").is_symlink()


def test_no_file_is_written_through_a_link(folder):
    with pytest.raises(FileExistsError):  # in Git's trees a name is one thing
        unpack_tar(tar(*LINKS, ("here/file", tarfile.REGTYPE, b"x")), folder)
    assert alone(folder)


def test_a_damaged_tar_is_one_line(folder):
    with pytest.raises(GanError):
        unpack_tar(b"no tar at all", folder)
