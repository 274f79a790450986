"""The file with Inception's weights: where it lies, how it gets there, what is said without it."""

import hashlib
import http.client
import sys
import tempfile
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from gan.errors import GanError
from pipeline.paths import Paths
from pipeline.progress import progress

NAME = "pt_inception-2015-12-05-6726825d.pth"
CHUNK = 1 << 20  # bytes
TIMEOUT_S = 20.0


def weights_file(paths: Paths) -> Path:
    """Where the weights belong, whether they are there or not."""
    return paths.weights / NAME


def missing_message(paths: Paths) -> str:
    """One line: FID is missing, and how to get it."""
    return (
        f"fid is missing: no Inception weights in {weights_file(paths)}; run `gan weights fetch`, "
        f"or bring the file {NAME} and run `gan weights add FILE`"
    )


def add(file: Path, paths: Paths, expected_sha256: str) -> None:
    """Copy `file` to where the weights belong.

    Raises GanError if it can't be read or its sha256 is not `expected_sha256`
    (features.inception_sha256); what was there before stays then.
    """
    if not file.is_file():
        raise GanError(f"{file}: no such file; give the path of {NAME}")
    try:
        with file.open("rb") as source:
            _store(_chunks(source), str(file), paths, expected_sha256)
    except OSError as error:
        raise GanError(f"{file}: cannot be copied to {paths.weights}: {error}") from None


def fetch(paths: Paths, expected_sha256: str, url: str | None = None) -> None:
    """Download the weights from `url` (by default pytorch-fid's own) to where they belong.

    Raises GanError without a network, or if the sha256 is not `expected_sha256`.
    """
    address = url or _official_url()
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_S) as response:
            size = int(response.headers.get("Content-Length") or 0)
            _store(_shown(_chunks(response), size), address, paths, expected_sha256)
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = " ".join(str(error).split())
        raise GanError(
            f"{address}: cannot be fetched ({reason}); download it elsewhere and run "
            "`gan weights add FILE`"
        ) from None


def _official_url() -> str:
    from pytorch_fid.inception import FID_WEIGHTS_URL  # imports torch: only when it is needed

    return str(FID_WEIGHTS_URL)


def _chunks(source: BinaryIO | http.client.HTTPResponse) -> Iterator[bytes]:
    while chunk := source.read(CHUNK):
        yield chunk


def _shown(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    done = 0
    with progress("fetch weights (bytes)", size) as advance:
        for chunk in chunks:
            yield chunk
            done += len(chunk)
            advance(done, "")


def _store(chunks: Iterable[bytes], origin: str, paths: Paths, expected_sha256: str) -> None:
    """Write the chunks beside the target, hash them on the way, rename only if they are right."""
    target = weights_file(paths)
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with tempfile.NamedTemporaryFile(
        dir=target.parent, prefix=".partial-", suffix=".pth", delete=False
    ) as partial:
        written = Path(partial.name)
        try:
            for chunk in chunks:
                digest.update(chunk)
                partial.write(chunk)
            partial.close()
            _check(digest.hexdigest(), expected_sha256, origin)
            written.chmod(0o644)
            written.replace(target)
        finally:
            written.unlink(missing_ok=True)
    _say(f"{target}: in place; `dvc repro` will now compute FID")


def _check(found: str, expected: str, origin: str) -> None:
    if found != expected:
        raise GanError(
            f"{origin}: sha256 is {found}, but features.inception_sha256 in params.yaml says "
            f"{expected}; this is not the file {NAME}, or it is damaged"
        )


def _say(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201
