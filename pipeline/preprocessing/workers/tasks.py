"""Tasks cut from a plan, and the results of all of them gathered."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.console import progress
from pipeline.preprocessing.faces.rules import Reject
from pipeline.preprocessing.plan import Plan
from pipeline.preprocessing.workers.worker import AVATAR_DTYPE, Task, TaskResult


@dataclass(frozen=True)
class Decoded:
    """Avatars (n,) of AVATAR_DTYPE, and rejects with the number of their picture.

    Avatars are in the order of their slots. A reject is a picture or a face of which no avatar
    was made.
    """

    avatars: NDArray[np.void]
    rejects: list[tuple[int, Reject]]


def cut_tasks(plan: Plan, length: int) -> Iterator[Task]:
    """Tasks of `length` neighbouring pictures of the plan, the last one shorter."""
    index, listed = plan.index, plan.listed_boxes
    for start in range(0, len(plan), length):
        image = plan.image[start : start + length]
        pictures = range(start, start + len(image))
        boxes = {picture: listed[picture] for picture in pictures if picture in listed}
        yield Task(start, index.shard[image], index.offset[image], index.size[image], boxes)


def gather(results: Iterable[TaskResult], pictures: int) -> Decoded:
    """Run the tasks under a progress bar; `results` come in the order of the plan."""
    parts = [np.empty(0, AVATAR_DTYPE)]
    rejects: list[tuple[int, Reject]] = []
    count = done = 0
    with progress("preprocess", pictures) as advance:
        for result in results:
            parts.append(result.avatars)
            rejects += result.rejects
            count += len(result.avatars)
            done += result.pictures
            advance(done, f"{count:,} candidates")  # which ones are kept is decided among all
    return Decoded(np.concatenate(parts), rejects)
