"""`gan doctor`: whether this checkout can work, a line a point, with what to do."""

import sys
from collections.abc import Callable, Iterable, Iterator

from pipeline.housekeeping import doctor_inputs as inputs
from pipeline.housekeeping import doctor_leftovers as leftovers
from pipeline.housekeeping import doctor_tools as tools
from pipeline.housekeeping.doctor_point import Point, wrong
from pipeline.housekeeping.doctor_tracker import tracker
from pipeline.paths import Paths

Check = Callable[[], Point | Iterable[Point]]


def run(paths: Paths, *, mend: bool) -> None:
    """Print all points; exit code 1 if one is wrong. mend: put right where files of rows lie."""
    bad = 0
    for point in points(paths, mend=mend):
        sys.stdout.write(f"{point.line}\n")
        sys.stdout.flush()
        bad += point.level == "wrong"
    if bad:
        raise SystemExit(1)


def points(paths: Paths, *, mend: bool = False) -> Iterator[Point]:
    """Everything that is looked at, the foundations first."""
    checks: dict[str, Check] = {
        "Python": tools.python,
        "torch": tools.torch,
        "Git": lambda: tools.git(paths),
        "DVC": lambda: tools.dvc(paths),
        "disk": lambda: tools.disk(paths),
        "params.yaml": lambda: inputs.params(paths),
        "data/": lambda: inputs.data(paths),
        "outs": lambda: inputs.outs(paths),
        "weights/": lambda: inputs.weights(paths),
        "tracking store": lambda: tracker(paths, mend=mend),
        "unsent records": lambda: leftovers.unsent(paths),
        "unfinished trainings": lambda: leftovers.unfinished(paths),
    }
    for name, check in checks.items():
        yield from _looked(name, check)


def _looked(name: str, check: Check) -> Iterator[Point]:
    """One check that breaks must not hide what the others find."""
    try:
        found = check()
        yield from [found] if isinstance(found, Point) else found
    except Exception as error:
        yield wrong(f"{name}: can't be looked at ({type(error).__name__}: {error})")
