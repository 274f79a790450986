"""`gan weights`: bring the file with Inception's weights to its place, and say what is there."""

import fcntl
import hashlib
import os
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from gan.atomic import open_atomically, sync_folder
from gan.errors import GanError
from gan.params.evaluation import FeaturesParams
from pipeline.console import say
from pipeline.features.inception_file import NAME, weights_file
from pipeline.housekeeping.download import MB, TAG, Partial, download, shown
from pipeline.paths import Paths

OFFICIAL_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
UNFINISHED = ".partial-"
TORCH_SCRIPT = (".pt", ".ts")
Row = tuple[str, str, str, str]

BY_HAND = f"or download {NAME} elsewhere and run `gan weights add FILE`"


def add(file: Path, paths: Paths, expected_sha256: str) -> None:
    """Copy `file` to where the weights belong.

    Raises GanError if it can't be read or its sha256 is not `expected_sha256`
    (features.inception_sha256); what was there before stays then.
    """
    if not file.is_file():
        raise GanError(f"{file}: no such file; give the path of {NAME}")
    _copy(file, weights_file(paths), expected_sha256)
    _say_in_place(paths)


def fetch(paths: Paths, expected_sha256: str, url: str | None = None) -> None:
    """Bring the weights to where they belong, from torch's cache of downloads or from `url`.

    By default `url` is pytorch-fid's own. An interrupted download goes on where it ended, also
    from another address: the sha256 decides. Raises GanError without a network, if the connection
    ends, or if the sha256 is not `expected_sha256`.
    """
    target = weights_file(paths)
    if target.is_file() and _sha256(target) == expected_sha256:
        say(f"{target}: it is there already, and it is the right file")
        return
    partial = Partial(paths.weights / f"{UNFINISHED}{expected_sha256[:16]}")
    with _alone(paths.weights):
        if _copied_from_hub(target, expected_sha256):
            partial.remove()
        else:
            _download(url or _official_url(), partial, expected_sha256)
            partial.place(target)
            sync_folder(target.parent)
    _say_in_place(paths)


def hub_file() -> Path:
    """Where pytorch-fid's own command keeps the file: as torch.hub.get_dir, without torch."""
    cache = os.getenv("XDG_CACHE_HOME", "~/.cache")
    home = os.getenv("TORCH_HOME", os.path.join(cache, "torch"))
    return Path(os.path.expanduser(home)) / "hub" / "checkpoints" / NAME


def _copied_from_hub(target: Path, expected_sha256: str) -> bool:
    file = hub_file()
    if not file.is_file():
        return False
    if _sha256(file) != expected_sha256:
        say(f"{file}: left alone, its sha256 is another one")
        return False
    say(f"{file}: this is the right file, so it is copied")
    _copy(file, target, expected_sha256)
    return True


def _download(url: str, partial: Partial, expected_sha256: str) -> None:
    say(f"{shown(url)}: fetching it")
    try:
        joined = download(url, partial)
        if joined and _sha256(partial.path) != expected_sha256:
            say("the parts do not belong together; once more from the beginning")
            partial.remove()
            download(url, partial)
        if (found := _sha256(partial.path)) != expected_sha256:
            partial.remove()
        _check(found, expected_sha256, shown(url))
    except GanError as error:
        raise GanError(f"{error}; {BY_HAND}") from None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let no other `gan weights fetch` write to `folder` meanwhile; GanError if one does."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise GanError(f"{folder}: cannot be used: {error.strerror}; move it away") from None
    try:
        _lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise GanError(f"{folder}: another `gan weights fetch` is at work; wait for it") from None


def _official_url() -> str:
    from pytorch_fid.inception import FID_WEIGHTS_URL  # imports torch: only when it is needed

    return str(FID_WEIGHTS_URL)


def _copy(file: Path, target: Path, expected_sha256: str) -> None:
    digest = hashlib.sha256()
    with _opened(file) as source, open_atomically(target) as copy:
        while chunk := source.read(MB):
            digest.update(chunk)
            copy.write(chunk)
        _check(digest.hexdigest(), expected_sha256, str(file))


def _sha256(file: Path) -> str:
    with _opened(file) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _opened(file: Path) -> BufferedReader:
    try:
        return file.open("rb")
    except OSError as error:
        raise GanError(f"{file}: cannot be read: {error.strerror}") from None


def _check(found: str, expected: str, origin: str) -> None:
    if found != expected:
        raise GanError(
            f"{origin}: sha256 is {found}, but features.inception_sha256 in params.yaml says "
            f"{expected}; this is not the file {NAME}, or it is damaged"
        )


def show(paths: Paths, features: FeaturesParams) -> None:
    """Print a table of weights/: files, megabytes, sha256, and whether they will do."""
    rows = [("file", "MB", "sha256", ""), _inception(paths, features.inception_sha256)]
    rows += _unfinished(paths) + _torch_script(paths, features.extractors)
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for file, size, sha256, words in rows:
        line = f"{file:{wide[0]}}  {size:>{wide[1]}}  {sha256:{wide[2]}}  {words}"
        sys.stdout.write(f"{line.rstrip()}\n")


def _inception(paths: Paths, expected: str) -> Row:
    file = weights_file(paths)
    if not file.is_file():
        return NAME, "-", "-", "absent: `gan weights fetch`, or `gan weights add FILE`"
    found = _sha256(file)
    if found != expected:
        words = f"wrong: features.inception_sha256 says {expected[:8]}; `gan weights fetch`"
    elif found == OFFICIAL_SHA256:
        words = "right, pytorch-fid's own: metrics are called fid"
    else:
        words = f"as features.inception_sha256 says: metrics are called fd_inception_{found[:8]}"
    return _row(NAME, file, found, words)


def _unfinished(paths: Paths) -> list[Row]:
    found = [each for each in _files(paths) if each.name.startswith(UNFINISHED)]
    words = "unfinished: `gan weights fetch` goes on"
    return [_row(each.name, each, "-", words) for each in found if each.suffix != TAG]


def _torch_script(paths: Paths, extractors: list[str]) -> list[Row]:
    """The user's own networks: those that are there, then those that only params.yaml names."""
    rows, asked = [], [name for name in extractors if name.endswith(TORCH_SCRIPT)]
    for file in _files(paths):
        name = file.relative_to(paths.weights).as_posix()
        if file.suffix in TORCH_SCRIPT:
            kind = "TorchScript" if _is_torch_script(file) else "not TorchScript"
            use = "features.extractors names it" if name in asked else "unused"
            rows.append(_row(name, file, _sha256(file), f"{kind}; {use}"))
    there = [name for name, *_ in rows]
    absent = "absent: features.extractors names it; bring it, or take it out of params.yaml"
    return rows + [(name, "-", "-", absent) for name in asked if name not in there]


def _files(paths: Paths) -> list[Path]:
    return sorted(path for path in paths.weights.rglob("*") if path.is_file())


def _is_torch_script(file: Path) -> bool:
    """Whether it is an archive with code in it, as torch.jit.save writes; nothing is loaded."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return False
    return any(name.split("/")[1:2] == ["code"] for name in names)


def _row(name: str, file: Path, sha256: str, words: str) -> Row:
    return name, f"{file.stat().st_size / MB:.1f}", sha256[:8], words


def _say_in_place(paths: Paths) -> None:
    say(f"{weights_file(paths)}: in place; `dvc repro` will now compute FID")
