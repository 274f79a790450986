"""`gan results`: results of runs as committed JSON, and the page that is rendered from them."""

import json
from pathlib import Path
from typing import Any

from gan.atomic import write_atomically
from gan.errors import GanError
from gan.params.file import load_params
from pipeline.paths import Paths
from pipeline.tracking import run_times

COLUMNS = ("fid_", "fd_", "kid_", "kd_", "precision_", "recall_", "best_images_seen")
"""Metrics that have a column; the others are in the JSON only."""

INTRO = """# Results

Trainings on real anime faces, next to each other: the same data, one processor core without bf16
and at least half an hour of training each. The pictures show avatars of seeds 0 to 63, not
chosen by hand. This page is rendered from the JSON files beside the pictures by
`gan results render`.
"""


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
    return "\n".join([INTRO, _table(runs), *(_section(run, folder.name) for run in runs)])


def _table(runs: list[dict[str, Any]]) -> str:
    keys = sorted({key for run in runs for key in run["metrics"] if key.startswith(COLUMNS)})
    keys.sort(key=lambda key: key == "best_images_seen")
    head = ["run", *keys, "images seen", "minutes"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for run in runs:
        cells = [run["name"], *(_number(run["metrics"].get(key)) for key in keys)]
        cells += [_number(run["images_seen"]), _number(run["minutes"])]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.2f}" if abs(value) >= 1 else f"{value:.4f}"


def _section(run: dict[str, Any], folder: str) -> str:
    train, data = run["train"], run["data"]
    networks = "; ".join(_network(run, name) for name in ("generator", "discriminator"))
    return (
        f"## {run['name']}\n\n"
        f"Objective `{train['objective']}` ({_recipe(train['recipe'])}); {networks}; "
        f"batch {train['batch_size']}, {run['preprocess']['size']} px, seed {train['seed']}; "
        f"{data['train']:,} images to train on, {data['holdout']:,} held out; "
        f"run key `{run['metrics']['run_key']}`.\n\n"
        f"![avatars of seeds 0 to 63]({folder}/{run['name']}.png)\n"
    )


def _recipe(recipe: dict[str, Any]) -> str:
    """Settings of a recipe that are not 0, false or empty, without the optimisers."""
    penalties = {f"penalties.{key}": value for key, value in recipe["penalties"].items()}
    if penalties.pop("penalties.every") > 1:
        penalties["penalties.every"] = recipe["penalties"]["every"]
    plain = {key: value for key, value in recipe.items() if not isinstance(value, dict)}
    return _format_settings({key: value for key, value in (plain | penalties).items() if value})


def _network(run: dict[str, Any], name: str) -> str:
    network, optimiser = run["model"][name], run["train"]["recipe"][name]
    return f"{name} {network['family']} of width {network['width']}, {_optimiser(optimiser)}"


def _optimiser(optimiser: dict[str, Any]) -> str:
    schedule = optimiser["schedule"]
    changing = schedule["shape"] != "constant" or schedule["warm_up"]
    settings = optimiser["arguments"] | (schedule if changing else {})
    details = f" ({_format_settings(settings)})" if settings else ""
    return f"{optimiser['optimiser']} at {optimiser['learning_rate']}{details}"


def _format_settings(settings: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in settings.items())
