"""Evaluation on request: of one checkpoint, a recorded run, or a folder of images."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gan.devices import choose_compute
from gan.errors import GanError
from gan.features.extraction import chunk_size
from gan.features.extractor import Extractor
from gan.features.statistics import Labels, save_statistics
from gan.params.file import Params
from gan.tensor_cache import TensorCache
from pipeline.console import say
from pipeline.evaluation.evaluate_subject import Evaluation, evaluate_subject
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
from pipeline.features.extractors import available_extractors, open_extractor
from pipeline.features.inception_file import missing_note
from pipeline.features.store import FeatureStore
from pipeline.paths import Paths
from pipeline.runs.checkpoint import checkpoint_of
from pipeline.tracking.evaluation_run import Own, log_one


@dataclass(frozen=True)
class Request:
    """Subject and options of an evaluation; exactly one of ckpt and images is set.

    against: `train`, `holdout`, folders, statistics files; empty: evaluate.splits. extractors:
    names or TorchScript files; empty: features.extractors. other_data: the cache need not be the
    training data. workers: threads that decode folders. out: folder of the results. statistics:
    file for the statistics of the subject. own: the MLflow run whose metrics are replaced; without
    it they are logged as `checkpoint/...`.
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

    as_stage: the settings are the stage's, so that the metrics replace those of the run if the
    checkpoint is its best snapshot. GanError if there is no such run or checkpoint.
    """
    with checkpoint_of(run, paths) as checkpoint:
        replaces = as_stage and checkpoint.best
        own = Own(checkpoint.run_id, checkpoint.last_step) if replaces else None
        return evaluate_one(replace(request, ckpt=checkpoint.file, own=own), params, paths)


def evaluate_one(request: Request, params: Params, paths: Paths) -> Evaluation:
    """Evaluate one checkpoint or folder; write the files of the request, log to MLflow.

    GanError if a checkpoint was trained on other data than the cache's, unless the request
    allows other data.
    """
    settings, batch_size = params.evaluate, params.features.batch_size
    subject = _open_subject(request)
    against = request.against or settings.splits
    cache = TensorCache.open(paths.cache) if set(SPLITS) & set(against) else None
    trained_on = subject.origin.cache_digest if isinstance(subject, CheckpointSubject) else None
    if trained_on and cache and not request.other_data:
        remedy = "--other-data evaluates it all the same, under keys that say so"
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
    check_distances(references, settings, subject.sample_sets(settings)[1])
    if not request.extractors:
        references = references.with_notes(missing_note(params.features, paths))
    evaluation = evaluate_subject(subject, references, settings, batch_size)
    notes = evaluation.result.notes
    if not evaluation.metrics:
        raise GanError(f"evaluate: no metric could be computed: {'; '.join(notes)}")
    for note in notes:
        say(note)
    if request.statistics is not None:
        first = extractors[0]
        labels: Labels = {
            "extractor": first.name,
            "extractor_digest": first.digest,
            "protocol": first.protocol,
        }
        save_statistics(request.statistics, evaluation.statistics, labels)
    with tempfile.TemporaryDirectory(prefix="gan-") as temporary:
        folder = request.out or Path(temporary)
        if request.out or request.own:
            write_folder(evaluation, cache, folder)
        if isinstance(subject, CheckpointSubject):
            log_one(evaluation, subject, settings, paths, folder, request.own)
    return evaluation


def _open_subject(request: Request) -> Subject:
    if request.images is not None:
        return FolderSubject(FolderSource(request.images, request.workers))
    assert request.ckpt is not None
    return CheckpointSubject.open(request.ckpt, request.weights)


def _extractors(request: Request, params: Params, paths: Paths) -> Sequence[Extractor]:
    device = choose_compute("auto", "float32").device
    if not request.extractors:
        return available_extractors(params.features, paths, device)
    return [open_extractor(name, params.features, paths, device) for name in request.extractors]


def _check_statistics(file: Path, extractors: Sequence[Extractor]) -> None:
    if len(extractors) > 1:
        names = ", ".join(each.name for each in extractors)
        raise GanError(
            f"--save-statistics takes one extractor, not {names}; name it with --extractor"
        )
    if file.suffix.lower() != ".npz" or file.is_dir():
        raise GanError(f"{file}: statistics files are called NAME.npz")
