"""`gan doctor`: checks of the checkout, its tools and its store, with remedies."""

import sys
from collections.abc import Callable, Iterable, Iterator

from pipeline.housekeeping import doctor_inputs as inputs
from pipeline.housekeeping import doctor_leftovers as leftovers
from pipeline.housekeeping import doctor_tools as tools
from pipeline.housekeeping.doctor_point import Point, wrong
from pipeline.housekeeping.doctor_tracker import check_tracker
from pipeline.paths import Paths

Check = Callable[[], Point | Iterable[Point]]


def run(paths: Paths, *, repair: bool) -> None:
    """Print a line a check; exit with 1 if something is wrong. repair: see `check_tracker`."""
    wrong_points = 0
    for point in run_checks(paths, repair=repair):
        sys.stdout.write(f"{point.line}\n")
        sys.stdout.flush()
        wrong_points += point.level == "wrong"
    if wrong_points:
        raise SystemExit(1)


def run_checks(paths: Paths, *, repair: bool = False) -> Iterator[Point]:
    """Run all checks, those first on which others depend."""
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
        "tracking store": lambda: check_tracker(paths, repair=repair),
        "unsent records": lambda: leftovers.unsent(paths),
        "unfinished trainings": lambda: leftovers.trainings(paths),
    }
    for name, check in checks.items():
        yield from _run_check(name, check)


def _run_check(name: str, check: Check) -> Iterator[Point]:
    """Results of one check; one that raises must not hide those of the others."""
    try:
        found = check()
        yield from [found] if isinstance(found, Point) else found
    except Exception as error:
        yield wrong(f"{name}: can't be checked ({type(error).__name__}: {error})")
