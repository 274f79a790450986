"""Report of an evaluation: one self-contained HTML file."""

import base64
import struct
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from gan.metrics.build import load_numbers, number_of
from pipeline.evaluation import format_number as figures
from pipeline.evaluation.credibility import check_result
from pipeline.evaluation.result import EvaluationResult, MetricResult, SelectionFacts

TEMPLATE = "report.html"
PNG_START = b"\x89PNG\r\n\x1a\n"
MAX_HEADLINES = 6

LEFT, RIGHT, TOP, BOTTOM = 62, 530, 34, 230
"""Edges of the curve's plotted area; tick labels stand outside."""


class Picture(NamedTuple):
    """A PNG as a data URI, and its size, which fixes the layout before it is decoded."""

    address: str
    width: int
    height: int


def report_html(result: EvaluationResult, pictures: Mapping[str, bytes]) -> str:
    """Render one self-contained page about `result`; equal inputs give equal text.

    pictures: PNG files `grid` (fakes), `reals` beside it and `closest` (pairs of a fake and its
    nearest training image), each of which may be missing. Raises ValueError for a picture that
    isn't a PNG file.
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
    """Encode a PNG file as a data URI. Raises ValueError for anything else."""
    if not content.startswith(PNG_START) or len(content) < 24:
        raise ValueError(
            f"{len(content)} bytes that start with {content[:8]!r} are not a PNG file"
        )
    width, height = struct.unpack(">II", content[16:24])  # of IHDR, which comes first
    encoded = base64.b64encode(content).decode("ascii")
    return Picture(f"data:image/png;base64,{encoded}", width, height)


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


def group_by_metric(
    metrics: Mapping[str, MetricResult],
) -> dict[str, dict[str, MetricResult]]:
    """Group results by number, in the order of the registry; unknown ones come last."""
    names = dict.fromkeys([*load_numbers(), *(each.metric for each in metrics.values())])
    groups = {
        name: {key: each for key, each in metrics.items() if each.metric == name} for name in names
    }
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
