"""`gan summary`: results of the last run."""

import json

from rich.console import Console
from rich.table import Table

from gan.errors import GanError
from pipeline.features.inception_file import weights_file
from pipeline.paths import Paths
from pipeline.tracking import run_times


def run(paths: Paths) -> None:
    """Print metrics, run key, times, paths of pictures and report, and how to open the UI."""
    file = paths.reports / "metrics.json"
    try:
        metrics = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GanError(f"{file}: nothing evaluated yet; `dvc repro` does it") from None
    except (ValueError, OSError):
        raise GanError(f"{file}: damaged; `gan evaluate` writes it anew") from None
    table = Table(title="This run", show_header=False)
    table.add_row("run key", str(metrics.get("run_key", "?")))
    times = run_times.read(paths, str(metrics.get("run_key") or "none"))
    table.add_row("started", times.get("started", "not on this machine"))
    table.add_row("finished", times.get("finished", "-"))
    deviations = metrics.get("deviation", {})
    for key, value in metrics.items():
        if isinstance(value, int | float):
            spread = f" ± {deviations[key]:,}" if key in deviations else ""
            table.add_row(key, f"{value:,}{spread}")
    if not any(key.startswith(("fid_", "fd_inception_")) for key in metrics):
        there = weights_file(paths).exists()
        why = "the page below says why" if there else "no Inception weights (gan weights --help)"
        table.add_row("fid", f"missing: {why}")
    console = Console()
    console.print(table)
    for name in ("best.png", "samples.png"):
        console.print(f"avatars: {paths.reports / name}", soft_wrap=True)
    page = paths.reports / "report.html"
    console.print(f"all metrics, explained: {page}", soft_wrap=True)
    console.print("compare runs: gan ui   (in the .venv: . .venv/bin/activate)")
