"""Files of the data card, written anew when the dataset or its source changed."""

import json
from pathlib import Path
from typing import Any

from gan.atomic import write_atomically
from pipeline.crawl.data_card.measure import measure
from pipeline.crawl.data_card.pictures import sheet
from pipeline.crawl.data_card.text import render
from pipeline.dataset.reader import Dataset
from pipeline.pictures.contact_sheet import save_png


def write_card(dataset: Dataset, reports: Path, local: Path) -> tuple[Path, Path]:
    """Bring reports/data_card.md, .json and `local`/contact_sheet.png up to `dataset`.

    The sheet shows strangers' pictures, so it is never in a folder that Git tracks. Returns the
    paths of the card in Markdown and of the sheet.
    """
    text, values = reports / "data_card.md", reports / "data_card.json"
    picture = local / f"{dataset.digest[:12]}.png"
    if not picture.exists():
        save_png(sheet(dataset), picture)
    if not text.exists() or not _is_of(values, dataset):
        card = measure(dataset)
        write_atomically(text, render(card))
        write_atomically(values, json.dumps(card, indent=1, ensure_ascii=False) + "\n")
    return text, picture


def _is_of(path: Path, dataset: Dataset) -> bool:
    try:
        card: Any = json.loads(path.read_text(encoding="utf-8"))
        return bool((card["digest"], card["source"]) == (dataset.digest, dataset.source))
    except (OSError, ValueError, KeyError, TypeError):
        return False
