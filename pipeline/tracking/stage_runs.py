"""Stages run under a tracker: each opens its MLflow run first, so that a failed one leaves it.

Stages are imported inside functions only: the others' torch takes seconds, and once it is imported
an MLflow run asks it for the GPUs.
"""

from dataclasses import asdict
from typing import TYPE_CHECKING

from pipeline.paths import Paths
from pipeline.tracking.descriptions import describe, name_source
from pipeline.tracking.open_run import stage_run
from pipeline.tracking.training_run import MlflowTracker

if TYPE_CHECKING:
    from gan.params.data import AttributesParams, ScrapeParams
    from gan.params.file import Params
    from pipeline.crawl.request import ScrapeRequest
    from pipeline.evaluation.evaluate_subject import Evaluation
    from pipeline.preprocessing.report import PreprocessSummary
    from pipeline.stages.reference import ReferenceSummary
    from pipeline.stages.scrape import ScrapeSummary


def scrape(
    request: "ScrapeRequest",
    settings: "ScrapeParams | None",
    paths: Paths,
    attributes: "AttributesParams | None" = None,
) -> "ScrapeSummary":
    """Run the scrape stage; log the source, counts by status, contact sheet and data card."""
    from pipeline.crawl.registry import choose_source
    from pipeline.stages import scrape as stage

    # a mistyped option is no failed run
    source = None if settings is None else choose_source(request, settings, paths)
    with stage_run(paths, "scrape") as run:
        summary = stage.run(request, settings, paths, source, attributes)
        run.params({"source": summary.source})
        total, kept = sum(summary.counts.values()), summary.counts.get("ok", 0)
        failed = f", {total - kept:,} others could not be fetched" if total > kept else ""
        text = (
            f"Dataset of {name_source(str(summary.source['source']))}: {kept:,} pictures{failed}; "
            f"{summary.fetched:,} fetched in this call."
        )
        describe(run, text, "snapshot_digest", summary.digest)
        rows = summary.counts | {"new": summary.fetched}
        run.metrics({f"rows/{status}": n for status, n in rows.items()}, 0)
        run.image("contact_sheet", summary.sheet, 0)
        for file in (summary.card, summary.card.with_suffix(".json")):
            run.artifact(file)
    return summary


def preprocess(params: "Params", paths: Paths) -> "PreprocessSummary":
    """Run the preprocess stage; log its settings, counts, statistics and sheets."""
    from pipeline.dataset.reader import Dataset
    from pipeline.preprocessing.cache_contents import flatten_statistics
    from pipeline.stages import preprocess as stage

    # the vocabulary's tags are many; they are in meta.json
    settings = params.preprocess.model_dump(
        exclude={"attributes": {"several", "exclusive", "independent"}}
    )
    name = f"preprocess {params.preprocess.size}px"
    with stage_run(paths, "preprocess", name=name, params=settings) as run:
        summary = stage.run(params, paths)
        text = (
            f"Tensor cache of {summary.train + summary.holdout:,} avatars of "
            f"{params.preprocess.size} px from {summary.read:,} pictures: {summary.train:,} for "
            f"training, {summary.holdout:,} held out."
        )
        run.tags({"snapshot_digest": Dataset.open(paths.data).digest})
        describe(run, text, "cache_digest", summary.digest)
        counts = {key: n for key, n in asdict(summary).items() if isinstance(n, int)}
        run.metrics({f"images/{key}": n for key, n in counts.items()}, 0)
        run.metrics(dict(flatten_statistics(asdict(summary)["statistics"])), 0)
        for name in ("contact_sheet", "rejects", "filters", "duplicates", "attributes"):
            run.image(name, paths.reports / f"{name}.png", 0)
        for name in ("rejects", "duplicates"):
            run.artifact(paths.reports / f"{name}.tsv")
    return summary


def reference(params: "Params", paths: Paths) -> "ReferenceSummary":
    """Run the reference stage; log its extractors, counts and statistics files."""
    from gan.tensor_cache import TensorCache
    from pipeline.stages import reference as stage

    with stage_run(paths, "reference", params=params.features.model_dump()) as run:
        summary = stage.run(params, paths)
        extractors = ", ".join(summary.extractors)
        run.tags({"extractors": extractors})
        splits = " and ".join(f"{n:,} of {split}" for split, n in summary.counts.items())
        text = f"Features of the real images by {extractors or 'no extractor'}: {splits}."
        describe(run, text, "cache_digest", TensorCache.open(paths.cache).digest)
        run.metrics(summary.floors, 0)
        run.metrics({f"images/{split}": n for split, n in summary.counts.items()}, 0)
        for file in summary.files:
            if file.suffix == ".npz":  # the features themselves stay here
                run.artifact(file)
    return summary


def train(params: "Params", paths: Paths, *, resume: bool = False) -> None:
    """Run the train stage with MLflow as its tracker."""
    from pipeline.stages import train as stage

    tracker = MlflowTracker(paths)
    stage.run(params, paths, tracker, resume=resume)
    tracker.finish()


def evaluate(params: "Params", paths: Paths) -> "Evaluation":
    """Run the evaluate stage; log its metrics and pictures onto the training's MLflow run."""
    from pipeline.stages import evaluate as stage
    from pipeline.tracking.evaluation_run import log_best

    evaluation = stage.run(params, paths)
    log_best(evaluation, params.evaluate, paths)
    return evaluation
