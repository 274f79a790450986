"""`gan weights`: download, copy and list of Inception's weights."""

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
from pipeline.housekeeping.download import MB, TAG, Partial, download, hide_secrets
from pipeline.paths import Paths

OFFICIAL_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
PARTIAL_NAME = ".partial-"
TORCH_SCRIPT = (".pt", ".ts")
Line = tuple[str, str, str, str]

BY_HAND = f"or download {NAME} elsewhere and run `gan weights add FILE`"


def add(file: Path, paths: Paths, expected_sha256: str) -> None:
    """Copy `file` to weights/.

    GanError if it can't be read or its sha256 is not `expected_sha256`
    (features.inception_sha256); an earlier file stays then.
    """
    if not file.is_file():
        raise GanError(f"{file}: no such file; give the path of {NAME}")
    _copy(file, weights_file(paths), expected_sha256)
    _report_done(paths)


def fetch(paths: Paths, expected_sha256: str, url: str | None = None) -> None:
    """Bring the weights to weights/, from torch's download cache or from `url`.

    By default `url` is pytorch-fid's. An interrupted download is resumed, also from another
    address: the sha256 decides. GanError without a network, if the connection ends, or if the
    sha256 is not `expected_sha256`.
    """
    target = weights_file(paths)
    if target.is_file() and _sha256(target) == expected_sha256:
        say(f"{target}: present, with the expected sha256")
        return
    partial = Partial(paths.weights / f"{PARTIAL_NAME}{expected_sha256[:16]}")
    with _lock_folder(paths.weights):
        if _copy_from_hub(target, expected_sha256):
            partial.remove()
        else:
            _download(url or _official_url(), partial, expected_sha256)
            partial.place(target)
            sync_folder(target.parent)
    _report_done(paths)


def hub_file() -> Path:
    """Path at which pytorch-fid's command keeps the file: as torch.hub.get_dir, without torch."""
    cache = os.getenv("XDG_CACHE_HOME", "~/.cache")
    home = os.getenv("TORCH_HOME", os.path.join(cache, "torch"))
    return Path(os.path.expanduser(home)) / "hub" / "checkpoints" / NAME


def _copy_from_hub(target: Path, expected_sha256: str) -> bool:
    file = hub_file()
    if not file.is_file():
        return False
    if _sha256(file) != expected_sha256:
        say(f"{file}: not used, its sha256 is another one")
        return False
    say(f"{file}: copying, its sha256 is the expected one")
    _copy(file, target, expected_sha256)
    return True


def _download(url: str, partial: Partial, expected_sha256: str) -> None:
    say(f"{hide_secrets(url)}: downloading")
    try:
        resumed = download(url, partial)
        if resumed and _sha256(partial.path) != expected_sha256:
            say("the parts are of different files; downloading again from the beginning")
            partial.remove()
            download(url, partial)
        if (found := _sha256(partial.path)) != expected_sha256:
            partial.remove()
        _check(found, expected_sha256, hide_secrets(url))
    except GanError as error:
        raise GanError(f"{error}; {BY_HAND}") from None


@contextmanager
def _lock_folder(folder: Path) -> Iterator[None]:
    """Keep other `gan weights fetch` out of `folder`; GanError if one works there."""
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
        raise GanError(f"{folder}: another `gan weights fetch` works there; wait for it") from None


def _official_url() -> str:
    from pytorch_fid.inception import FID_WEIGHTS_URL  # imports torch: only when it is needed

    return str(FID_WEIGHTS_URL)


def _copy(file: Path, target: Path, expected_sha256: str) -> None:
    digest = hashlib.sha256()
    with _open(file) as source, open_atomically(target) as copy:
        while chunk := source.read(MB):
            digest.update(chunk)
            copy.write(chunk)
        _check(digest.hexdigest(), expected_sha256, str(file))


def _sha256(file: Path) -> str:
    with _open(file) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _open(file: Path) -> BufferedReader:
    try:
        return file.open("rb")
    except OSError as error:
        raise GanError(f"{file}: cannot be read: {error.strerror}") from None


def _check(found: str, expected: str, origin: str) -> None:
    if found != expected:
        raise GanError(
            f"{origin}: sha256 is {found}, but features.inception_sha256 in params.yaml says "
            f"{expected}; this is another file than {NAME}, or it is damaged"
        )


def show(paths: Paths, features: FeaturesParams) -> None:
    """Print a table of weights/: files, megabytes, sha256, and whether they can be used."""
    lines = [("file", "MB", "sha256", ""), _inception(paths, features.inception_sha256)]
    lines += _partial_downloads(paths) + _torch_script(paths, features.extractors)
    wide = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for file, size, sha256, state in lines:
        line = f"{file:{wide[0]}}  {size:>{wide[1]}}  {sha256:{wide[2]}}  {state}"
        sys.stdout.write(f"{line.rstrip()}\n")


def _inception(paths: Paths, expected: str) -> Line:
    file = weights_file(paths)
    if not file.is_file():
        return NAME, "-", "-", "absent: `gan weights fetch`, or `gan weights add FILE`"
    found = _sha256(file)
    if found != expected:
        state = f"wrong: features.inception_sha256 says {expected[:8]}; `gan weights fetch`"
    elif found == OFFICIAL_SHA256:
        state = "ok, pytorch-fid's: metrics are named fid"
    else:
        state = f"as features.inception_sha256 says: metrics are named fd_inception_{found[:8]}"
    return _line(NAME, file, found, state)


def _partial_downloads(paths: Paths) -> list[Line]:
    found = [each for each in _files(paths) if each.name.startswith(PARTIAL_NAME)]
    state = "partial: `gan weights fetch` resumes"
    return [_line(each.name, each, "-", state) for each in found if each.suffix != TAG]


def _torch_script(paths: Paths, extractors: list[str]) -> list[Line]:
    """The user's networks: those that exist, then those that only params.yaml names."""
    lines, wanted = [], [name for name in extractors if name.endswith(TORCH_SCRIPT)]
    for file in _files(paths):
        name = file.relative_to(paths.weights).as_posix()
        if file.suffix in TORCH_SCRIPT:
            kind = "TorchScript" if _is_torch_script(file) else "not TorchScript"
            use = "features.extractors names it" if name in wanted else "unused"
            lines.append(_line(name, file, _sha256(file), f"{kind}; {use}"))
    present = [name for name, *_ in lines]
    absent = "absent: features.extractors names it; add it, or remove it from params.yaml"
    return lines + [(name, "-", "-", absent) for name in wanted if name not in present]


def _files(paths: Paths) -> list[Path]:
    return sorted(path for path in paths.weights.rglob("*") if path.is_file())


def _is_torch_script(file: Path) -> bool:
    """Whether a file is an archive with code, as torch.jit.save writes; nothing is loaded."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return False
    return any(name.split("/")[1:2] == ["code"] for name in names)


def _line(name: str, file: Path, sha256: str, state: str) -> Line:
    return name, f"{file.stat().st_size / MB:.1f}", sha256[:8], state


def _report_done(paths: Paths) -> None:
    say(f"{weights_file(paths)}: present; `dvc repro` will compute FID")
