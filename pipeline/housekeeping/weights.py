"""`gan weights`: download, copy and list of Inception's weights."""

import os
import shutil
import zipfile
from pathlib import Path

import requests
from filelock import FileLock, Timeout

from gan.atomic import open_atomically
from gan.errors import GanError
from gan.params.evaluation import FeaturesParams
from pipeline.console import one_line, progress, say, tell, without_secrets
from pipeline.features.inception_file import NAME, weights_file
from pipeline.paths import Paths, sha256_of

OFFICIAL_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
PARTIAL_NAME = ".partial-"
TORCH_SCRIPT = (".pt", ".ts")

MB = 1_000_000
CHUNK = 1 << 16  # bytes; lost at most when a connection ends
TIMEOUTS_S = (10.0, 30.0)  # to connect; between two reads
RESUMED, COMPLETE = 206, 416  # status of an answer: the missing bytes; there are none

FETCH = "`gan weights fetch` brings the right one"
BY_HAND = f"or download {NAME} elsewhere and run `gan weights add FILE`"


def add(file: Path, paths: Paths, expected_sha256: str) -> None:
    """Copy `file` to weights/.

    GanError if its sha256 is not `expected_sha256` (features.inception_sha256); an earlier file
    stays then.
    """
    if not file.is_file():
        raise GanError(f"{file}: no such file; give the path of {NAME}")
    check_sha256(file, str(file), expected_sha256)
    _copy(file, paths)


def fetch(paths: Paths, expected_sha256: str, url: str | None = None) -> None:
    """Bring the weights to weights/, from torch's download cache or from `url`.

    By default `url` is pytorch-fid's. An interrupted download is resumed, also from another
    address: the sha256 decides. GanError without a network, if the connection ends, or if the
    sha256 is not `expected_sha256`.
    """
    target, hub = weights_file(paths), hub_file()
    if target.is_file() and sha256_of(target) == expected_sha256:
        say(f"{target}: present, with the expected sha256")
        return
    paths.weights.mkdir(parents=True, exist_ok=True)
    partial = paths.weights / f"{PARTIAL_NAME}{expected_sha256[:16]}"
    try:
        # not in weights/, whose content is a dependency of stages
        with FileLock(paths.logs / "weights.lock", timeout=0, thread_local=False):
            if hub.is_file() and sha256_of(hub) == expected_sha256:
                say(f"{hub}: copying, its sha256 is the expected one")
                _copy(hub, paths)
                partial.unlink(missing_ok=True)
            else:
                _download(url or _official_url(), partial, expected_sha256)
                partial.replace(target)
                _report_done(paths)
    except Timeout:
        raise GanError(
            f"{paths.weights}: another `gan weights fetch` works there; wait for it"
        ) from None


def hub_file() -> Path:
    """Path at which pytorch-fid's command keeps the file: as torch.hub.get_dir, without torch."""
    cache = os.getenv("XDG_CACHE_HOME", "~/.cache")
    home = os.getenv("TORCH_HOME", os.path.join(cache, "torch"))
    return Path(os.path.expanduser(home)) / "hub" / "checkpoints" / NAME


def _official_url() -> str:
    from pytorch_fid.inception import FID_WEIGHTS_URL  # imports torch: only when it is needed

    return str(FID_WEIGHTS_URL)


def _download(url: str, partial: Path, expected_sha256: str) -> None:
    """Complete the partial file; it is removed if its sha256 is not the expected one."""
    place = without_secrets(url.partition("?")[0])
    say(f"{place}: downloading")
    resumed = partial.is_file()
    _receive_all(url, place, partial)
    if resumed and sha256_of(partial) != expected_sha256:
        say("the parts are of different files; downloading again from the beginning")
        partial.unlink()
        _receive_all(url, place, partial)
    try:
        check_sha256(partial, place, expected_sha256, BY_HAND)
    except GanError:
        partial.unlink()
        raise


def _receive_all(url: str, place: str, partial: Path) -> None:
    """Receive the missing bytes, with new requests as long as each brings some."""
    while True:
        before = _size(partial)
        try:
            return _receive(url, partial)
        except requests.RequestException as error:
            problem = f"{place}: cannot be fetched ({_reason(error)})"
        if _size(partial) <= before:
            raise GanError(
                f"{problem}; look at the network, the proxy (HTTPS_PROXY) and the address (--url) "
                f"and run the same command again, it resumes; {BY_HAND}"
            )
        say(f"{problem}; resuming after {_size(partial):,} bytes")


def _receive(url: str, partial: Path) -> None:
    """Append what one answer brings; it may begin anew, by a server that knows no ranges."""
    headers = {"Accept-Encoding": "identity", "Range": f"bytes={_size(partial)}-"}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUTS_S) as response:
        if response.status_code == COMPLETE:
            return
        response.raise_for_status()
        resumed = response.status_code == RESUMED
        done = _size(partial) if resumed else 0
        total = done + int(response.headers.get("Content-Length", 0))
        bar = progress("fetch weights, MB", -(-total // MB) if total > done else None)
        with partial.open("ab" if resumed else "wb") as file, bar as advance:
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                done += len(chunk)
                advance(-(-done // MB) if done == total else done // MB, "")


def _size(partial: Path) -> int:
    return partial.stat().st_size if partial.is_file() else 0


def _reason(error: BaseException) -> str:
    """The first cause in a few words, without addresses, which may hold a password."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, ValueError):
        return "not a valid address"
    while inner := error.__cause__ or error.__context__:
        error = inner
    return one_line(getattr(error, "strerror", None) or str(error))


def _copy(file: Path, paths: Paths) -> None:
    with file.open("rb") as source, open_atomically(weights_file(paths)) as copy:
        shutil.copyfileobj(source, copy)
    _report_done(paths)


def check_sha256(file: Path, origin: str, expected_sha256: str, remedy: str = FETCH) -> None:
    """Raise GanError naming `origin` and a remedy if a file of weights is not the expected one."""
    if (found := sha256_of(file)) != expected_sha256:
        raise GanError(
            f"{origin}: sha256 is {found}, but features.inception_sha256 in params.yaml says "
            f"{expected_sha256}; this is another file than {NAME}, or damaged; {remedy}"
        )


def _report_done(paths: Paths) -> None:
    say(f"{weights_file(paths)}: present; `dvc repro` will compute FID")


def show(paths: Paths, features: FeaturesParams) -> None:
    """Print a table of weights/: files, megabytes, sha256, and whether they can be used."""
    wanted = [name for name in features.extractors if name.endswith(TORCH_SCRIPT)]
    files = sorted(path for path in paths.weights.rglob("*") if path.is_file())
    present = {path.relative_to(paths.weights).as_posix(): path for path in files}
    known = [name for name in present if name.startswith(PARTIAL_NAME)]
    known += [name for name in present if name.endswith(TORCH_SCRIPT)]
    lines = [("file", "MB", "sha256", "")]
    for name in dict.fromkeys([NAME, *known, *wanted]):
        file = present.get(name)
        if file is None:
            state = "features.extractors names it; add it, or remove it from params.yaml"
            if name == NAME:
                state = "`gan weights fetch`, or `gan weights add FILE`"
            lines.append((name, "-", "-", f"absent: {state}"))
        else:
            sha256 = sha256_of(file)
            use = "features.extractors names it" if name in wanted else "unused"
            state = _judge(name, file, sha256, features.inception_sha256, use)
            lines.append((name, f"{file.stat().st_size / MB:.1f}", sha256[:8], state))
    wide = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for file_name, size, digits, state in lines:
        tell(f"{file_name:{wide[0]}}  {size:>{wide[1]}}  {digits:{wide[2]}}  {state}".rstrip())


def _judge(name: str, file: Path, sha256: str, expected: str, use: str) -> str:
    if name.startswith(PARTIAL_NAME):
        return "partial: `gan weights fetch` resumes"
    if name != NAME:
        return f"{'TorchScript' if _is_torch_script(file) else 'not TorchScript'}; {use}"
    if sha256 != expected:
        return f"wrong: features.inception_sha256 says {expected[:8]}; `gan weights fetch`"
    if sha256 == OFFICIAL_SHA256:
        return "ok, pytorch-fid's: metrics are named fid"
    return f"as features.inception_sha256 says: metrics are named fd_inception_{sha256[:8]}"


def _is_torch_script(file: Path) -> bool:
    """Whether a file is an archive with code, as torch.jit.save writes; nothing is loaded."""
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(name.split("/")[1:2] == ["code"] for name in archive.namelist())
