"""Archives for the tests of the archive source: the same files as a folder, a tar or a zip."""

import io
import tarfile
import zipfile


def write_folder(path, files):
    """Write `files` (name: bytes) below `path`, which it returns."""
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def write_tar(path, files, mode="w", **fields):
    """Write a tar of `files`, a dict or pairs; `fields` are set on every header."""
    with tarfile.open(path, mode) as tar:
        for name, data in files.items() if isinstance(files, dict) else files:
            header = tarfile.TarInfo(name)
            header.size = len(data)
            for field, value in fields.items():
                setattr(header, field, value)
            tar.addfile(header, io.BytesIO(data))
    return path


def write_zip(path, files, compression=zipfile.ZIP_DEFLATED):
    """Write a zip of `files`, a dict or pairs."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in files.items() if isinstance(files, dict) else files:
            archive.writestr(name, data)
    return path
