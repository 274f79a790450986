"""The page about one evaluation: everything in one HTML file that needs nothing else."""

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
from pipeline.evaluation.credibility import checks, other_data
from pipeline.evaluation.metric_texts import MEANINGS, Meaning, meaning_of
from pipeline.evaluation.svg_curve import curve_svg

TEMPLATE = "report.html"
PNG_START = b"\x89PNG\r\n\x1a\n"

HEADLINES = ("frechet", "infinity", "kernel", "precision", "recall", "score")
MOST_HEADLINES = 6

Metric = Mapping[str, Any]


@dataclass(frozen=True)
class Picture:
    """A PNG inside the page; width and height keep its place while it is decoded."""

    address: str
    width: int
    height: int


@dataclass(frozen=True)
class Family:
    """All numbers of one metric."""

    meaning: Meaning
    rows: dict[str, Metric]


def report_html(result: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """One self-contained page about `result`; equal inputs give equal text.

    pictures: PNG files `grid` (fakes), `reals` beside it and `closest` (pairs of a fake and its
    nearest training image), each of which may be missing. `result["notes"]`, sentences about what
    is missing and why, may be too. Raises ValueError for a picture that isn't a PNG file.
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
            checks=checks(result),
            headlines=headlines(result["metrics"]),
            families=list(families(result["metrics"])),
            seeds=[seed for seed in result["protocol"]["seeds"] if seed is not None],
            seed_names=seed_names(result["protocol"]["seeds"], result["metrics"]),
            curve=_curve(result["selection"]),
            pictures={name: picture(content) for name, content in pictures.items()},
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
        "breakable": breakable,
        "count": figures.count,
        "figure": figures.figure,
        "percent": figures.percent,
    }
    environment.globals["meaning_of"] = meaning_of
    return environment


def breakable(name: str) -> Markup:
    """`name`, escaped, with places after underscores where a narrow column may break it."""
    return Markup("_<wbr>").join(escape(part) for part in name.split("_"))


def picture(content: bytes) -> Picture:
    """A PNG file as a data URI. Raises ValueError for anything else."""
    if not content.startswith(PNG_START) or len(content) < 24:
        raise ValueError(
            f"{len(content)} bytes that start with {content[:8]!r} are not a PNG file"
        )
    width, height = struct.unpack(">II", content[16:24])  # of IHDR, which comes first
    encoded = base64.b64encode(content).decode("ascii")
    return Picture(f"data:image/png;base64,{encoded}", width, height)


def headlines(metrics: Mapping[str, Metric]) -> dict[str, Metric]:
    """Choose up to six numbers to begin with: of Inception, else of the first extractor."""
    names = [each["extractor"] for each in metrics.values()]
    first = "inception" if "inception" in names else next(iter(names), None)
    own = {key: each for key, each in metrics.items() if each["extractor"] == first}
    chosen = (
        (key, each) for name in HEADLINES for key, each in own.items() if each["metric"] == name
    )
    found = list(_one_a_metric(chosen)) or list(metrics.items())
    return dict(found[:MOST_HEADLINES])


def _one_a_metric(rows: Iterator[tuple[str, Metric]]) -> Iterator[tuple[str, Metric]]:
    """The first of each metric, which is against the first reference; Fréchet against all."""
    seen: set[str] = set()
    for key, each in rows:
        if each["metric"] not in seen or each["metric"] == "frechet":
            yield key, each
        seen.add(each["metric"])


def families(metrics: Mapping[str, Metric]) -> Iterator[Family]:
    """Numbers by metric, described ones first and in their order."""
    names = list(dict.fromkeys(each["metric"] for each in metrics.values()))
    known = [name for name in MEANINGS if name in names]
    for name in [*known, *(each for each in names if each not in MEANINGS)]:
        rows = {key: each for key, each in metrics.items() if each["metric"] == name}
        yield Family(meaning_of(name), rows)


def seed_names(seeds: Sequence[int | None], metrics: Mapping[str, Metric]) -> list[str]:
    """Headings for the values of each seed; none where each number has one value."""
    if all(len(each["values"]) < 2 for each in metrics.values()):
        return []
    return [f"seed {seed}" for seed in seeds]


def _curve(selection: Mapping[str, Any] | None) -> Markup:
    if selection is None:
        return Markup("")
    return curve_svg(selection["curve"], selection["best"], selection["key"])
