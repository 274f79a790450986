"""The data card: a Markdown page and the same as JSON, written anew when the dataset changed.

The page's words and tables are in card.md; texts of crawled sites can't act as markup there.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from markupsafe import Markup
from rich.filesize import decimal

from gan.atomic import write_atomically
from gan.params.data import AttributesParams
from pipeline.crawl.data_card.measure import digest_definition, measure
from pipeline.crawl.data_card.pictures import sheet
from pipeline.dataset.reader import Dataset
from pipeline.markdown import render_markdown
from pipeline.pictures.contact_sheet import save_png

BAR_WIDTH = 20
_EIGHTHS = " ▏▎▍▌▋▊▉"


def write_card(
    dataset: Dataset, reports: Path, local: Path, attributes: AttributesParams | None
) -> tuple[Path, Path]:
    """Bring reports/data_card.md, .json and `local`/contact_sheet.png up to `dataset`.

    Without `attributes` a card of the dataset is left as it is, whatever its labels are.

    The sheet shows strangers' pictures, so it is never in a folder that Git tracks. Returns the
    paths of the card in Markdown and of the sheet.
    """
    text, values = reports / "data_card.md", reports / "data_card.json"
    picture = local / f"{dataset.digest[:12]}.png"
    if not picture.exists():
        save_png(sheet(dataset), picture)
    if not text.exists() or not _is_of(values, dataset, attributes):
        card = measure(dataset, attributes)
        write_atomically(text, render(card))
        write_atomically(values, json.dumps(card, indent=1, ensure_ascii=False) + "\n")
    return text, picture


def _is_of(path: Path, dataset: Dataset, attributes: AttributesParams | None) -> bool:
    try:
        card: Any = json.loads(path.read_text(encoding="utf-8"))
        if attributes and card["attributes"]["definition"] != digest_definition(attributes):
            return False
        return bool((card["digest"], card["source"]) == (dataset.digest, dataset.source))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def render(card: dict[str, Any]) -> str:
    """The page, a function of the card."""
    helpers = {
        "as_text": _as_text,
        "bar": bar,
        "filled": _find_filled,
        "share": share,
        "size": lambda count: Markup(decimal(int(count))),
    }
    return render_markdown(Path(__file__).with_name("card.md"), card | helpers)


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def bar(value: float, column: Iterable[float]) -> Markup:
    """A text bar, the longest for the column's largest value, and none for 0 alone."""
    part = value / (max(column, default=0) or 1)
    eighths = max(round(part * BAR_WIDTH * 8), 1 if part > 0 else 0)
    return Markup("█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip())


def share(count: float, whole: float) -> Markup:
    """Percent of `whole`, never 0 for more than none nor 100 for less than all; a dash of 0."""
    if not whole:
        return Markup("-")
    part = count / whole
    if 0 < part < 0.001:
        return Markup("<0.1 %")
    return Markup(">99.9 %" if 0.999 < part < 1 else f"{100 * part:.1f} %")


def _find_filled(*columns: list[int]) -> range:
    """Classes from the first to the last one that has a count in any of the columns."""
    filled = [i for i, counts in enumerate(zip(*columns, strict=True)) if any(counts)]
    return range(filled[0], filled[-1] + 1)
