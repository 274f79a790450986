"""`gan params`: params.yaml with the settings of a preset, a file in preset_files/."""

import sys
from io import StringIO
from itertools import takewhile
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from gan.atomic import write_atomically
from gan.errors import GanError
from gan.params.file import parse_text, read_text

PRESETS = Path(__file__).resolve().parent / "preset_files"

REPLACED = ("model", "train")
"""Sections that a preset replaces, comments included; in others it sets single keys."""


def names() -> list[str]:
    """Names of all presets."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def show() -> None:
    """Print name and title of each preset."""
    width = max(map(len, names()))
    for name in names():
        title = _head(_text(name)).splitlines()[0].removeprefix(f"# {name}: ")
        sys.stdout.write(f"{name:{width}}  {title}\n")


def compose(name: str, params: Path) -> str:
    """Text of params.yaml with the preset's settings and comments.

    GanError if there is no such preset, or if the result is not valid.
    """
    if name not in names():
        raise GanError(f"--preset {name}: no such preset; choose one of {', '.join(names())}")
    before = read_text(params)
    if not before.strip():
        raise GanError(
            f"{params}: empty; if `>` has just emptied it, restore it from Git and use "
            f"--out {params}"
        )
    for other in names():  # the file may have been made from one
        before = before.removeprefix(f"{_head(_text(other))}\n")
    text = f"{_head(_text(name))}\n{_merge(_text(name), before, params)}"
    parse_text(text, f"{params} with preset {name}")
    return text


def write(text: str, out: Path | None) -> None:
    """Write the text to the file `out`, atomically, or to stdout."""
    if out is None:
        sys.stdout.write(text)
    else:
        write_atomically(out, text.encode())
        sys.stdout.write(f"{out}: written\n")


def _text(name: str) -> str:
    return (PRESETS / f"{name}.yaml").read_text(encoding="utf-8")


def _head(preset: str) -> str:
    """The comment at the top, which describes the preset."""
    lines = preset.splitlines(keepends=True)
    return "".join(takewhile(lambda line: line.startswith("#"), lines))


def _merge(preset: str, before: str, params: Path) -> str:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096  # lines are broken where they were
    try:
        values = yaml.load(before)
    except (YAMLError, ValueError) as error:
        problem = " ".join(str(error).split())
        raise GanError(f"{params}: not valid YAML: {problem}") from None
    if not isinstance(values, dict):
        raise GanError(f"{params}: no sections in it; restore it from Git")
    for section, settings in yaml.load(preset).items():
        if section in REPLACED:
            values[section] = settings
        else:
            _set(values, section, settings)
    after = StringIO()
    yaml.dump(values, after)
    return after.getvalue()


def _set(section: dict[str, Any], key: str, value: Any) -> None:
    if isinstance(value, dict) and isinstance(section.get(key), dict):
        for inner, setting in value.items():
            _set(section[key], inner, setting)
    else:
        section[key] = value
