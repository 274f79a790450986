"""Unpacking of a tar that Git packed, by the same rules under every Python.

The standard library's own rules, `extractall(filter=)`, came with Python 3.11.4.
"""

import shutil
import tarfile
from io import BytesIO
from pathlib import Path, PurePosixPath

from gan.errors import GanError


def unpack_tar(packed: bytes, folder: Path) -> None:
    """Write files, folders and symbolic links of a tar into an empty folder, nothing outside.

    A link that leads out of the folder, as a commit may hold one, is left out. GanError at a name
    that leads out, at a hard link or device, and where the tar is damaged.
    """
    root = folder.resolve()
    try:
        with tarfile.open(fileobj=BytesIO(packed)) as archive:
            links = [each for each in archive if not _unpack(archive, each, root)]
    except tarfile.TarError as error:
        raise GanError(f"the commit's files can't be unpacked: {error}") from None
    # last, and never below another one: so nothing is written through a link
    for link in links:
        place = root / link.name
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.parent.resolve() == place.parent and _stays_inside(link):
            place.symlink_to(link.linkname)


def _unpack(archive: tarfile.TarFile, member: tarfile.TarInfo, root: Path) -> bool:
    """Write a file or a folder; False for a symbolic link, which is not written."""
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise GanError(f"the commit's files can't be unpacked: {member.name!r} leads out of them")
    place = root / name
    if member.isdir():
        place.mkdir(parents=True, exist_ok=True)
    elif member.isreg() and (content := archive.extractfile(member)) is not None:
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("wb") as file:
            shutil.copyfileobj(content, file)
    elif not member.issym():
        raise GanError(f"the commit's files can't be unpacked: {member.name!r} is no plain file")
    return not member.issym()


def _stays_inside(link: tarfile.TarInfo) -> bool:
    """Whether a link's target is relative and climbs no higher than the folder."""
    depth = len(PurePosixPath(link.name).parts) - 1
    for part in PurePosixPath(link.linkname).parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return False
    return not link.linkname.startswith("/")
