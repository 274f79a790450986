"""The evaluate stage: select the best snapshot, keep it, report its metrics.

The snapshot is selected on one latent seed and reported on others, so that the selection doesn't
bias the metrics.
"""

from gan.atomic import write_atomically
from gan.devices import choose_compute
from gan.features.extraction import chunk_size
from gan.params.file import Params
from gan.tensor_cache import TensorCache
from pipeline.console import say
from pipeline.evaluation.evaluate_subject import Evaluation, evaluate_subject
from pipeline.evaluation.outputs import write_reports
from pipeline.evaluation.references import RealFeatures, open_references
from pipeline.evaluation.select_snapshot import Snapshots, select_snapshot
from pipeline.features.extractors import available_extractors
from pipeline.features.inception_file import missing_note
from pipeline.features.store import FeatureStore
from pipeline.paths import Paths


def run(params: Params, paths: Paths) -> Evaluation:
    """Evaluate models/snapshots/; write models/best.pt and reports/.

    Metrics for which there are too few images are left out, with notes. Raises GanError if there
    is no snapshot, or one of other data than cache/.
    """
    settings, batch_size = params.evaluate, params.features.batch_size
    cache = TensorCache.open(paths.cache)
    snapshots = Snapshots(paths.models / "snapshots", cache)
    device = choose_compute("auto", "float32").device
    extractors = available_extractors(params.features, paths, device)
    store = FeatureStore(paths.features, paths.reference)
    real = RealFeatures(store, cache, chunk_size(batch_size))
    references = open_references(
        settings, real, extractors, settings.splits, cache.digest, snapshots.newest.size
    ).with_notes(missing_note(params.features, paths))

    best, facts, notes = select_snapshot(snapshots, references, settings, batch_size)
    references = references.with_notes(notes)
    evaluation = evaluate_subject(best, references, settings, batch_size, facts)
    for note in evaluation.result.notes:
        say(note)
    write_atomically(paths.models / "best.pt", best.path.read_bytes())
    write_reports(evaluation, cache, paths)
    return evaluation
