"""Report of an evaluation: one self-contained HTML file."""

import base64
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from pipeline.evaluation import format_number as figures
from pipeline.evaluation.credibility import check_result, other_data
from pipeline.evaluation.metric_texts import MEANINGS, Meaning, meaning_of
from pipeline.evaluation.svg_curve import curve_svg

TEMPLATE = "report.html"
PNG_START = b"\x89PNG\r\n\x1a\n"

HEADLINES = ("frechet", "infinity", "kernel", "precision", "recall", "score")
MAX_HEADLINES = 6

MetricResult = Mapping[str, Any]


@dataclass(frozen=True)
class Picture:
    """A PNG as a data URI, and its size, which fixes the layout before it is decoded."""

    address: str
    width: int
    height: int


@dataclass(frozen=True)
class MetricGroup:
    """All results of one metric, by key."""

    meaning: Meaning
    results: dict[str, MetricResult]


def report_html(result: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """Render one self-contained page about `result`; equal inputs give equal text.

    pictures: PNG files `grid` (fakes), `reals` beside it and `closest` (pairs of a fake and its
    nearest training image), each of which may be missing, as may `result["notes"]`, sentences
    about missing metrics. Raises ValueError for a picture that isn't a PNG file.
    """
    return (
        _environment()
        .get_template(TEMPLATE)
        .render(
            result=result,
            subject=result["subject"],
            protocol=result["protocol"],
            notes=result.get("notes", []),
            others=[result["references"][name] for name in other_data(result)],
            checks=check_result(result),
            headlines=select_headlines(result["metrics"]),
            groups=list(group_by_metric(result["metrics"])),
            seeds=[seed for seed in result["protocol"]["seeds"] if seed is not None],
            seed_headings=seed_headings(result["protocol"]["seeds"], result["metrics"]),
            curve=_curve(result["selection"]),
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
    environment.globals["meaning_of"] = meaning_of
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
    """Select up to six results for the summary: of Inception, else of the first extractor."""
    names = [each["extractor"] for each in metrics.values()]
    first = "inception" if "inception" in names else next(iter(names), None)
    own = {key: each for key, each in metrics.items() if each["extractor"] == first}
    ordered = (
        (key, each) for name in HEADLINES for key, each in own.items() if each["metric"] == name
    )
    selected = list(_first_references(ordered)) or list(metrics.items())
    return dict(selected[:MAX_HEADLINES])


def _first_references(
    results: Iterator[tuple[str, MetricResult]],
) -> Iterator[tuple[str, MetricResult]]:
    """Keep each metric against the first reference only, Fréchet distances against all."""
    seen: set[str] = set()
    for key, each in results:
        if each["metric"] not in seen or each["metric"] == "frechet":
            yield key, each
        seen.add(each["metric"])


def group_by_metric(metrics: Mapping[str, MetricResult]) -> Iterator[MetricGroup]:
    """Group results by metric, in the order of the meanings; unknown metrics come last."""
    names = list(dict.fromkeys(each["metric"] for each in metrics.values()))
    known = [name for name in MEANINGS if name in names]
    for name in [*known, *(each for each in names if each not in MEANINGS)]:
        results = {key: each for key, each in metrics.items() if each["metric"] == name}
        yield MetricGroup(meaning_of(name), results)


def seed_headings(seeds: Sequence[int | None], metrics: Mapping[str, MetricResult]) -> list[str]:
    """Return headings for the values of each seed; none if every result has a single value."""
    if all(len(each["values"]) < 2 for each in metrics.values()):
        return []
    return [f"seed {seed}" for seed in seeds]


def _curve(selection: Mapping[str, Any] | None) -> Markup:
    if selection is None:
        return Markup("")
    return curve_svg(selection["curve"], selection["best"], selection["key"])
