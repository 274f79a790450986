"""Report of an evaluation: one self-contained HTML file, with checks of its credibility."""

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from PIL import Image

from gan.metrics.build import load_metric, load_numbers, number_of
from gan.metrics.metric import ENOUGH_IMAGES
from gan.metrics.registry import METRICS
from pipeline.console import list_first
from pipeline.evaluation import format_number as figures
from pipeline.evaluation.result import EvaluationResult, FolderFacts, MetricResult, SelectionFacts

TEMPLATE = "report.html"
MAX_HEADLINES = 6
ENOUGH_SEEDS = 3
FEW_FACES = 0.5  # of the share of real images

LEFT, RIGHT, TOP, BOTTOM = 62, 530, 34, 230
"""Edges of the curve's plotted area; tick labels stand outside."""

Answer = tuple[Literal["ok", "doubt", "bad"], str]


class Picture(NamedTuple):
    """A PNG as a data URI, and its size, which fixes the layout before it is decoded."""

    address: str
    width: int
    height: int


def report_html(result: EvaluationResult, pictures: Mapping[str, bytes]) -> str:
    """Render one self-contained page about `result`; equal inputs give equal text.

    pictures: PNG files `grid` (fakes), `reals` beside it and `closest` (pairs of a fake and its
    nearest training image), each of which may be missing. Raises UnidentifiedImageError for a
    picture that isn't a PNG file.
    """
    seeds, metrics = result.protocol.seeds, result.metrics
    several = any(len(each.values) > 1 for each in metrics.values())
    return (
        _environment()
        .get_template(TEMPLATE)
        .render(
            result=result,
            others=[result.references[tag] for tag in result.other_data],
            checks=list(check_result(result)),
            headlines=select_headlines(metrics),
            groups=group_by_metric(metrics),
            seeds=[seed for seed in seeds if seed is not None],
            seed_headings=[f"seed {seed}" for seed in seeds] if several else [],
            curve=draw_curve(result.selection) if result.selection else None,
            pictures={name: embed_picture(content) for name, content in pictures.items()},
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "breakable": allow_breaks,
        "count": figures.count,
        "figure": figures.figure,
        "percent": figures.percent,
    }
    environment.globals["number_of"] = number_of
    return environment


def allow_breaks(name: str) -> Markup:
    """Escape a name, and let a narrow column break it after underscores."""
    return Markup("_<wbr>").join(escape(part) for part in name.split("_"))


def embed_picture(content: bytes) -> Picture:
    """Encode a PNG file as a data URI. Raises UnidentifiedImageError for anything else."""
    size = Image.open(io.BytesIO(content), formats=["PNG"]).size
    encoded = base64.b64encode(content).decode("ascii")
    return Picture(f"data:image/png;base64,{encoded}", *size)


def select_headlines(metrics: Mapping[str, MetricResult]) -> dict[str, MetricResult]:
    """Select up to six results for the summary: of Inception, else of the first extractor.

    Those of chief numbers against the first reference only, Fréchet distances against all.
    """
    results = list(metrics.items())
    extractors = [each.extractor for _, each in results]
    extractor = "inception" if "inception" in extractors else next(iter(extractors), "")
    against = next((each.against for _, each in results if each.against), None)
    selected = [
        (key, each)
        for key, each in results
        if each.extractor == extractor
        and number_of(each.metric).chief
        and (each.metric == "frechet" or each.against in (against, None))
    ]
    return dict(selected[:MAX_HEADLINES])


def group_by_metric(metrics: Mapping[str, MetricResult]) -> dict[str, dict[str, MetricResult]]:
    """Group results by number, in the order of the registry; unknown ones come last."""
    groups: dict[str, dict[str, MetricResult]] = {name: {} for name in load_numbers()}
    for key, each in metrics.items():
        groups.setdefault(each.metric, {})[key] = each
    return {name: results for name, results in groups.items() if results}


class Curve(NamedTuple):
    """Points (x, y, images seen, distance), and labels of both axes by their coordinates."""

    points: list[tuple[float, float, int, float]]
    across: dict[float, str]
    up: dict[float, str]


def draw_curve(selection: SelectionFacts) -> Curve | None:
    """Place the points of a selection's curve in the chart; None if there are none.

    The page draws it in its colours, light or dark. The vertical axis need not start at 0.
    """
    if not selection.curve:
        return None
    images, values = zip(*selection.curve, strict=True)
    x, across = _axis(images, LEFT, RIGHT)
    y, up = _axis(values, BOTTOM, TOP)
    return Curve(list(zip(x, y, images, values, strict=True)), across, up)


def _axis(
    values: Sequence[float], start: float, end: float
) -> tuple[list[float], dict[float, str]]:
    """Coordinates of values between those of the least and the greatest, and labels on the way."""
    low, high = min(values), max(values)
    size = high - low or 1.0
    places = [round(start + (value - low) / size * (end - start), 2) for value in values]
    labels = {start + (end - start) * i / 4: figures.figure(low + size * i / 4) for i in range(5)}
    return places, labels


class Check(NamedTuple):
    """One aspect of an evaluation, its state, and a sentence about it."""

    about: str
    state: Literal["ok", "doubt", "bad"]
    text: str


def check_result(result: EvaluationResult) -> Iterator[Check]:
    """Check everything that a sceptical reader would ask, in a fixed order."""
    yield Check("Data", *_check_data(result))
    yield Check("Selection", *_check_selection(result))
    yield Check("Spread", *_check_spread(result))
    yield Check("Sample size", *_check_sample_size(result))
    yield Check("FID", *_check_fid(result))
    extractors = result.protocol.extractors.items()
    if narrow := [name for name, each in extractors if each.precision != "float32"]:
        yield Check("Precision", "doubt", f"Features not in float32: {list_first(narrow)}.")
    yield Check("Memorisation", *_check_memorisation(result))
    shares = {each.metric: each.value for each in result.metrics.values()}
    if "face_share" in shares:
        yield Check("Faces", *_check_faces(shares["face_share"], shares["face_share_real"]))
    selection = result.selection
    if selection and len(selection.curve) > 1 and selection.best == selection.curve[-1][0]:
        text = "The best snapshot is the last one: longer training may do better."
        yield Check("Training", "doubt", text)


def _check_data(result: EvaluationResult) -> Answer:
    if isinstance(result.subject, FolderFacts):
        return "doubt", "A folder of images: the training data of their generator is unknown."
    if not result.references:
        return "doubt", "Compared with no real images."
    if others := list_first(result.other_data):
        return "bad", f"Compared with other data than its training data: {others}."
    return "ok", "Compared with the data it was trained on."


def _check_selection(result: EvaluationResult) -> Answer:
    selection = result.selection
    if selection is None:
        return "doubt", "A given checkpoint: it was not selected among snapshots here."
    if selection.key is None:
        return "doubt", "The newest snapshot: too few real images to select one by a distance."
    if selection.seed in result.protocol.seeds:
        return "bad", f"Seed {selection.seed} selects the snapshot and is reported: biased."
    return "ok", f"Selected on seed {selection.seed}, reported on other seeds."


def _check_spread(result: EvaluationResult) -> Answer:
    if not result.metrics:
        return "doubt", "No metric was computed."
    if all(each.deviation is None for each in result.metrics.values()):
        return "doubt", "One sample set: the deviation over latent seeds is unknown."
    seeds = len(result.protocol.seeds)
    text = f"Means and standard deviations over {seeds} latent seeds."
    return "ok" if seeds >= ENOUGH_SEEDS else "doubt", text


def _check_sample_size(result: EvaluationResult) -> Answer:
    """Check the metrics that depend on how many images there are."""
    metrics = [load_metric(name) for name in METRICS]
    biased = {number.name for each in metrics if each.biased for number in each.numbers}
    unknown, few = [], []
    for key, each in result.metrics.items():
        if each.metric in biased and each.reals is None:
            unknown.append(key)
        elif each.metric in biased and min(each.fakes, each.reals or 0) < ENOUGH_IMAGES:
            few.append(key)
    if few:
        return "doubt", f"Fewer than {ENOUGH_IMAGES:,} fakes or real images: {list_first(few)}."
    if unknown:
        return "doubt", f"Unknown number of real images: {list_first(unknown)}."
    return "ok", f"At least {ENOUGH_IMAGES:,} fakes and real images, where the metric asks."


def _check_fid(result: EvaluationResult) -> Answer:
    if any(each.extractor == "inception" for each in result.metrics.values()):
        return "ok", "Features of pytorch-fid's Inception: its Fréchet distances are FIDs."
    if "inception" in result.protocol.extractors:
        return "doubt", "Too few images for any metric of Inception."
    return "doubt", "No Inception features: nothing here is comparable with published FIDs."


def _check_memorisation(result: EvaluationResult) -> Answer:
    tests = result.memorisation
    if suspicious := [name for name, each in tests.items() if each.suspicious]:
        return "bad", f"Fakes lie too close to training images: {list_first(suspicious)}."
    if not tests:
        return "doubt", "Not tested: copies of training images would go unnoticed."
    return "ok", "Fakes lie no closer to training images than new images do."


def _check_faces(fake: float, real: float) -> Answer:
    shares = f"{figures.percent(fake)} of the fakes and in {figures.percent(real)} of real images"
    if fake < FEW_FACES * real:
        return "bad", f"A face is found in {shares}: many may be no faces."
    return "ok", f"A face is found in {shares}; more is no better."
