"""source.yaml: the source of the dataset in data/, as people and DVC read it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from gan.atomic import write_atomically
from gan.errors import GanError

EMBEDDED = "embedded"
"""`source` of a dataset drawn by this repository's own gallery."""

HEADER = "# The source of the dataset in data/; written by `gan scrape`.\n"


def read_source(path: Path) -> dict[str, Any]:
    """The content of source.yaml; GanError where there is none or it isn't one."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GanError(
            f"{path}: no such file; `git checkout` it or `gan scrape --source …`"
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise GanError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict) or "source" not in values:
        raise GanError(f"{path}: must say `source:`")
    return values


def write_source(path: Path, description: dict[str, Any]) -> None:
    """Write source.yaml; a file that says the same already keeps its comments."""
    try:
        if read_source(path) == description:
            return
    except GanError:
        pass
    text = yaml.safe_dump(description, sort_keys=False, allow_unicode=True)
    write_atomically(path, HEADER + text)


def is_embedded(description: Mapping[str, Any]) -> bool:
    """True where a source.yaml names the embedded gallery, which can be drawn again any time."""
    return description.get("source") == EMBEDDED
