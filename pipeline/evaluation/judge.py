"""One judgement: a subject before a panel, and everything that comes of it."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gan.errors import GanError
from gan.features.extraction import (
    FeatureSet,
    allocate_features,
    chunk_size,
    extract_features,
    rebatch,
)
from gan.features.extractor import Extractor
from gan.features.statistics import Statistics, statistics_of
from gan.metrics.memorisation import Memorisation
from gan.metrics.thumbnails import Thumbnails
from gan.params.file import Params
from gan.tensor_cache import Images
from pipeline.console import track
from pipeline.evaluation.closest_sheet import Pair
from pipeline.evaluation.references import Originals, Panel
from pipeline.evaluation.results import Numbers, rounded
from pipeline.evaluation.subject import Subject

FORMAT = "avatar-gan evaluation 1"


@dataclass(frozen=True)
class Judgement:
    """result: a JSON object, a function of the inputs. grid: images of the subject.

    journeys: images on the way between some of them, None for a folder's. closest: pairs of a fake
    and the training image that is nearest to it. statistics: of the first extractor's features of
    the first lot.
    """

    result: dict[str, Any]
    grid: Images
    journeys: Images | None
    closest: Sequence[Pair]
    statistics: Statistics

    @property
    def metrics(self) -> dict[str, float]:
        """Value by key, as reports hold them."""
        return {key: each["value"] for key, each in self.result["metrics"].items()}

    @property
    def spread(self) -> dict[str, float]:
        """Deviation over the seeds by key, of those that have one."""
        found = self.result["metrics"].items()
        return {key: each["deviation"] for key, each in found if each["deviation"] is not None}


def judge(subject: Subject, panel: Panel, params: Params) -> Judgement:
    """Every number that the params ask for, of every lot of the subject's images."""
    settings = params.evaluate
    seeds, count = subject.seeds(settings.report_seeds), subject.count(settings.num_fakes)
    numbers = Numbers(settings, panel.references, subject.marks)
    size = chunk_size(params.features.batch_size)
    memory: Memorisation | None = None
    statistics: list[Statistics] = []
    for seed in seeds:
        # copies are looked for in the first lot
        originals = None if statistics else panel.originals
        also = [Thumbnails()] if originals else []
        seen = looked(subject, seed, count, [*panel.extractors, *also], size)
        for extractor in panel.extractors:
            numbers.add(extractor, seen[extractor.name])
        if originals:
            memory = _memorised(originals, seen[Thumbnails.name], numbers)
        statistics.append(seen[panel.extractors[0].name].statistics)
    result = {
        "format": FORMAT,
        "subject": subject.described(),
        "references": {each.tag: each.described() for each in panel.references},
        "protocol": {
            "fakes": count,
            "seeds": list(seeds),
            "extractors": {each.name: _described(each) for each in panel.extractors},
        },
        "metrics": {key: each.described() for key, each in numbers.found.items()},
        "memorisation": {Thumbnails.name: _memory(memory)} if memory else {},
        "selection": None,
        "notes": [*panel.notes, *numbers.notes],
    }
    pairs = _pairs(subject, seeds[0], panel.originals, memory)
    return Judgement(result, subject.grid(), subject.journeys(), pairs, statistics[0])


def check_measured(judgement: Judgement) -> None:
    """Refuse a judgement without any number, with GanError."""
    if not judgement.metrics:
        notes = "; ".join(judgement.result["notes"])
        raise GanError(f"evaluate: nothing could be measured: {notes}")


def _memorised(originals: Originals, seen: FeatureSet, numbers: Numbers) -> Memorisation | None:
    """None, with a note, where the images do not allow it."""
    try:
        found = originals.memorised(seen)
    except GanError as error:
        numbers.note(f"no {error}")
        return None
    numbers.remember(Thumbnails(), originals.digest, len(originals.train), seen.count, found)
    return found


def _pairs(
    subject: Subject, seed: int | None, originals: Originals | None, memory: Memorisation | None
) -> list[Pair]:
    if originals is None or memory is None:
        return []
    fakes = subject.rows(seed, [each.fake for each in memory.closest])
    reals = originals.train.rows([each.row for each in memory.closest])
    return [Pair(*both) for both in zip(memory.closest, fakes, reals, strict=True)]


def looked(
    subject: Subject, seed: int | None, count: int, extractors: Sequence[Extractor], size: int
) -> dict[str, FeatureSet]:
    """One pass over a lot of the subject's images: what each extractor saw, by its name."""
    into = [allocate_features(count, each) for each in extractors]
    batches = rebatch(subject.batches(seed, count), size)
    label = "images" if seed is None else f"fakes of seed {seed}"
    extract_features(
        track(batches, f"{label}, batches", math.ceil(count / size)), extractors, into
    )
    return {
        each.name: FeatureSet(statistics_of(rows), rows)
        for each, rows in zip(extractors, into, strict=True)
    }


def _described(extractor: Extractor) -> dict[str, str]:
    kept = ("protocol", "precision", "digest")
    return {name: getattr(extractor, name) for name in kept}


def _memory(found: Memorisation) -> dict[str, Any]:
    """With numbers rounded as everywhere."""
    content = asdict(found)
    content["closest"] = [
        pair | {name: rounded(pair[name]) for name in ("distance", "relative")}
        for pair in content["closest"]
    ]
    return content | {name: rounded(content[name]) for name in ("share", "expected", "p_value")}
