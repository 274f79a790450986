"""Start and end of a training in logs/runs/<run key>.json, which outs must not hold."""

import json
import time

from gan.atomic import write_atomically
from pipeline.paths import Paths
from pipeline.tracking.run_folder.folder import runs_folder

FORMAT = "%Y-%m-%d %H:%M:%S"


def begin(paths: Paths, run_key: str) -> None:
    """Write the start; a training that resumes after a kill keeps its first one."""
    times = read(paths, run_key)
    if not times or "finished" in times:
        _write(paths, run_key, {"run_key": run_key, "started": time.strftime(FORMAT)})


def finish(paths: Paths, run_key: str) -> None:
    """Write the end."""
    _write(paths, run_key, read(paths, run_key) | {"finished": time.strftime(FORMAT)})


def read(paths: Paths, run_key: str) -> dict[str, str]:
    """Read the times of a run, by its key or the key's beginning; {} if it ran elsewhere."""
    for path in sorted(runs_folder(paths).glob(f"{run_key}*.json")):
        times: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
        return times
    return {}


def parse(text: str) -> int:
    """Milliseconds since 1970 of a time."""
    return int(time.mktime(time.strptime(text, FORMAT)) * 1000)


def minutes(times: dict[str, str]) -> float | None:
    """Minutes from start to end, pauses included; None if it has not ended here."""
    if "finished" not in times:
        return None
    return round((parse(times["finished"]) - parse(times["started"])) / 60_000, 1)


def _write(paths: Paths, run_key: str, times: dict[str, str]) -> None:
    path = runs_folder(paths) / f"{run_key}.json"
    write_atomically(path, json.dumps(times, indent=1) + "\n")
