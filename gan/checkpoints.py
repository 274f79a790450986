"""Checkpoint files: tensors and plain values only, so that loading one can run no code.

There are two kinds in one format: `generator` holds the averaged generator, `training` also the
state that a training resumes from. Each holds the sha256 of its own content.
"""

import hashlib
import io
import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan.atomic import write_atomically
from gan.errors import GanError
from gan.models.interfaces import Generator, build_generator
from gan.params.model import ModelParams

FORMAT = "avatar-gan checkpoint 4"
# 2 had no lineage, 3 no mean of the generator's first layer
READABLE_FORMATS = (FORMAT, "avatar-gan checkpoint 3", "avatar-gan checkpoint 2")

LATER_PARAMS: dict[str, dict[str, Any]] = {
    "generator": {"self_modulation": False},
    "discriminator": {},
}
"""Params of the networks that older checkpoints lack, with the values that mean 'as before'."""

GONE_PARAMS = ("blocks",)
"""Params of both networks that older checkpoints have; there was only one value to choose."""

GONE_FAMILIES = {"upsample": "0.1.0", "resnet": "0.1.0"}
"""Families that were removed, with the last version that reads their checkpoints."""


class DamagedError(GanError):
    """The content of a checkpoint file is not what was written."""


@dataclass(frozen=True)
class Origin:
    """Origin of the weights: what builds the network again and finds its run and data.

    lineage: plain values: `decided`, which the run key is the digest of, and the sources of the
    data; empty in checkpoints of format 2.
    """

    model: dict[str, Any]
    size: int
    images_seen: int
    run_key: str
    cache_digest: str
    name: str
    lineage: dict[str, Any] = field(default_factory=dict)


def describe_checkpoint(origin: Origin, weights: str = "averaged", **more: Any) -> dict[str, Any]:
    """Describe a checkpoint in plain values, for results and pictures."""
    own = {key: getattr(origin, key) for key in ("name", "size", "images_seen", "run_key")}
    about = {"weights": weights, "trained_on": origin.cache_digest, "lineage": origin.lineage}
    return own | about | more


def _canonical(value: Any) -> Any:
    """Copy plain values so that equal ones pickle equally: pickle stores an object only once."""
    match value:
        case dict():
            return {_canonical(key): _canonical(each) for key, each in value.items()}
        case list() | tuple():
            return type(value)([_canonical(each) for each in value])
        case str():
            return sys.intern(value)
    return value


def content_digest(content: dict[str, Any]) -> str:
    """sha256 (64 hex digits) of all bits of nested plain values and tensors."""
    digest = hashlib.sha256()
    _hash(digest, {key: value for key, value in content.items() if key != "sha256"})
    return digest.hexdigest()


def _hash(digest: "hashlib._Hash", value: Any) -> None:
    match value:
        case Tensor():
            digest.update(f"tensor {value.dtype} {tuple(value.shape)} ".encode())
            flat = value.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy().data)
        case dict():
            digest.update(f"dict {len(value)} ".encode())
            for key, each in value.items():
                _hash(digest, key)
                _hash(digest, each)
        case list() | tuple():
            digest.update(f"{type(value).__name__} {len(value)} ".encode())
            for each in value:
                _hash(digest, each)
        case _:
            digest.update(f"{type(value).__name__} {value!r} ".encode())


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
    content["sha256"] = content_digest(content)
    buffer = io.BytesIO()
    torch.save(_canonical(content), buffer)
    write_atomically(path, buffer.getvalue())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Load a checkpoint onto the CPU; GanError if it is absent, damaged or another file."""
    if not path.is_file():
        raise GanError(f"{path}: no such checkpoint file")
    try:
        stored = path.read_bytes()  # separately: torch reports a cut file as an OSError too
    except OSError as error:
        raise GanError(f"{path}: cannot be read: {error.strerror or error}") from None
    try:
        content = torch.load(io.BytesIO(stored), map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # damaged files raise all kinds of errors
        reason = type(error).__name__
        raise DamagedError(f"{path}: not a checkpoint of gan, or damaged ({reason})") from None
    if not isinstance(content, dict) or content.get("format") not in READABLE_FORMATS:
        raise GanError(f"{path}: not a checkpoint of gan (expected format {FORMAT!r})")
    if content.get("sha256") != content_digest(content):
        raise DamagedError(f"{path}: damaged checkpoint: its content does not match its sha256")
    return content


def read_origin(path: Path, content: dict[str, Any]) -> Origin:
    """Origin in a checkpoint's content, with the params of this version.

    That is with LATER_PARAMS, and without GONE_PARAMS. GanError if a family has gone.
    """
    origin = Origin(**content["origin"])
    model = dict(origin.model)
    for network, later in LATER_PARAMS.items():
        recorded = {key: model[network][key] for key in model[network] if key not in GONE_PARAMS}
        missing = {key: value for key, value in later.items() if key not in recorded}
        params = model[network] = recorded | missing  # in this order: bytes depend on it
        if version := GONE_FAMILIES.get(params["family"]):
            raise GanError(
                f"{path}: its {network} is of family {params['family']!r}, which has gone; version"
                f" {version} was the last one that reads it"
            )
    return replace(origin, model=model)


def load_generator(path: Path, raw: bool = False) -> tuple[Generator, Origin]:
    """Load the averaged generator of either kind of checkpoint, in eval mode, onto the CPU.

    raw: the trained one instead, which only the kind `training` holds. Raises GanError for a file
    that is not a complete checkpoint, or whose weights are not finite.
    """
    content = load_checkpoint(path)
    if raw and content["state"] is None:
        raise GanError(
            f"{path}: holds only the averaged generator; models/final.pt has the raw one too"
        )
    try:
        origin = read_origin(path, content)
        generator = build_generator(ModelParams.model_validate(origin.model), origin.size)
        generator.load_state_dict(content["state"]["generator"] if raw else content["averaged"])
    except (AttributeError, TypeError, KeyError, ValueError, RuntimeError):
        raise GanError(f"{path}: its weights do not fit its model params") from None
    if not all(bool(each.isfinite().all()) for each in generator.state_dict().values()):
        raise GanError(
            f"{path}: its weights are not finite (NaN or infinite), the training has diverged; "
            "take an earlier snapshot"
        )
    generator.eval()
    if raw:  # training measures the averaged one's mean only
        generator.measure_mean()
    return generator, origin
