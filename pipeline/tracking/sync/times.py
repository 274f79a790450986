"""When a training ran whose files lie here: they hold no times.

Those of logs/runs/ are taken, where the training ran here; else those of its row; else both ends
are the date of the commit that holds reports/losses.tsv as it is; else now. Points lie evenly
between the two.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from pipeline.paths import Paths
from pipeline.tracking import run_times as runlog
from pipeline.tracking.mlflow.row_contents import Contents
from pipeline.tracking.provenance.git import Git


@dataclass(frozen=True)
class Span:
    """From the first image to the last; milliseconds since 1970."""

    started: int
    ended: int
    images: int

    def at(self, step: int | None) -> int:
        """The time of a step, of the end for None."""
        share = 1.0 if step is None else min(1.0, step / max(1, self.images))
        return self.started + round((self.ended - self.started) * share)


def span_of(run_key: str, images: int, paths: Paths, there: Contents | None) -> Span:
    """When the training ran, as far as anything knows it."""
    if noted := runlog.read(paths, run_key):
        first = _time_of(noted["started"])
        return Span(first, _time_of(noted["finished"]) if "finished" in noted else first, images)
    if there is not None:
        return Span(there.started, there.ended or there.started, images)
    when = _committed(paths.reports / "losses.tsv") or int(time.time() * 1000)
    return Span(when, when, images)


def _time_of(text: str) -> int:
    return int(time.mktime(time.strptime(text, runlog.FORMAT)) * 1000)


def _committed(file: Path) -> int | None:
    """Date of the last commit of a file that is as it was committed."""
    if not file.is_file():
        return None
    git = Git(file.parent)
    changed = git.text("status", "--porcelain", "--", file.name)
    date = git.text("log", "-1", "--format=%ct", "--", file.name)
    return int(date) * 1000 if date and changed == "" else None
