"""Signals that ask a process to stop: a training ends after its step, with a checkpoint."""

import atexit
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)

TERMINATED = 128 + signal.SIGTERM
"""Exit code of a process that SIGTERM ended, or a signal to another process of its training."""

ONE_REQUEST = 0.5
"""Seconds in which more signals repeat the first: `timeout` signals a process and its group."""

NOTICE = (
    "gan: stopping after this step; a checkpoint is written, the same command resumes "
    "(a second signal ends at once)"
)


class Stopped(Exception):  # noqa: N818 - a wish, not an error
    """The training ended early, as it was asked to, and its checkpoint is written."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"stopped, exit code {exit_code}")
        self.exit_code = exit_code


class Stop:
    """Whether a signal has asked to stop; a loop looks at it between two steps."""

    def __init__(self) -> None:
        self._signal = 0
        self._asked_at = 0.0

    @property
    def asked(self) -> bool:
        """Whether a signal has come."""
        return bool(self._signal)

    @property
    def exit_code(self) -> int:
        """Exit code of a program that the signal ended, 143 or 130; 0 if none has come."""
        return 128 + self._signal if self._signal else 0

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        if not self._signal:
            self._signal, self._asked_at = number, time.monotonic()
            # not through sys.stderr: the signal may have come while that was being written to
            with suppress(OSError):
                start = "\n" if os.isatty(2) else ""  # a terminal shows ^C or a progress bar
                os.write(2, f"{start}{NOTICE}\n".encode())
        elif time.monotonic() - self._asked_at >= ONE_REQUEST:
            raise SystemExit(128 + number)


@contextmanager
def stopping() -> Iterator[Stop]:
    """Hear SIGTERM and SIGINT in here; the handlers from before are put back afterwards.

    The first signal sets `asked`, and one line on stderr says so. A second one, of either kind,
    ends at once: SystemExit(143 or 130) at whatever line is running. Where the block ends by
    Stopped or SystemExit, the process is on its way out, and keeps its exit code whatever signal
    follows. A signal that is ignored, as SIGINT is under nohup, stays so. Outside of the main
    thread nothing is heard.
    """
    stop = Stop()
    with _listen(stop._hear):
        yield stop


@contextmanager
def interrupting() -> Iterator[None]:
    """Have SIGTERM and SIGINT raise SystemExit(143 or 130) in here; else the same as `stopping`.

    What repeats the first signal within ONE_REQUEST does not interrupt the answer to it.
    """
    heard_at = -math.inf

    def hear(number: int, _frame: FrameType | None) -> None:
        nonlocal heard_at
        if time.monotonic() - heard_at >= ONE_REQUEST:
            heard_at = time.monotonic()
            raise SystemExit(128 + number)

    with _listen(hear):
        yield


@contextmanager
def _listen(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in _audible()}
    try:
        _handle(dict.fromkeys(before, handler))
        yield
    except (Stopped, SystemExit) as ending:
        keep_exit_code(ending.exit_code if isinstance(ending, Stopped) else ending.code)
        raise
    except BaseException:
        _handle(before)
        raise
    _handle(before)


def keep_exit_code(code: str | int | None) -> None:
    """Have no later signal change the exit code of a process that is about to end.

    By default a SIGTERM that comes before the process is gone makes the exit code -15. Signals
    within ONE_REQUEST from now are ignored; one that comes later ends at once, with this code.
    """
    decided_at = time.monotonic()

    def hear(_number: int, _frame: FrameType | None) -> None:
        if time.monotonic() - decided_at >= ONE_REQUEST:
            raise SystemExit(code)

    audible = _audible()
    _handle(dict.fromkeys(audible, hear))
    # the interpreter's last act is to put the defaults back, but not where a signal is ignored
    atexit.register(_handle, dict.fromkeys(audible, signal.SIG_IGN))


def _handle(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _audible() -> list[signal.Signals]:
    """Signals to hear: not those that are ignored, or that something other than Python handles."""
    if threading.current_thread() is not threading.main_thread():
        return []
    return [n for n in SIGNALS if signal.getsignal(n) not in (signal.SIG_IGN, None)]
