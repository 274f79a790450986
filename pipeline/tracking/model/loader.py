"""Generator that MLflow loads: seeds in, avatars out.

It is copied beside the weights with the code it imports, so that it runs where this project is not
installed: every import here has to be in `pipeline.tracking.model.log_model.CODE`.
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
from pipeline.tracking.model.request import Request, parse_request


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

        model_input, params: see `pipeline.tracking.model.request`. MlflowException for an invalid
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
        for value in set(request.truncation):
            same = torch.tensor([each == value for each in request.truncation])
            latents[same] = truncate_latents(latents[same], value)
        size = self._generator.size
        images = np.empty((len(latents), size, size, 3), np.uint8)
        first = 0
        with self._lock:
            for batch in generate(self._generator, latents) if request.seed else ():
                images[first : first + len(batch)] = batch.permute(0, 2, 3, 1).numpy()
                first += len(batch)
        return images


def _load_pyfunc(path: str) -> Avatars:
    """Entry point of MLflow, called with the checkpoint's path."""
    return Avatars(Path(path))
