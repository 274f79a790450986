"""`gan doctor`: checks of the checkout, its tools and its store, with remedies."""

import sys
from collections.abc import Callable, Iterable, Iterator

from gan.errors import GanError
from pipeline.housekeeping import doctor_checks as checks
from pipeline.housekeeping import doctor_leftovers as leftovers
from pipeline.housekeeping.doctor_point import Point, wrong
from pipeline.housekeeping.doctor_tracker import check_tracker
from pipeline.paths import Paths

Check = Callable[[Paths], Point | Iterable[Point]]


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
    """Run all checks; one that raises is a line, and hides no other."""
    named: dict[str, Check] = {
        "Python": checks.check_python,
        "torch": checks.check_torch,
        "repository": checks.check_repository,
        "disk": checks.check_disk,
        "params.yaml": checks.check_params,
        "data/": checks.check_data,
        "weights/": checks.check_weights,
        "tracking store": lambda paths: check_tracker(paths, repair=repair),
        "unsent records": leftovers.unsent,
        "unfinished trainings": leftovers.trainings,
    }
    for name, check in named.items():
        try:
            found = check(paths)
            yield from [found] if isinstance(found, Point) else found
        except GanError as error:
            yield wrong(str(error))
        except Exception as error:
            yield wrong(f"{name}: can't be checked ({type(error).__name__}: {error})")
