"""Progress of a crawl on stderr: a live bar in a terminal, a line now and then in a log."""

import re
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from pipeline.console import say
from pipeline.crawl.sink import Sink

LOG_EVERY_S = 10.0
DRAW_EVERY_S = 0.2
RATE_OVER_S = 20.0
REASONS_SHOWN = 6
DETAIL = re.compile(r"\s*\(.*?\)")
"""The part of a reason that differs between pictures, such as (12 bytes not processed)."""

Show = Callable[[Sink], None]


@contextmanager
def show_progress(total: int | None) -> Iterator[Show]:
    """Show the progress of a crawl of about `total` images (None: unknown) on stderr."""
    live = sys.stderr.isatty()
    every = DRAW_EVERY_S if live else LOG_EVERY_S
    pace = Pace(total)
    last = time.monotonic()
    latest: Sink | None = None

    def show(sink: Sink) -> None:
        nonlocal last, latest
        if latest is None:  # before the first image: rates count from here
            pace.note(count_done(sink))
        latest = sink
        if time.monotonic() - last >= every:
            last = time.monotonic()
            pace.note(count_done(sink))
            draw(sink)

    with (_live if live else _plain)(pace, total) as draw:
        try:
            yield show
        finally:
            if latest is not None:
                pace.note(count_done(latest))
                draw(latest)


class Pace:
    """Images a second over the last seconds, and the time that the rest will take."""

    def __init__(self, total: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._total = total
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, done: int) -> None:
        """Take down that so many images are done now."""
        now = self._clock()
        self._seen.append((now, done))
        while now - self._seen[0][0] > RATE_OVER_S:
            self._seen.popleft()

    @property
    def rate(self) -> float:
        """Images a second."""
        if not self._seen:
            return 0.0
        (start, first), (now, last) = self._seen[0], self._seen[-1]
        return (last - first) / (now - start) if now > start else 0.0

    @property
    def left(self) -> str:
        """Time left, such as 1:05:30; empty where it is unknown."""
        if self._total is None or not self._seen or not self.rate:
            return ""
        images = self._total - self._seen[-1][1]
        if images <= 0:
            return ""
        seconds = round(images / self.rate)
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def count_done(sink: Sink) -> int:
    """Images with an entry: of an earlier crawl, of a resumed one, and new ones."""
    return sink.settled + sum(sink.counts.values())


def describe(sink: Sink) -> str:
    """Counts of images fetched and skipped, and of rejects by reason, most frequent first."""
    skipped = sink.settled + sink.resumed
    parts = [
        f"fetched {sink.fetched}",
        f"skipped {skipped}" if skipped else "",
        describe_rejects(sink),
    ]
    return ", ".join(part for part in parts if part)


def describe_rejects(sink: Sink) -> str:
    """Counts of rejects, such as `gone 2 (HTTP 404), failed 3 (2x timed out, 1x …)`."""
    counts = Counter({status: n for status, n in sink.counts.items() if status != "ok" and n})
    return ", ".join(
        f"{each} {n} ({_describe_reasons(sink, each)})" for each, n in counts.most_common()
    )


def _describe_reasons(sink: Sink, status: str) -> str:
    counts: Counter[str] = Counter()
    for (each, why), count in sink.reasons.items():
        if each == status:
            counts[DETAIL.sub("", why)] += count
    if len(counts) == 1:
        return next(iter(counts))
    shown = [f"{count}x {why}" for why, count in counts.most_common(REASONS_SHOWN)]
    return ", ".join(shown) + (", …" if len(counts) > REASONS_SHOWN else "")


@contextmanager
def _live(pace: Pace, total: int | None) -> Iterator[Show]:
    columns = (
        TextColumn("scrape"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
    )
    bars = Progress(*columns)
    task = bars.add_task("", total=total)
    words = Text()

    def draw(sink: Sink) -> None:
        bars.update(task, completed=count_done(sink), description=_describe_pace(pace))
        words.plain = describe(sink)

    with Live(Group(bars, words), console=Console(stderr=True), refresh_per_second=5):
        yield draw


@contextmanager
def _plain(pace: Pace, total: int | None) -> Iterator[Show]:
    def draw(sink: Sink) -> None:
        of = "" if total is None else f"/{total}"
        line = f"scrape: {count_done(sink)}{of}, {_describe_pace(pace)}; {describe(sink)}"
        say(line)

    yield draw


def _describe_pace(pace: Pace) -> str:
    return f"{pace.rate:.1f}/s" + (f", {pace.left} left" if pace.left else "")
