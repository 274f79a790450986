"""The generator that MLflow loads: seeds in, avatars out.

Stands beside the weights as a copy, with the code it imports, so that it runs where this project
is not: whatever is imported here has to be among `pipeline.tracking.model.log_model.CODE`.
"""

import hashlib
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from gan.checkpoints import describe_checkpoint, load_generator
from gan.devices import choose_compute
from gan.sampling import generate, seed_latents, truncate_latents
from pipeline.pictures.contact_sheet import encode_png
from pipeline.pictures.png_lineage import make_text_chunks
from pipeline.tracking.model.request import Request, request


class Avatars:
    """A checkpoint's generator; the same seed gives the same pixels as `gan generate`."""

    def __init__(self, checkpoint: Path) -> None:
        """GanError if the file is no whole checkpoint."""
        self._generator, origin = load_generator(checkpoint)
        self._generator.to(choose_compute("auto", "float32").device)
        sha256 = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
        self._subject = describe_checkpoint(origin, sha256=sha256)
        self._one = threading.Lock()  # a server predicts in threads: together they'd be slower

    def predict(
        self, model_input: Any, params: Mapping[str, Any] | None = None
    ) -> NDArray[np.uint8] | list[bytes]:
        """Avatars as (n, size, size, 3) uint8, or as n PNG files that say where they are from.

        model_input, params: see `pipeline.tracking.model.request`. MlflowException, which a server
        answers as the caller's mistake, for what can't be had.
        """
        from mlflow.exceptions import MlflowException

        try:
            wanted = request(model_input, params or {})
        except ValueError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None
        images = self._images(wanted)
        return self._files(images, wanted) if wanted.output == "png" else images

    def _images(self, wanted: Request) -> NDArray[np.uint8]:
        latents = seed_latents(wanted.seeds, self._generator.latent_size)
        for value in set(wanted.truncations):
            rows = torch.tensor([each == value for each in wanted.truncations])
            latents[rows] = truncate_latents(latents[rows], value)
        size = self._generator.size
        images = np.empty((len(latents), size, size, 3), np.uint8)
        first = 0
        with self._one:
            for batch in generate(self._generator, latents) if wanted.seeds else ():
                images[first : first + len(batch)] = batch.permute(0, 2, 3, 1).numpy()
                first += len(batch)
        return images

    def _files(self, images: NDArray[np.uint8], wanted: Request) -> list[bytes]:
        rows = zip(images, wanted.seeds, wanted.truncations, strict=True)
        return [
            encode_png(
                Image.fromarray(image), make_text_chunks(self._subject, str(seed), truncation)
            )
            for image, seed, truncation in rows
        ]


def _load_pyfunc(path: str) -> Avatars:
    """What MLflow calls with the checkpoint's path."""
    return Avatars(Path(path))
