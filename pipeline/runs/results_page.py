"""`gan results`: results of runs as committed JSON, and the page that is rendered from them."""

import json
from pathlib import Path
from typing import Any

from jinja2 import Template, Undefined

from gan.atomic import write_atomically
from gan.errors import GanError
from gan.params.file import load_params
from pipeline.paths import Paths
from pipeline.tracking import run_times

COLUMNS = ("fid_", "fd_", "kid_", "kd_", "precision_", "recall_", "best_images_seen")
"""Metrics that have a column; the others are in the JSON only."""


def add(name: str, paths: Paths, folder: Path) -> None:
    """Collect the results of the last `dvc repro` as folder/name.json and folder/name.png."""
    if not name.replace("_", "").replace("-", "").isalnum():
        raise GanError(f"results {name!r}: a name has letters, digits, - and _ only")
    try:
        metrics = json.loads((paths.reports / "metrics.json").read_text(encoding="utf-8"))
        counts = json.loads((paths.reports / "preprocess.json").read_text(encoding="utf-8"))
        best = (paths.reports / "best.png").read_bytes()
    except FileNotFoundError as error:
        raise GanError(f"{error.filename}: no results yet; `dvc repro` makes them") from None
    params = load_params(paths.root / "params.yaml")
    facts = {
        "name": name,
        "metrics": metrics,
        "data": counts,
        "model": params.model.model_dump(),
        "preprocess": params.preprocess.model_dump(),
        "train": params.train.active(),
        "minutes": run_times.minutes(run_times.read(paths, metrics["run_key"])),
        "images_seen": params.train.images,
    }
    text = json.dumps(facts, indent=1, sort_keys=True) + "\n"
    write_atomically(folder / f"{name}.json", text.encode())
    write_atomically(folder / f"{name}.png", best)


def render(folder: Path) -> None:
    """Write the page next to `folder` from all its JSON files."""
    write_atomically(folder.with_suffix(".md"), page(folder).encode())


def page(folder: Path) -> str:
    """The page as text, a function of the JSON files."""
    runs = [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))]
    if not runs:
        raise GanError(f"{folder}: no results; `gan results add NAME` collects them")
    keys = sorted({key for run in runs for key in run["metrics"] if key.startswith(COLUMNS)})
    keys.sort(key=lambda key: key == "best_images_seen")
    text = Path(__file__).with_name("results.md").read_text("utf-8")
    template = Template(text, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    rendered: str = template.render(
        folder=folder.name,
        runs=runs,
        keys=keys,
        number=_format_number,
        list_recipe=_list_recipe,
        list_optimiser=_list_optimiser,
    )
    return rendered


def _format_number(value: float | Undefined) -> str:
    if isinstance(value, Undefined):
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.2f}" if abs(value) >= 1 else f"{value:.4f}"


def _list_recipe(recipe: dict[str, Any]) -> dict[str, Any]:
    """Settings of a recipe that are not 0, false or empty, without the optimisers."""
    penalties = {f"penalties.{key}": value for key, value in recipe["penalties"].items()}
    if penalties.pop("penalties.every") > 1:
        penalties["penalties.every"] = recipe["penalties"]["every"]
    plain = {key: value for key, value in recipe.items() if not isinstance(value, dict)}
    return {key: value for key, value in (plain | penalties).items() if value}


def _list_optimiser(optimiser: dict[str, Any]) -> dict[str, Any]:
    """Arguments of an optimiser, and its schedule if the learning rate changes."""
    schedule = optimiser["schedule"]
    changing = schedule["shape"] != "constant" or schedule["warm_up"]
    settings: dict[str, Any] = optimiser["arguments"] | (schedule if changing else {})
    return settings
