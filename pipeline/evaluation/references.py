"""References of an evaluation: extractors, and the real images that fakes are compared with."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from gan.errors import GanError
from gan.features.extraction import FeatureSet
from gan.features.extractor import Extractor
from gan.metrics.memorisation import MIN_HOLDOUT, NEIGHBOURS, Memorisation, memorisation
from gan.metrics.thumbnails import VIEWS, Thumbnails, mirror_columns
from gan.params.evaluation import EvaluateParams
from gan.tensor_cache import Split, TensorCache
from pipeline.console import count_noun
from pipeline.evaluation.image_folder import FolderSource
from pipeline.evaluation.metrics import MEASURES, Reference, obstacle
from pipeline.features.sources import CacheSplit, ImageSource, StatisticsFile
from pipeline.features.store import FeatureStore

SPLITS: tuple[Split, ...] = ("train", "holdout")
FEWEST = MEASURES["frechet_distance"].least


@dataclass(frozen=True)
class Originals:
    """The cache's splits and their thumbnails' features, for the memorisation test."""

    digest: str
    train: CacheSplit
    train_seen: FeatureSet
    holdout_seen: FeatureSet

    def memorised(self, fakes: FeatureSet) -> Memorisation:
        """What the thumbnails of a lot of fakes say."""
        train, holdout = self.train_seen.vectors, self.holdout_seen.vectors
        return memorisation(train, holdout, fakes.vectors, VIEWS, mirror_columns())


@dataclass(frozen=True)
class References:
    """Extractors and references; notes say what is missing, in lines for a reader."""

    extractors: Sequence[Extractor]
    items: Sequence[Reference]
    originals: Originals | None
    notes: Sequence[str] = ()

    def with_notes(self, notes: Sequence[str]) -> Self:
        """Return the same with more notes, in front."""
        return replace(self, notes=[*notes, *self.notes])


@dataclass(frozen=True)
class RealFeatures:
    """Source of real images and their features.

    cache: None only if no split of it is asked for.
    """

    store: FeatureStore
    cache: TensorCache | None
    chunk: int
    workers: int = 1

    def seen(self, source: ImageSource, extractors: Sequence[Extractor]) -> dict[str, FeatureSet]:
        """Features of a source, by the extractors' names."""
        found = self.store.get(source, extractors, self.chunk)
        return {each.name: seen for each, seen in zip(extractors, found, strict=True)}


def open_references(
    settings: EvaluateParams,
    real: RealFeatures,
    extractors: Sequence[Extractor],
    against: Sequence[str],
    trained_on: str | None,
    size: tuple[int, int],
) -> References:
    """Read or compute everything that an evaluation compares with, before the long part.

    against: `train` or `holdout` of the cache, folders of images, statistics files. trained_on:
    digest of the cache that the judged generator knows. size: (height, width) of what is judged.
    A split with fewer than two images is left out, with a note. Raises GanError for a reference
    that can't be read, and for one that is named twice.
    """
    _check_once("extractor", [each.name for each in extractors])
    notes: list[str] = []
    references = []
    for name in against:
        held = len(real.cache.split(name)) if name in SPLITS and real.cache else None
        if held is not None and held < FEWEST:
            split = f"the {name} split of the cache: it has {count_noun(held, 'image')}"
            notes.append(f"nothing against {split}; statistics need {FEWEST}")
            continue
        references.append(_reference(name, real, extractors, trained_on))
    _check_once("reference", [each.tag for each in references])
    notes += [
        f"the {each.what} is of {each.size[1]}x{each.size[0]} pixels, what is judged of "
        f"{size[1]}x{size[0]}: numbers tell of this too"
        for each in references
        if each.size not in (None, size)
    ]
    originals = None
    if "memorisation" in settings.metrics:
        originals = _originals(real, against, trained_on, notes)
    return References(extractors, references, originals, notes)


def _check_once(what: str, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise GanError(f"evaluate: the {what} {name} is named twice; name each once")


def _reference(
    name: str, real: RealFeatures, extractors: Sequence[Extractor], trained_on: str | None
) -> Reference:
    if name in SPLITS and real.cache is not None:
        split = CacheSplit(real.cache, name)
        digest = real.cache.digest
        other = trained_on is not None and trained_on != digest
        tag = _other_tag(name, digest) if other else name
        seen = real.seen(split, extractors)
        return Reference(tag, split.what, split.digest, len(split), other, seen, split.size)
    path = Path(name)
    if path.suffix.lower() == ".npz":
        file = StatisticsFile.open(path)
        count = file.statistics.count
        known = _known(file, extractors)
        return Reference(file.tag, file.what, file.digest, count, True, known, None)
    source = FolderSource(path, real.workers)
    seen = real.seen(source, extractors)
    tag, what, digest = source.tag, source.what, source.digest
    return Reference(tag, what, digest, len(source), True, seen, source.size)


def _known(file: StatisticsFile, extractors: Sequence[Extractor]) -> dict[str, FeatureSet]:
    """By the names of those extractors that can have made the file; GanError if none can."""
    found, refusals = {}, []
    for extractor in extractors:
        try:
            found[extractor.name] = file.seen_by(extractor)
        except GanError as error:
            refusals.append(error)
    if not found:
        raise refusals[0]
    return found


def is_other(tag: str) -> bool:
    """Whether a reference of this tag is a cache that the judged generator doesn't know."""
    return "other" in tag.split("_") and not tag.startswith("vs_")


def _other_tag(split: str, digest: str) -> str:
    """What keys call a split of a cache that the judged generator doesn't know."""
    other = f"other_{digest[:8]}"
    return other if split == "train" else f"{split}_{other}"


def check_distances(references: References, settings: EvaluateParams, fakes: int) -> None:
    """Refuse an evaluation on request that would lack what it is asked for.

    Raises GanError without any reference, and if Fréchet distances are wanted but no reference
    allows one that is fair with so many fakes.
    """
    if not references.items:
        raise GanError("evaluate: nothing to compare with: " + "; ".join(references.notes))
    if "frechet_distance" not in settings.metrics:
        return
    reasons = []
    for extractor in references.extractors:
        for each in references.items:
            why = obstacle(MEASURES["frechet_distance"], each, extractor.name, fakes, settings)
            if why is None:
                return
            reasons.append(f"{each.what}: {why}")
    raise GanError("evaluate: no Fréchet distance: " + "; ".join(dict.fromkeys(reasons)))


def _originals(
    real: RealFeatures, against: Sequence[str], trained_on: str | None, notes: list[str]
) -> Originals | None:
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
    looking = Thumbnails()
    seen = [real.seen(each, [looking])[looking.name] for each in (train, holdout)]
    return Originals(real.cache.digest, train, *seen)
