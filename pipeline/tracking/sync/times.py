"""Start and end of a training whose outs, which hold no times, are in this checkout.

From logs/runs/ if the training ran here; else from its MLflow run; else both are the date of the
commit that has the present reports/losses.tsv; else now. Points are spread evenly between them.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from pipeline.paths import Paths
from pipeline.tracking import run_times
from pipeline.tracking.mlflow.logged_run import LoggedRun
from pipeline.tracking.provenance.git import Git


@dataclass(frozen=True)
class Span:
    """Time from the first image to the last; milliseconds since 1970."""

    started: int
    ended: int
    images: int

    def at(self, step: int | None) -> int:
        """Time of a step; of the end for None."""
        share = 1.0 if step is None else min(1.0, step / max(1, self.images))
        return self.started + round((self.ended - self.started) * share)


def find_span(run_key: str, images: int, paths: Paths, logged: LoggedRun | None) -> Span:
    """Find out when the training ran; see the module."""
    if times := run_times.read(paths, run_key):
        first = _parse_time(times["started"])
        return Span(
            first, _parse_time(times["finished"]) if "finished" in times else first, images
        )
    if logged is not None:
        return Span(logged.started, logged.ended or logged.started, images)
    when = _commit_time(paths.reports / "losses.tsv") or int(time.time() * 1000)
    return Span(when, when, images)


def _parse_time(text: str) -> int:
    return int(time.mktime(time.strptime(text, run_times.FORMAT)) * 1000)


def _commit_time(file: Path) -> int | None:
    """Date of the last commit of a file; None if the file differs from it."""
    if not file.is_file():
        return None
    git = Git(file.parent)
    changed = git.text("status", "--porcelain", "--", file.name)
    date = git.text("log", "-1", "--format=%ct", "--", file.name)
    return int(date) * 1000 if date and changed == "" else None
