"""Signals that ask a training to stop: it ends after its step, with a checkpoint to go on from."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)

ONE_REQUEST = 0.5
"""Seconds in which more signals repeat the first: `timeout` signals a process and its group."""

NOTICE = (
    "gan: stopping after this step; a checkpoint is written, so that the same command goes on "
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
        """What shells say of a program that the signal ended, 143 or 130; 0 if none has come."""
        return 128 + self._signal if self._signal else 0

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        if not self._signal:
            self._signal, self._asked_at = number, time.monotonic()
            _tell(NOTICE)
        elif time.monotonic() - self._asked_at >= ONE_REQUEST:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


@contextmanager
def stopping() -> Iterator[Stop]:
    """Hear SIGTERM and SIGINT in here; the handlers from before are put back afterwards.

    The first signal sets `asked` and is told on stderr. A second one, of either kind, ends at
    once: KeyboardInterrupt or SystemExit(143) at whatever line is running. A signal that is
    ignored, as SIGINT is under nohup, stays so. Outside of the main thread nothing is heard.
    """
    stop = Stop()
    before = {number: signal.getsignal(number) for number in _audible()}
    try:
        for number in before:
            signal.signal(number, stop._hear)
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _audible() -> list[signal.Signals]:
    """Signals to hear: not those that are ignored, or that something other than Python handles."""
    if threading.current_thread() is not threading.main_thread():
        return []
    return [n for n in SIGNALS if signal.getsignal(n) not in (signal.SIG_IGN, None)]


def _tell(line: str) -> None:
    # not through sys.stderr: the signal may have come while that was being written to
    with suppress(OSError):
        start = "\n" if os.isatty(2) else ""  # the terminal shows ^C, or there is a progress bar
        os.write(2, f"{start}{line}\n".encode())
