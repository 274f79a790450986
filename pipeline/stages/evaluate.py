"""The evaluate stage: every snapshot judged, the best one kept, its numbers reported.

The best is chosen on one seed of latents and reported on others, so that the numbers are not the
luck of the draw that chose it. The same judgement serves a single checkpoint, or a folder.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gan.atomic import write_atomically
from gan.checkpoints import load_generator
from gan.devices import choose
from gan.errors import GanError
from gan.features.extraction import chunk_size
from gan.features.extractor import Extractor
from gan.features.statistics_file import Labels, save_statistics
from gan.params.file import Params
from gan.tensor_cache import TensorCache
from pipeline.console import say
from pipeline.evaluation.image_folder import FolderSource
from pipeline.evaluation.judge import Judgement, check_measured, judge
from pipeline.evaluation.outputs import check_out, write_folder, write_reports
from pipeline.evaluation.references import SPLITS, Archive, Panel, check_distances, open_panel
from pipeline.evaluation.select_snapshot import select
from pipeline.evaluation.subject import CheckpointSubject, FolderSubject, Subject, Weights
from pipeline.features.extractors import available_extractors, extractor
from pipeline.features.inception_file import missing_message, weights_file
from pipeline.features.store import FeatureStore
from pipeline.paths import Paths
from pipeline.tracking.evaluation_row import Own, log_best, log_one


@dataclass(frozen=True)
class Request:
    """What a person asked to judge: exactly one of ckpt and images.

    against: `train`, `holdout`, folders, statistics files; none: evaluate.splits. extractors:
    names, or TorchScript files anywhere; none: features.extractors. out: folder of the results.
    statistics: file for the statistics of what is judged. own: the row whose own numbers these
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


def run(params: Params, paths: Paths) -> Judgement:
    """Judge models/snapshots/, write models/best.pt and reports/; log onto the training's row.

    Numbers that too few images don't allow are left out, with notes.
    """
    cache = TensorCache.open(paths.cache)
    snapshots = sorted((paths.models / "snapshots").glob("*.pt"))
    if not snapshots:
        raise GanError(f"{paths.models / 'snapshots'}: no snapshot to evaluate; run `gan train`")
    for path in snapshots:
        _check_data(path, load_generator(path)[1].cache_digest, cache, "run `gan train`")
    extractors = available_extractors(params.features, paths, choose("auto", "float32").device)
    archive = _archive(params, paths, cache, workers=1)
    panel = open_panel(
        params,
        archive,
        extractors,
        params.evaluate.splits,
        cache.digest,
        (cache.size, cache.size),
    )
    selection = select(snapshots, panel, params)
    subject = CheckpointSubject.open(selection.best.path)
    judgement = judge(subject, _noted(panel, params, paths), params)
    judgement.result["selection"] = selection.described()
    judgement.result["notes"] += selection.notes
    _say_notes(judgement)
    write_atomically(paths.models / "best.pt", subject.path.read_bytes())
    write_reports(judgement, cache, paths)
    log_best(judgement, subject, params, paths)
    return judgement


def run_one(request: Request, params: Params, paths: Paths) -> Judgement:
    """Judge one checkpoint or folder; write what was asked for; log onto the training's row.

    GanError if the checkpoint was trained on other data than the cache's, unless the request
    says so.
    """
    subject = _subject(request)
    against = request.against or params.evaluate.splits
    cache = TensorCache.open(paths.cache) if set(SPLITS) & set(against) else None
    trained_on = subject.origin.cache_digest if isinstance(subject, CheckpointSubject) else None
    if trained_on and cache and not request.other_data:
        remedy = "--other-data compares all the same, and says so"
        _check_data(request.ckpt or Path(), trained_on, cache, remedy)
    if request.out is not None:
        check_out(request.out, paths)
    extractors = _extractors(request, params, paths)
    if request.statistics is not None:
        _check_statistics(request.statistics, extractors)
        check_out(request.statistics.parent, paths)
    archive = _archive(params, paths, cache, request.workers)
    panel = open_panel(params, archive, extractors, against, trained_on, subject.size)
    check_distances(panel, params, subject.count(params.evaluate.num_fakes))
    if not request.extractors:
        panel = _noted(panel, params, paths)
    judgement = judge(subject, panel, params)
    check_measured(judgement)
    _say_notes(judgement)
    if request.out is not None:
        write_folder(judgement, cache, request.out)
    if request.statistics is not None:
        save_statistics(request.statistics, judgement.statistics, _labels(extractors[0]))
    if isinstance(subject, CheckpointSubject):
        log_one(judgement, subject, params, paths, request.own)
    return judgement


def _subject(request: Request) -> Subject:
    if request.images is not None:
        return FolderSubject(FolderSource(request.images, request.workers))
    if request.ckpt is None:
        raise ValueError("a request names a checkpoint or a folder")
    return CheckpointSubject.open(request.ckpt, request.weights)


def _extractors(request: Request, params: Params, paths: Paths) -> Sequence[Extractor]:
    device = choose("auto", "float32").device
    if not request.extractors:
        return available_extractors(params.features, paths, device)
    return [extractor(name, params.features, paths, device) for name in request.extractors]


def _archive(params: Params, paths: Paths, cache: TensorCache | None, workers: int) -> Archive:
    store = FeatureStore(paths.features, paths.reference)
    return Archive(store, cache, chunk_size(params.features.batch_size), workers)


def _noted(panel: Panel, params: Params, paths: Paths) -> Panel:
    """The panel, with a word if Inception was wanted and its weights are missing."""
    if "inception" not in params.features.extractors or weights_file(paths).exists():
        return panel
    return dataclasses.replace(panel, notes=[missing_message(paths), *panel.notes])


def _check_data(path: Path, trained_on: str, cache: TensorCache, remedy: str) -> None:
    if trained_on != cache.digest:
        raise GanError(
            f"{path}: trained on other data ({trained_on[:12]}, the cache is "
            f"{cache.digest[:12]}); {remedy}"
        )


def _say_notes(judgement: Judgement) -> None:
    for note in judgement.result["notes"]:
        say(note)


def _check_statistics(file: Path, extractors: Sequence[Extractor]) -> None:
    if len(extractors) > 1:
        names = ", ".join(each.name for each in extractors)
        raise GanError(f"--save-statistics writes those of one extractor, here are {names}; "
                       "choose with --extractor")  # fmt: skip
    if file.suffix.lower() != ".npz" or file.is_dir():
        raise GanError(f"{file}: not the name of a statistics file, NAME.npz")


def _labels(extractor: Extractor) -> Labels:
    """By which a later reader can tell whether the numbers are of its own kind."""
    return {
        "extractor": extractor.name,
        "extractor_digest": extractor.digest,
        "protocol": extractor.protocol,
    }
