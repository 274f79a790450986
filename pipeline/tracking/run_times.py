"""logs/runs/<run key>.json: when a training ran, which artefacts must not hold."""

import json
import time

from gan.atomic import write_atomically
from pipeline.paths import Paths

FORMAT = "%Y-%m-%d %H:%M:%S"


def begin(paths: Paths, run_key: str) -> None:
    """Note the start; a training that goes on after a kill keeps its first one."""
    noted = read(paths, run_key)
    if not noted or "finished" in noted:
        _write(paths, run_key, {"run_key": run_key, "started": time.strftime(FORMAT)})


def finish(paths: Paths, run_key: str) -> None:
    """Note the end."""
    _write(paths, run_key, read(paths, run_key) | {"finished": time.strftime(FORMAT)})


def read(paths: Paths, run_key: str) -> dict[str, str]:
    """What is noted of a run, by its key or the key's beginning; empty if it ran elsewhere."""
    for path in sorted((paths.main_root / "logs" / "runs").glob(f"{run_key}*.json")):
        noted: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
        return noted
    return {}


def minutes(noted: dict[str, str]) -> float | None:
    """Minutes from start to end by the clock, pauses included; None if it has not ended here."""
    if "finished" not in noted:
        return None
    began, ended = (
        time.mktime(time.strptime(noted[key], FORMAT)) for key in ("started", "finished")
    )
    return round((ended - began) / 60, 1)


def _write(paths: Paths, run_key: str, noted: dict[str, str]) -> None:
    path = paths.main_root / "logs" / "runs" / f"{run_key}.json"
    write_atomically(path, (json.dumps(noted, indent=1) + "\n").encode())
