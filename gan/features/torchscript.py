"""A user's TorchScript file as a feature extractor.

Its module takes images (N, 3, H, W) uint8 of any N, H and W, resizes and scales them itself, and
returns features (N, D) float. An optional method `logits` takes features and returns class logits
(N, C). An image's features must not depend on the images beside it, nor be random.
"""

import hashlib
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.jit import optimized_execution  # type: ignore[attr-defined]

from gan.errors import GanError
from gan.features.extractor import Precision, exact_inference, extract_in_parts, read_weights
from gan.randomness import uniform

TRIAL_SIDE = 64
TRIAL_IMAGES = 3
TOLERANCE = 1e-3
"""Relative; rounding is far below it, the influence of other images in the batch far above."""


class TorchScriptExtractor:
    """Features by a user's TorchScript file, named `script_<first 8 digits of its sha256>`."""

    def __init__(
        self,
        file: Path,
        device: torch.device,
        precision: Precision = "float32",
        batch_size: int = 64,
    ) -> None:
        """Read `file` and try it on three pictures; GanError if it breaks the contract."""
        content = read_weights(file)
        sha256 = hashlib.sha256(content).hexdigest()
        self.name = f"script_{sha256[:8]}"
        self.precision = precision
        self.protocol = f"TorchScript file {sha256[:8]}: uint8 as it is"
        self.digest = hashlib.sha256(f"{sha256} {self.protocol} {precision}".encode()).hexdigest()
        self._file, self._device, self._batch_size = file, device, batch_size
        self._module = _module(file, content, device)
        self._has_logits = hasattr(self._module, "logits")
        self.dimensions = 0  # unknown until the trial
        self.dimensions = self._try_out()

    def __call__(self, images: Tensor) -> Tensor:
        """Features (N, D) float32 of images (N, 3, H, W) uint8."""
        with exact_inference(self._device, self.precision):
            return extract_in_parts(self._features, images, self._device, self._batch_size)

    def logits(self, features: Tensor) -> Tensor | None:
        """Logits (N, C) by the file's method of that name, or None if it has none."""
        if not self._has_logits:
            return None
        with exact_inference(self._device):
            return self._call(self._module.logits, features.to(self._device), "logits").cpu()

    def _features(self, images: Tensor) -> Tensor:
        features = self._call(self._module, images, "features")
        if self.dimensions not in (0, features.shape[1]):
            raise self._refusal(
                f"features of {_describe(images)} are {_describe(features)}, but a trial picture "
                f"has {self.dimensions} features; resize pictures in the module"
            )
        return features

    def _call(self, function: Callable[[Tensor], Any], inputs: Tensor, name: str) -> Tensor:
        """Call a method of the module; GanError unless it returns floats (N, n)."""
        try:
            with optimized_execution(False):  # else the third call differs in rounding
                result = function(inputs)
        except Exception as error:
            raise self._refusal(f"{name} of {_describe(inputs)} fail: {_reason(error)}") from None
        if not _is_table(result, len(inputs)):
            raise self._refusal(
                f"{name} of {_describe(inputs)} are {_describe(result)}, "
                f"not floats ({len(inputs)}, n)"
            )
        floats: Tensor = result.float()
        return floats

    def _try_out(self) -> int:
        """Length of a feature vector; GanError if features or logits break the contract."""
        images = _trial_images()
        batched = self(images)
        self._require_finite("features", batched)
        single = torch.cat([self(image[None]) for image in images])
        if not torch.allclose(
            single, batched, rtol=0, atol=TOLERANCE * float(batched.abs().max())
        ):
            raise self._refusal(
                "features of an image are random or change with the images beside it; export the "
                "module in eval mode"
            )
        logits = self.logits(batched)
        if logits is not None:
            self._require_finite("logits", logits)
        return batched.shape[1]

    def _require_finite(self, name: str, values: Tensor) -> None:
        if not torch.isfinite(values).all():
            raise self._refusal(f"{name} of a trial picture are not finite")

    def _refusal(self, problem: str) -> GanError:
        return GanError(f"{self._file}: not usable as a feature extractor: {problem}")


def _module(file: Path, content: bytes, device: torch.device) -> Any:
    """Load the module in eval mode onto `device`, with constants folded."""
    try:
        with warnings.catch_warnings(action="ignore"):  # TorchScript is deprecated
            load: Any = torch.jit.load
            module = load(io.BytesIO(content), map_location=device).eval()
            kept = ["logits"] if hasattr(module, "logits") else []
            return torch.jit.freeze(module, preserved_attrs=kept)
    except Exception as error:
        raise GanError(
            f"{file}: not a TorchScript file, as torch.jit.save writes it: {_reason(error)}"
        ) from None


def _trial_images() -> Tensor:
    """Three pictures of noise, from dark to bright: (3, 3, 64, 64) uint8."""
    width = 3 * TRIAL_SIDE * TRIAL_SIDE
    noise = uniform(0, "trial images", torch.arange(TRIAL_IMAGES), width)
    brightness = torch.linspace(0.3, 1.0, TRIAL_IMAGES)[:, None]
    levels = (noise * brightness * 255).round().to(torch.uint8)
    return levels.reshape(TRIAL_IMAGES, 3, TRIAL_SIDE, TRIAL_SIDE)


def _is_table(result: object, rows: int) -> bool:
    return (
        isinstance(result, Tensor)
        and result.is_floating_point()
        and result.ndim == 2
        and result.shape[0] == rows
        and result.shape[1] > 0
    )


def _describe(result: object) -> str:
    if not isinstance(result, Tensor):
        return f"a {type(result).__name__}"
    return f"{str(result.dtype).removeprefix('torch.')} {tuple(result.shape)}"


def _reason(error: Exception) -> str:
    """First line of an error; the last one where TorchScript puts a traceback before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return lines[-1] if "TorchScript interpreter" in lines[0] else lines[0]
