"""`gan params`: params.yaml with the settings of a preset, a file in preset_files/, or with the
keys of this version."""

import sys
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml

from gan.atomic import write_atomically
from gan.errors import GanError
from gan.params.file import keys_of, parse_params, parse_yaml, read_text
from pipeline.console import tell
from pipeline.housekeeping.yaml_text import in_one_line, insert, remove, replace, value_at

PRESETS = Path(__file__).resolve().parent / "preset_files"

SHIPPED = "demo"
"""Preset that is the whole of the shipped params.yaml."""

METRICS = ("evaluate", "metrics")

REPLACED = (
    *(("model",), ("train",), ("preprocess", "size"), ("preprocess", "faces", "min_side")),
    *(("preprocess", "filters", "min_side"), ("preprocess", "filters", "min_sharpness")),
)
"""Keys that a preset replaces: the networks, the training, and what goes with the size."""

GONE = {
    "schedule.begin": "schedule.hold = begin / train.images",
    "schedule.end": "train.images: the schedule ends with the training",
    "model.generator_width": "model.generator.width",
    "model.discriminator_width": "model.discriminator.width",
    "train.average_images": "train.average.half_life",
    "train.bce": "train.recipes.bce",
    "train.wgan_gp": "train.recipes.wgan_gp",
    "train.hinge": "train.recipes.hinge",
    "evaluate.batch_size": "features.batch_size",
    "evaluate.inception_sha256": "features.inception_sha256",
    "evaluate.report_seed": "evaluate.report_seeds",
}
"""Ends of keys that earlier versions had, and what replaces them."""


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
    preset = _text(name)
    text, values, settings = before, parse_yaml(before, str(params)), parse_yaml(preset, name)
    try:
        for keys in REPLACED:
            value_at(values, keys[:-1])[keys[-1]] = value = value_at(settings, keys)
            text = replace(text, keys, preset, value)
    except (KeyError, TypeError, yaml.YAMLError):
        raise GanError(
            f"{params}: {'.'.join(keys)} is not on lines of its own; `gan params --update` writes "
            "missing keys in"
        ) from None
    _check(text, values, f"{params} with preset {name}")
    return f"{_head(preset)}\n{text}"


def update(params: Path, out: Path | None) -> None:
    """Write the keys that are missing into a params.yaml, and remove those that are gone.

    Says each on a line, and on one the metrics that it lacks: they are not added, since the list
    may be short on purpose. GanError, with nothing written, if the file has other mistakes.
    """
    text, shipped = read_text(params), _text(SHIPPED)
    values, settings = parse_yaml(text, str(params)), parse_yaml(shipped, SHIPPED)
    lines = []
    try:
        while missing := keys_of("missing", values):
            keys, name = missing[0], ".".join(missing[0])
            value_at(values, keys[:-1])[keys[-1]] = value = value_at(settings, keys)
            text = insert(text, keys, shipped, value)
            lines.append(f"added {name}")
        while unknown := keys_of("extra_forbidden", values):
            keys, name = unknown[0], ".".join(unknown[0])
            text = remove(text, keys)
            old = in_one_line({name: value_at(values, keys[:-1]).pop(keys[-1])})
            new = next((new for end, new in GONE.items() if name.endswith(end)), "nothing")
            lines.append(f"removed {old}, replaced by {new}")
    except (KeyError, yaml.YAMLError):
        raise GanError(f"{params}: {name} or its section is not written out; do that") from None
    _check(text, values, str(params))
    if lines:
        for line in lines:
            tell(line)
        write(text, out or params)
    else:
        tell(f"{params}: no key is missing or gone; nothing written")
    own = value_at(values, METRICS)
    if absent := [each for each in value_at(settings, METRICS) if each not in own]:
        tell(
            f"{'.'.join(METRICS)}: without {', '.join(absent)}, which the shipped params.yaml has"
        )


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


def _check(text: str, values: Any, source: str) -> None:
    """GanError if the values are not valid, or if the text, which was edited, has other ones."""
    parse_params(values, source)
    if parse_yaml(text, source) != values:
        raise GanError(f"{source}: not a key on each line; write it like the shipped params.yaml")
