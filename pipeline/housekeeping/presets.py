"""`gan params`: params.yaml with the settings of a preset, a file in preset_files/."""

import re
import sys
from itertools import takewhile
from pathlib import Path
from typing import Any

from gan.atomic import write_atomically
from gan.errors import GanError
from gan.params.file import parse_text, parse_yaml, read_text
from pipeline.console import tell
from pipeline.training.identity import flatten

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
        tell(f"{name:{width}}  {title}")


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
        tell(f"{out}: written")


def _text(name: str) -> str:
    return (PRESETS / f"{name}.yaml").read_text(encoding="utf-8")


def _head(preset: str) -> str:
    """The comment at the top, which describes the preset."""
    lines = preset.splitlines(keepends=True)
    return "".join(takewhile(lambda line: line.startswith("#"), lines))


def _merge(preset: str, before: str, params: Path) -> str:
    if not isinstance(parse_yaml(before, str(params)), dict):
        raise GanError(f"{params}: no sections in it; restore it from Git")
    settings: dict[str, Any] = parse_yaml(preset, "preset")
    text = before
    for section in REPLACED:
        # up to the next line that is not indented, without blank lines before that
        whole = re.compile(rf"^{section}:.*?(?=\n*(?:^\S|\Z))", re.MULTILINE | re.DOTALL)
        new = whole.findall(preset)[0]
        text = whole.sub(new.replace("\\", r"\\"), text)
    lines = text.splitlines()
    _set(lines, 0, "", {key: settings[key] for key in settings.keys() - REPLACED})
    text = "\n".join(lines).rstrip() + "\n"
    values = flatten(parse_yaml(text, str(params)))
    if any(values.get(key) != setting for key, setting in flatten(settings).items()):
        raise GanError(
            f"{params}: not a key on each line, indented by two spaces, as this command needs it; "
            "restore it from Git"
        )
    return text


def _set(lines: list[str], start: int, indent: str, settings: dict[str, Any]) -> None:
    """Put values on the lines of their keys, the comments where they were."""
    for key, value in settings.items():
        keys = (i for i, line in enumerate(lines) if line.startswith(f"{indent}{key}:"))
        place = next((i for i in keys if i >= start), len(lines) - 1)
        if isinstance(value, dict):
            _set(lines, place + 1, f"{indent}  ", value)
        else:
            old, comment = re.fullmatch(r"([^#]*)(.*)", lines[place]).groups()  # type: ignore[union-attr]
            lines[place] = f"{indent}{key}: {value}".ljust(len(old)) + comment
