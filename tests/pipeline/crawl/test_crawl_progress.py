"""Progress of a crawl: counts by outcome, lines in a log, a bar in a terminal."""

import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from preprocess_inputs import picture

from pipeline.console import progress
from pipeline.crawl.image_check import ListedImage
from pipeline.crawl.sink import Sink
from pipeline.crawl.storage.earlier_crawl import EarlierCrawl
from pipeline.crawl.storage.journal import Journal
from pipeline.crawl.storage.writer import publish

ROOT = Path(__file__).resolve().parents[3]


def list_image(number):
    return ListedImage(number, f"p/{number}", f"https://example.org/{number}")


def add_picture(sink, number):
    listed, data = list_image(number), picture(number)
    sink.add(listed, sink.check(listed, data), data)


@pytest.fixture
def sink(tmp_path):
    with Journal(tmp_path, {"source": "test"}) as journal:
        yield Sink(journal)


def test_a_resumed_crawl_counts_every_image_once(tmp_path):
    with Journal(tmp_path, {"source": "test"}) as journal:
        first = Sink(journal)
        for number in range(3):
            first.reject(list_image(number), "gone", "HTTP 404")
        add_picture(first, 3)
    with Journal(tmp_path, {"source": "test"}) as journal:
        second = Sink(journal)
        for number in (4, 5):
            add_picture(second, number)
        assert second.done == 6
        assert str(second).endswith("/s; fetched 2, skipped 1, gone 3 (HTTP 404)")


def test_images_of_a_crawl_that_was_killed_after_it_was_packed_count_once(tmp_path):
    with Journal(tmp_path / "journal", {"source": "test"}) as journal:
        for number in range(3):
            add_picture(Sink(journal), number)
        dataset = publish(journal, lambda _: {}, tmp_path / "data", tmp_path / "old")
    with Journal(tmp_path / "journal", {"source": "test"}, EarlierCrawl(dataset)) as journal:
        sink = Sink(journal)
        assert all(sink.is_done(list_image(number)) for number in range(3))
        assert sink.done == 3


@pytest.mark.parametrize("total", [2, None])
def test_a_log_has_a_plain_last_line(sink, capsys, total):
    with progress("scrape", total) as advance:
        advance(sink.done, sink)
        sink.reject(list_image(1), "gone", "HTTP 404")
        advance(sink.done, sink)
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(r"scrape: 1/2 " if total else "scrape: 1 ", line)
    assert line.endswith("/s; fetched 0, gone 1 (HTTP 404)")
    assert "\x1b" not in line


def test_every_status_is_counted_with_its_reasons(sink):
    rejects = [("failed", "timed out")] * 3 + [("failed", "connection refused")] * 2
    rejects += [("gone", "HTTP 404")] * 3
    rejects += [("bad", f"damaged: truncated ({number} bytes)") for number in (8, 9)]
    for number, reject in enumerate(rejects):
        sink.reject(list_image(number), *reject)
    assert str(sink).endswith(
        "/s; fetched 0, failed 5 (3x timed out, 2x connection refused), gone 3 (HTTP 404), "
        "bad 2 (damaged: truncated)"
    )


IN_A_TERMINAL = """
import sys, time
from pathlib import Path
from pipeline.console import progress
from pipeline.crawl.image_check import ListedImage
from pipeline.crawl.sink import Sink
from pipeline.crawl.storage.journal import Journal

with Journal(Path(sys.argv[1]), {"source": "test"}) as journal, progress("scrape", 40) as advance:
    sink = Sink(journal, advance=advance)
    for number in range(30):
        sink.reject(ListedImage(number, "p", f"u{number}"), "gone", "HTTP 404")
        time.sleep(0.01)
"""


def test_a_terminal_shows_a_bar_with_rate_and_counts(tmp_path):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", IN_A_TERMINAL, str(tmp_path)],
        cwd=ROOT,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "160"},
    )
    os.close(theirs)
    seen = b""
    with suppress(OSError), os.fdopen(ours, "rb", 0) as terminal:  # until the other side closes
        while chunk := terminal.read(65536):
            seen += chunk
    assert process.wait() == 0
    assert "30/40" in seen.decode()
    assert re.search(r"\d/s; fetched 0, gone 30 \(HTTP 404\)", seen.decode())
