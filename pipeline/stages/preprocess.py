"""The preprocess stage: a dataset to a tensor cache, filtered, without duplicates, and split."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np

from gan.params.file import Params
from gan.tensor_cache import TensorCache
from pipeline.console import say
from pipeline.dataset.reader import Dataset
from pipeline.faces.detector import choose_detector
from pipeline.paths import Paths
from pipeline.pictures.contact_sheet import encode_png
from pipeline.preprocessing.cache_contents import CacheContents
from pipeline.preprocessing.cache_writer import (
    describe_space,
    refuse_file,
    replace_folder,
    space_needed,
    staging_folder,
    write_index,
    write_labels,
    write_meta,
)
from pipeline.preprocessing.decoding.avatars import Recipe
from pipeline.preprocessing.faces.box_file import read_boxes
from pipeline.preprocessing.labels import label_avatars
from pipeline.preprocessing.outcome import Outcome, refuse_empty
from pipeline.preprocessing.plan import make_plan
from pipeline.preprocessing.report import PreprocessSummary, summarise, write_reports
from pipeline.preprocessing.selection import order_by_preference, select
from pipeline.preprocessing.sheets import draw_sheets
from pipeline.preprocessing.workers.image_slots import StagedImages, arrange_rows
from pipeline.preprocessing.workers.pool import cut_tasks, gather, start_workers, usable_cores
from pipeline.preprocessing.workers.worker import Job


def run(params: Params, paths: Paths, workers: int | None = None) -> PreprocessSummary:
    """Build cache/ and its reports from data/; the same bytes for any number of workers.

    Raises GanError if the face detector is unusable, the dataset is not whole, no image can be
    used, or the disk is full; the old cache then stays.
    """
    settings = params.preprocess
    refuse_file(paths.reports)
    detector = choose_detector(settings.faces, paths.faces) if settings.crop == "faces" else None
    boxes = read_boxes(detector.file) if detector and detector.name == "boxes" else None
    recipe = Recipe(settings, detector)
    dataset = Dataset.open(paths.data)
    job = Job(dataset.shard_paths, recipe, staging_folder(paths.cache) / "images.npy")
    with start_workers(job, workers or usable_cores(), dataset.counts.get("ok", 0)) as run_tasks:
        dataset.verify()
        plan = make_plan(dataset, settings.holdout, boxes, settings.attributes)
        needed = space_needed(len(plan), settings.size, recipe.most_avatars)
        say(describe_space(paths.cache, needed, len(plan), settings.size, recipe.most_avatars))
        with replace_folder(paths.cache, needed) as folder:
            with (
                closing(StagedImages(job.target, settings.size, create=True)) as images,
                ThreadPoolExecutor() as threads,  # its end waits for them, before the file closes
            ):
                decoded = gather(run_tasks(cut_tasks(plan, job.chunk)), len(plan))
                preference = order_by_preference(decoded.avatars, plan)
                selection = select(decoded.avatars, preference, settings, images)
                outcome = Outcome(dataset, plan, decoded, selection)
                rejected = outcome.list_rejected(settings.filters)
                refuse_empty(outcome, rejected)
                attributes = label_avatars(outcome, settings.attributes)
                sheets = draw_sheets(outcome, rejected, images, settings, attributes)
                pngs = {name: threads.submit(encode_png, each) for name, each in sheets.items()}
                train, holdout = outcome.split()
                rows = arrange_rows(train, holdout)
                closed = threads.submit(images.close_holes, rows)
                counts = {"train": len(train), "holdout": len(holdout)}
                held = np.searchsorted(decoded.avatars["slot"], rows)
                contents = CacheContents(decoded.avatars, held, counts, recipe, attributes)
                write_index(folder, contents.index(plan))
                write_labels(folder, contents.labels)
                closed.result()
            write_meta(folder, contents.meta(dataset, plan.licences))
            TensorCache.open(folder)
    if left_out := attributes.describe_left_out(settings.attributes):
        say(left_out)
    summary = summarise(outcome, rejected, contents)
    write_reports(paths.reports, summary, outcome, rejected, pngs)
    return summary
