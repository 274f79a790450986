"""The least that a set of pictures can cost: made and measured on all cores, then thrown away.

The same calls an image, in the same chunks and as many processes as preprocess has; but no order,
no writing, no bookkeeping. Each process reads its part of one file that holds all pictures.
"""

import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gan.params.data import PreprocessParams
from pipeline.preprocessing.decoding.avatars import Recipe, make_avatars
from pipeline.preprocessing.filters import check_quality_at_all
from pipeline.preprocessing.measures import measure
from pipeline.preprocessing.workers.pool import usable_cores
from pipeline.preprocessing.workers.worker import CHUNK


def seconds(settings: PreprocessParams, pictures: Path, sizes: NDArray[np.int64]) -> float:
    """Seconds for the files, of these `sizes`, that follow each other in `pictures`."""
    context = get_context("spawn")
    begin = time.perf_counter()
    processes, offset = [], 0
    for part in np.array_split(sizes, usable_cores()):
        arguments = (settings, pictures, offset, part)
        processes.append(context.Process(target=_work, args=arguments))
        processes[-1].start()
        offset += int(part.sum())
    for process in processes:
        process.join()
    return time.perf_counter() - begin


def _work(
    settings: PreprocessParams, pictures: Path, offset: int, sizes: NDArray[np.int64]
) -> None:
    hashes, quality = settings.duplicates.near, check_quality_at_all(settings.filters)
    with pictures.open("rb") as stream:
        stream.seek(offset)
        for start in range(0, len(sizes), CHUNK):
            chunk = sizes[start : start + CHUNK].tolist()
            results = [make_avatars(stream.read(size), Recipe(settings)) for size in chunk]
            images = [avatar.pixels for avatars, _ in results for avatar in avatars]
            if images:
                measure(np.stack(images), hashes=hashes, quality=quality)
