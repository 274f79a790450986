"""Checkpoint files: tensors and plain values only, so that loading one can run no code.

Two kinds in one format: `generator` (the averaged generator, to make avatars with) and `training`
(that and everything that training needs to go on).
"""

import io
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from gan.durable import write_atomically
from gan.errors import GanError
from gan.models.dcgan import Generator, build_generator
from gan.params import ModelParams

FORMAT = "avatar-gan checkpoint 1"


@dataclass(frozen=True)
class Origin:
    """Where weights come from: enough to build the network and to find its run and data."""

    model: dict[str, int]
    size: int
    images_seen: int
    run_key: str
    cache_digest: str
    name: str


def _canonical(value: Any) -> Any:
    """Equal plain values as equal objects: pickle tells one object named twice from two alike."""
    match value:
        case dict():
            return {_canonical(key): _canonical(each) for key, each in value.items()}
        case list():
            return [_canonical(each) for each in value]
        case tuple():
            return tuple([_canonical(each) for each in value])
        case str():
            return sys.intern(value)
    return value


def save_checkpoint(
    path: Path, origin: Origin, averaged: Generator, state: dict[str, Any] | None = None
) -> None:
    """Write the averaged generator and, for kind `training`, the whole state.

    Equal content gives equal bytes: torch.save to a path would write the file's name into it.
    """
    content = {
        "format": FORMAT,
        "kind": "generator" if state is None else "training",
        "origin": asdict(origin),
        "averaged": averaged.state_dict(),
        "state": state,
    }
    buffer = io.BytesIO()
    torch.save(_canonical(content), buffer)
    write_atomically(path, buffer.getvalue())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint to the CPU; GanError if it is absent, damaged or something else."""
    if not path.is_file():
        raise GanError(f"{path}: no such checkpoint file")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file raises whatever its bytes lead to
        reason = type(error).__name__
        raise GanError(f"{path}: not a checkpoint of gan, or damaged ({reason})") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise GanError(f"{path}: not a checkpoint of gan (expected format {FORMAT!r})")
    return content


def load_generator(path: Path) -> tuple[Generator, Origin]:
    """The averaged generator of either kind of checkpoint, in eval mode on the CPU."""
    content = load_checkpoint(path)
    try:
        origin = Origin(**content["origin"])
        generator = build_generator(ModelParams(**origin.model), origin.size)
        generator.load_state_dict(content["averaged"])
    except (AttributeError, TypeError, KeyError, ValueError, RuntimeError):
        raise GanError(f"{path}: its weights and its description do not agree") from None
    return generator.eval(), origin
