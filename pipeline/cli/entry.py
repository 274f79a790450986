"""Start and failure of the commands: the checkout whose code runs, and errors in one line."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gan.errors import GanError
from pipeline.paths import Paths
from pipeline.signals import Stopped, keep_exit_code

if TYPE_CHECKING:
    from gan.params.file import Params

ParamsFile = Annotated[Path, typer.Option("--params", help="YAML file with all settings.")]
PARAMS = Path("params.yaml")

FULL = (errno.ENOSPC, errno.EDQUOT)
INTERRUPTED = (130, 143)  # what shells say of a program that Ctrl-C or SIGTERM ended


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn a user's mistake into one line on stderr; only a bug shows a traceback."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as stop:  # typer makes an exit code of Ctrl-C
        code = stop.code if isinstance(stop, SystemExit) else INTERRUPTED[0]
        if code not in INTERRUPTED:
            raise
        keep_exit_code(code)
        _end("interrupted; nothing is lost, run the same command again", code)
    except Stopped as stopped:
        _end("stopped; the same command resumes", stopped.exit_code)
    except Exception as error:
        problem = _describe(error)
        if problem is None:
            raise
        _end(problem, 1)


def _end(line: str, code: int | str | None) -> None:
    typer.echo(f"gan: {line}", err=True)
    raise SystemExit(code) from None


def _describe(error: Exception) -> str | None:
    """Line for a mistake or a machine at its limits; None for a bug."""
    # Python's error, CUDA's, and that of torch's CPU allocator, which has no type
    exhausted = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if exhausted or "can't allocate memory" in str(error):
        return "out of memory; lower train.batch_size, the model's widths or a max_pixels"
    if isinstance(error, OSError) and error.errno in FULL:
        return f"{error.strerror}; make room and run the same command again"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}; look at this path"
    return str(error) if isinstance(error, GanError) else None


def hand_over(cli: Path) -> None:
    """Hand over to the checkout that DVC runs in, if `cli` is of another one.

    `dvc exp run --temp` works in a copy of the repository, but the installed `gan` points to the
    original; the stage must run the code whose hash goes into dvc.lock.
    """
    package = Path.cwd() / "pipeline"
    # commits before the commands had a folder of their own have cli.py
    here = next(filter(Path.is_file, (package / "cli" / "main.py", package / "cli.py")), None)
    if "DVC_STAGE" in os.environ and here is not None and not here.samefile(cli):
        os.environ.pop("PYTHONSAFEPATH", None)  # it would find this file again, for ever
        command = [sys.executable, "-m", "pipeline.cli", *sys.argv[1:]]
        os.execv(sys.executable, command)


def here() -> Paths:
    """Return the places of the checkout in the current folder."""
    return Paths(Path.cwd())


def read(file: Path) -> "Params":
    """Read and validate params.yaml."""
    from gan.params.file import load_params

    return load_params(file)
