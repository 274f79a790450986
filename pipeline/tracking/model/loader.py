"""Generator that MLflow loads: seeds in, avatars out.

It is copied beside the weights with the code it imports, so that it runs where this project is not
installed: every import here has to be in `pipeline.tracking.model.log_model.CODE`.
"""

import hashlib
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, Field, ValidationError

from gan.checkpoints import describe_checkpoint, load_generator
from gan.devices import choose_compute
from gan.sampling import generate, seed_latents
from pipeline.pictures.contact_sheet import encode_png
from pipeline.pictures.png_lineage import make_text_chunks

MOST_SEEDS = 10_000

Seed = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
Truncation = Annotated[float, Field(strict=True, ge=0, le=1)]


class Request(BaseModel, frozen=True):
    """Requested avatars: a truncation for each seed."""

    seed: Annotated[list[Seed], Field(max_length=MOST_SEEDS)]
    truncation: list[Truncation]
    output: Literal["array", "png"]


def parse_request(model_input: Any, params: Mapping[str, Any]) -> Request:
    """Parse a table with `seed` and maybe `truncation`, or seeds alone (list, array).

    params: `truncation` for seeds that have none (1 if missing) and `output`, array or png.
    ValueError, in one line, for anything else.
    """
    tabular = hasattr(model_input, "columns") or isinstance(model_input, Mapping)
    if tabular and "seed" not in model_input:
        raise ValueError("the column `seed` is missing")
    seeds = _list_values(model_input["seed"] if tabular else model_input)
    truncations = [None] * len(seeds)
    if tabular and "truncation" in model_input:
        truncations = _list_values(model_input["truncation"])
    if len(truncations) != len(seeds):
        raise ValueError(f"{len(truncations)} truncations for {len(seeds)} seeds")
    usual = params.get("truncation", 1.0)
    try:
        return Request(
            seed=seeds,
            # a table has NaN where a row has none
            truncation=[usual if each is None or each != each else each for each in truncations],
            output=params.get("output", "array"),
        )
    except ValidationError as error:
        first = error.errors()[0]
        shown = "" if first["type"] == "too_long" else f" = {str(first['input'])[:40]!r}"
        raise ValueError(f"{first['loc'][0]}{shown}: {first['msg'].lower()}") from None


def _list_values(values: Any) -> list[Any]:
    """Python's own numbers from a column, a list or an array."""
    column = np.ravel(np.asarray(values, dtype=object))
    return [each.item() if isinstance(each, np.generic) else each for each in column]


class Avatars:
    """Generator of a checkpoint; the same seed gives the same pixels as `gan generate`."""

    def __init__(self, checkpoint: Path) -> None:
        """Load the checkpoint; GanError if the file is damaged."""
        self._generator, origin = load_generator(checkpoint)
        self._generator.to(choose_compute("auto", "float32").device)
        sha256 = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
        self._subject = describe_checkpoint(origin, sha256=sha256)
        self._lock = threading.Lock()  # a server predicts in threads: together they'd be slower

    def predict(
        self, model_input: Any, params: Mapping[str, Any] | None = None
    ) -> NDArray[np.uint8] | list[bytes]:
        """Draw avatars as (n, size, size, 3) uint8, or as n PNG files that carry their lineage.

        model_input, params: see `parse_request`. MlflowException for an invalid
        request, which a server answers with status 400.
        """
        from mlflow.exceptions import MlflowException

        try:
            request = parse_request(model_input, params or {})
        except ValueError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None
        images = self._images(request)
        if request.output == "array":
            return images
        files = []
        for image, seed, truncation in zip(images, request.seed, request.truncation, strict=True):
            about = make_text_chunks(self._subject, str(seed), truncation)
            files.append(encode_png(Image.fromarray(image), about))
        return files

    def _images(self, request: Request) -> NDArray[np.uint8]:
        latents = seed_latents(request.seed, self._generator.latent_size)
        size = self._generator.size
        images = np.empty((len(latents), size, size, 3), np.uint8)
        with self._lock:
            for value in set(request.truncation):
                same = torch.tensor([each == value for each in request.truncation])
                drawn = torch.cat(list(generate(self._generator, latents[same], value)))
                images[same.numpy()] = drawn.permute(0, 2, 3, 1).numpy()
        return images


def _load_pyfunc(path: str) -> Avatars:
    """Entry point of MLflow, called with the checkpoint's path."""
    return Avatars(Path(path))
