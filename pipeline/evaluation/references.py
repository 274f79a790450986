"""References of an evaluation: extractors, and the real images that fakes are compared with."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from gan.errors import GanError
from gan.features.extraction import image_batches
from gan.features.extractor import Extractor
from gan.features.statistics import Features, FeatureSet
from gan.metrics.build import load_metric
from gan.metrics.descriptors import MAX_PICTURES, DescribedSample
from gan.metrics.face_share import MAX_PICTURES as MAX_FACES
from gan.metrics.memorisation import MIN_HOLDOUT, NEIGHBOURS
from gan.metrics.metric import Descriptor, Size, subsample
from gan.metrics.thumbnails import Thumbnails
from gan.params.evaluation import EvaluateParams
from gan.tensor_cache import Split, TensorCache
from pipeline.console import count_noun, track
from pipeline.evaluation.face_share import open_face_descriptor
from pipeline.evaluation.image_folder import FolderSource
from pipeline.evaluation.metrics import Reference, find_obstacle
from pipeline.evaluation.result import ReferenceFacts
from pipeline.features.sources import CacheSplit, ImageSource, StatisticsFile
from pipeline.features.store import FeatureStore
from pipeline.number_ranges import evenly_spaced

SPLITS: tuple[Split, ...] = ("train", "holdout")
MIN_IMAGES = 2  # of a reference, for its covariance


@dataclass(frozen=True)
class MemorisationData:
    """Thumbnails of both splits for the memorisation test."""

    train: CacheSplit
    train_thumbnails: Features
    holdout_thumbnails: Features


@dataclass(frozen=True)
class FaceData:
    """Detector of faces, and its findings in a sample of real images."""

    descriptor: Descriptor
    reference: Reference
    found: Features


@dataclass(frozen=True)
class References:
    """Extractors and references; notes name what is missing, in lines for a reader.

    descriptors: of the metrics of pixels, by the metrics' ids.
    """

    extractors: Sequence[Extractor]
    items: Sequence[Reference]
    memorisation: MemorisationData | None
    descriptors: Mapping[str, Descriptor]
    faces: FaceData | None = None
    notes: Sequence[str] = ()

    def with_notes(self, notes: Sequence[str]) -> Self:
        """Return the same with more notes, in front."""
        return replace(self, notes=[*notes, *self.notes])


@dataclass(frozen=True)
class RealFeatures:
    """Features of real images, from the store.

    cache: None only if no split of it is a reference. chunk: images in a batch. workers: threads
    that decode the images of a folder.
    """

    store: FeatureStore
    cache: TensorCache | None
    chunk: int
    workers: int = 1

    def get(self, source: ImageSource, extractors: Sequence[Extractor]) -> dict[str, FeatureSet]:
        """Read or compute features of a source, by the extractors' names."""
        features = self.store.get(source, extractors, self.chunk)
        return {each.name: one for each, one in zip(extractors, features, strict=True)}

    def describe(
        self, source: CacheSplit | FolderSource, descriptors: Sequence[Descriptor]
    ) -> Mapping[str, Features]:
        """Compute features of a sample of a source, by the descriptors' names.

        They are not kept: that takes seconds, and patches of many images would fill a disk.
        """
        chosen = subsample(np.arange(len(source)), MAX_PICTURES)
        sample = DescribedSample(descriptors, len(chosen))
        parts = np.split(chosen, range(self.chunk, len(chosen), self.chunk))
        label = f"{', '.join(sample.vectors)}: {source.description}, batches"
        batches = (
            each
            for part in track(parts, label, len(parts))
            for each in image_batches(source.select(part.tolist()), self.chunk)
        )
        deque(sample.watch(batches), maxlen=0)
        return sample.vectors


def open_references(
    settings: EvaluateParams,
    real: RealFeatures,
    extractors: Sequence[Extractor],
    against: Sequence[str],
    trained_on: str | None,
    size: tuple[int, int],
) -> References:
    """Read or compute the features of all real images, before any fake is generated.

    against: `train` or `holdout` of the cache, folders of images, statistics files. trained_on:
    digest of the cache that the evaluated generator was trained on. size: (height, width) of the
    subject's images. A split with fewer than two images is left out, with a note. Raises GanError
    for a reference that can't be read, and for one that is named twice.
    """
    _check_unique("extractor", [each.name for each in extractors])
    notes: list[str] = []
    descriptors = _open_descriptors(settings.metrics, size, notes)
    references = []
    for name in against:
        if name in SPLITS and real.cache:
            count = len(real.cache.split(name))
            if count < MIN_IMAGES:
                split = f"the {name} split of the cache: it has {count_noun(count, 'image')}"
                notes.append(f"nothing against {split}; statistics need {MIN_IMAGES}")
                continue
        references.append(
            _open_reference(name, real, extractors, trained_on, [*descriptors.values()], size)
        )
    _check_unique("reference", [each.tag for each in references])
    notes += [
        f"the {each.facts.what} is of {each.size[1]}x{each.size[0]} pixels, what is judged of "
        f"{size[1]}x{size[0]}: numbers tell of this too"
        for each in references
        if each.size not in (None, size)
    ]
    data = None
    if "memorisation" in settings.metrics:
        data = _open_memorisation_data(real, against, trained_on, notes)
    faces = _open_face_data(references, notes) if "face_share" in settings.metrics else None
    return References(extractors, references, data, descriptors, faces, notes)


def _open_descriptors(
    metrics: Sequence[str], size: Size, notes: list[str]
) -> dict[str, Descriptor]:
    descriptors = {}
    for name in metrics:
        if pixels := load_metric(name).pixels:
            try:
                descriptors[name] = pixels(size)
            except GanError as error:
                notes.append(f"no {name} of {error}")
    return descriptors


def _check_unique(kind: str, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise GanError(f"evaluate: the {kind} {name} is named twice; name each once")


def _open_reference(
    name: str,
    real: RealFeatures,
    extractors: Sequence[Extractor],
    trained_on: str | None,
    descriptors: Sequence[Descriptor],
    described_size: Size,
) -> Reference:
    source: CacheSplit | FolderSource | StatisticsFile
    features: dict[str, FeatureSet] = {}
    described: Mapping[str, Features] = {}
    tag, other, size, count, select = "", True, None, None, None
    if Path(name).suffix.lower() == ".npz":
        source, refusals = StatisticsFile.open(Path(name)), []
        count = source.statistics.count
        for extractor in extractors:
            try:
                features[extractor.name] = source.get_features(extractor)
            except GanError as error:
                refusals.append(error)
        if not features:
            raise refusals[0]
    else:
        if name in SPLITS and real.cache is not None:
            source, digest = CacheSplit(real.cache, name), real.cache.digest
            other = trained_on not in (None, digest)
            prefix = "" if name == "train" else f"{name}_"
            tag = f"{prefix}other_{digest[:8]}" if other else name
        else:
            source = FolderSource(Path(name), real.workers)
        features, count, size = real.get(source, extractors), len(source), source.size
        select = source.select
        if descriptors and size == described_size:
            described = real.describe(source, descriptors)
    facts = ReferenceFacts(what=source.description, digest=source.digest, count=count, other=other)
    return Reference(tag or source.tag, facts, features, size, described, select)


def is_other_data(tag: str) -> bool:
    """Return whether a reference's tag is of a cache that isn't the generator's training data."""
    return "other" in tag.split("_") and not tag.startswith("vs_")


def check_distances(references: References, settings: EvaluateParams, fakes: int) -> None:
    """Raise GanError without any reference, or if no wanted Fréchet distance can be computed."""
    if not references.items:
        raise GanError("evaluate: nothing to compare with: " + "; ".join(references.notes))
    if "frechet_distance" not in settings.metrics:
        return
    metric = load_metric("frechet_distance")
    reasons = []
    for extractor in references.extractors:
        for each in references.items:
            why = find_obstacle(metric, each, extractor.name, fakes, settings)
            if why is None:
                return
            reasons.append(f"{each.facts.what}: {why}")
    raise GanError("evaluate: no Fréchet distance: " + "; ".join(dict.fromkeys(reasons)))


def _open_memorisation_data(
    real: RealFeatures, against: Sequence[str], trained_on: str | None, notes: list[str]
) -> MemorisationData | None:
    if real.cache is None or not set(SPLITS) & set(against):
        notes.append("no memorisation: it compares with the cache's train and hold-out images")
        return None
    if trained_on not in (None, real.cache.digest):
        notes.append("no memorisation: the generator does not know the cache's images")
        return None
    known, held = (len(real.cache.split(name)) for name in SPLITS)
    if held < MIN_HOLDOUT or known < NEIGHBOURS:
        notes.append(
            f"no memorisation: of {count_noun(known, 'training image')} and {held:,} held out; it "
            f"needs {NEIGHBOURS} and {MIN_HOLDOUT} (preprocess.holdout)"
        )
        return None
    train, holdout = (CacheSplit(real.cache, name) for name in SPLITS)
    extractor = Thumbnails()
    features = (real.get(each, [extractor])[extractor.name] for each in (train, holdout))
    return MemorisationData(train, *(each.vectors for each in features))


def _open_face_data(references: Sequence[Reference], notes: list[str]) -> FaceData | None:
    """Look for faces in the hold-out, where it is a reference, else in the first images."""
    sources = [(each, each.select) for each in references if each.select]
    if not sources:
        notes.append("no face_share: no images to see it beside, only statistics")
        return None
    try:
        descriptor = open_face_descriptor()
    except GanError as error:
        notes.append(f"no face_share: {error}")
        return None
    held = [each for each in sources if each[0].tag.startswith("holdout")]
    reference, select = (held or sources)[0]
    images = select(evenly_spaced(reference.facts.count or 0, MAX_FACES))
    return FaceData(descriptor, reference, descriptor.describe(images.transpose(0, 3, 1, 2)))
