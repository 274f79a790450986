"""Evaluation on request: one checkpoint, recorded run or folder of images, whoever made it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gan.devices import choose_compute
from gan.errors import GanError
from gan.features.extraction import chunk_size
from gan.features.extractor import Extractor
from gan.features.statistics_file import Labels, save_statistics
from gan.params.file import Params
from gan.tensor_cache import TensorCache
from pipeline.console import say
from pipeline.evaluation.evaluate_subject import Evaluation, evaluate_subject, refuse_empty
from pipeline.evaluation.image_folder import FolderSource
from pipeline.evaluation.outputs import check_out, write_folder
from pipeline.evaluation.references import SPLITS, RealFeatures, check_distances, open_references
from pipeline.evaluation.subject import (
    CheckpointSubject,
    FolderSubject,
    Subject,
    Weights,
    require_same_data,
)
from pipeline.features.extractors import available_extractors, extractor
from pipeline.features.inception_file import missing_note
from pipeline.features.store import FeatureStore
from pipeline.paths import Paths
from pipeline.runs.checkpoint import checkpoint_of
from pipeline.tracking.evaluation_row import Own, log_one


@dataclass(frozen=True)
class Request:
    """Subject and manner of an evaluation: exactly one of ckpt and images.

    against: `train`, `holdout`, folders, statistics files; none: evaluate.splits. extractors:
    names, or TorchScript files anywhere; none: features.extractors. out: folder of the results.
    statistics: file for the statistics of the subject. own: the MLflow run whose own metrics these
    become; without it they are those of one checkpoint among others.
    """

    ckpt: Path | None = None
    images: Path | None = None
    against: Sequence[str] = ()
    extractors: Sequence[str] = ()
    weights: Weights = "averaged"
    other_data: bool = False
    workers: int = 1
    out: Path | None = None
    statistics: Path | None = None
    own: Own | None = None


def evaluate_run(
    run: str, request: Request, params: Params, paths: Paths, *, as_stage: bool
) -> Evaluation:
    """Evaluate the best checkpoint of a recorded run: id, name, run key or `latest`.

    as_stage: with the settings of the stage, so that the metrics become the run's own if it is
    the snapshot that the run calls its best. GanError if there is no such run or checkpoint.
    """
    with checkpoint_of(run, paths) as found:
        own = Own(found.run_id, found.last_step) if as_stage and found.best else None
        return evaluate_one(replace(request, ckpt=found.file, own=own), params, paths)


def evaluate_one(request: Request, params: Params, paths: Paths) -> Evaluation:
    """Evaluate one checkpoint or folder; write and log what was asked for.

    GanError if the checkpoint was trained on other data than the cache's, unless the request
    says so.
    """
    settings, batch_size = params.evaluate, params.features.batch_size
    subject = _open_subject(request)
    against = request.against or settings.splits
    cache = TensorCache.open(paths.cache) if set(SPLITS) & set(against) else None
    trained_on = subject.origin.cache_digest if isinstance(subject, CheckpointSubject) else None
    if trained_on and cache and not request.other_data:
        remedy = "--other-data compares all the same, and says so"
        require_same_data(request.ckpt or Path(), trained_on, cache, remedy)
    if request.out is not None:
        check_out(request.out, paths)
    extractors = _extractors(request, params, paths)
    if request.statistics is not None:
        _check_statistics(request.statistics, extractors)
        check_out(request.statistics.parent, paths)
    store = FeatureStore(paths.features, paths.reference)
    real = RealFeatures(store, cache, chunk_size(batch_size), request.workers)
    references = open_references(settings, real, extractors, against, trained_on, subject.size)
    check_distances(references, settings, subject.count(settings.num_fakes))
    if not request.extractors:
        references = references.with_notes(missing_note(params.features, paths))
    evaluation = evaluate_subject(subject, references, settings, batch_size)
    refuse_empty(evaluation)
    for note in evaluation.result["notes"]:
        say(note)
    if request.out is not None:
        write_folder(evaluation, cache, request.out)
    if request.statistics is not None:
        save_statistics(request.statistics, evaluation.statistics, _labels(extractors[0]))
    if isinstance(subject, CheckpointSubject):
        log_one(evaluation, subject, settings, paths, request.own)
    return evaluation


def _open_subject(request: Request) -> Subject:
    if request.images is not None:
        return FolderSubject(FolderSource(request.images, request.workers))
    if request.ckpt is None:
        raise ValueError("a request names a checkpoint or a folder")
    return CheckpointSubject.open(request.ckpt, request.weights)


def _extractors(request: Request, params: Params, paths: Paths) -> Sequence[Extractor]:
    device = choose_compute("auto", "float32").device
    if not request.extractors:
        return available_extractors(params.features, paths, device)
    return [extractor(name, params.features, paths, device) for name in request.extractors]


def _check_statistics(file: Path, extractors: Sequence[Extractor]) -> None:
    if len(extractors) > 1:
        names = ", ".join(each.name for each in extractors)
        raise GanError(f"--save-statistics writes those of one extractor, here are {names}; "
                       "choose with --extractor")  # fmt: skip
    if file.suffix.lower() != ".npz" or file.is_dir():
        raise GanError(f"{file}: not the name of a statistics file, NAME.npz")


def _labels(extractor: Extractor) -> Labels:
    """Return the labels by which a reader tells whether the statistics are of its own kind."""
    return {
        "extractor": extractor.name,
        "extractor_digest": extractor.digest,
        "protocol": extractor.protocol,
    }
