"""A network of the user's own as a feature extractor: a TorchScript file.

The file's module is called with images (N, 3, H, W) uint8 of any N, H and W, and returns features
(N, D) float; resizing and scaling are its own business. If it has a method `logits`, that is
called with features and returns class logits (N, C). An image's features must not depend on the
images beside it, nor on chance.
"""

import hashlib
import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.jit import optimized_execution  # type: ignore[attr-defined]

from gan.errors import GanError
from gan.features.extractor import Precision, exact_inference, extract_in_parts
from gan.randomness import uniform

TRIAL_SIDE = 64
TRIAL_IMAGES = 3
ALIKE = 1e-3
"""Relative; rounding is far below, and a network that looks at its neighbours is far above."""


class TorchScriptExtractor:
    """Features by a user's TorchScript file, called `script_<first 8 digits of its sha256>`."""

    def __init__(
        self,
        file: Path,
        device: torch.device,
        precision: Precision = "float32",
        batch_size: int = 64,
    ) -> None:
        """Read `file` and try it on three pictures; GanError if it does not keep the contract."""
        content = _content(file)
        sha256 = hashlib.sha256(content).hexdigest()
        self.name = f"script_{sha256[:8]}"
        self.precision = precision
        self.protocol = f"TorchScript file {sha256[:8]}: uint8 as it is"
        self.digest = hashlib.sha256(f"{sha256} {self.protocol} {precision}".encode()).hexdigest()
        self._file, self._device, self._batch_size = file, device, batch_size
        self._module = _module(file, content, device)
        self._has_logits = hasattr(self._module, "logits")
        self.dimensions = 0  # not known yet
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
            given = features.to(self._device)
            return self._numbers(self._module.logits, given, "logits").cpu()

    def _features(self, images: Tensor) -> Tensor:
        found = self._numbers(self._module, images, "features")
        if self.dimensions not in (0, found.shape[1]):
            raise self._refusal(
                f"features of {_shape(images)} are {_shape(found)}, but of a trial picture they "
                f"have {self.dimensions} numbers; resize pictures in the module"
            )
        return found

    def _numbers(self, function: Callable[[Tensor], Any], given: Tensor, what: str) -> Tensor:
        try:
            with optimized_execution(False):  # else the third call differs in rounding
                found = function(given)
        except Exception as error:
            raise self._refusal(f"{what} of {_shape(given)} fail: {_problem(error)}") from None
        if not _is_table(found, len(given)):
            raise self._refusal(
                f"{what} of {_shape(given)} are {_shape(found)}, not floats ({len(given)}, n)"
            )
        numbers: Tensor = found.float()
        return numbers

    def _try_out(self) -> int:
        """Length of a feature vector, if features are what they must be."""
        images = _trial_images()
        together = self(images)
        self._require_finite("features", together)
        alone = torch.cat([self(image[None]) for image in images])
        if not torch.allclose(alone, together, rtol=0, atol=ALIKE * float(together.abs().max())):
            raise self._refusal(
                "features of an image change with the images beside it, or by chance; export the "
                "module in evaluation mode"
            )
        logits = self.logits(together)
        if logits is not None:
            self._require_finite("logits", logits)
        return together.shape[1]

    def _require_finite(self, what: str, numbers: Tensor) -> None:
        if not torch.isfinite(numbers).all():
            raise self._refusal(f"{what} of a trial picture are not finite")

    def _refusal(self, problem: str) -> GanError:
        return GanError(f"{self._file}: not usable as an extractor: {problem}")


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise GanError(f"{file}: cannot be read: {error.strerror}") from None


def _module(file: Path, content: bytes, device: torch.device) -> Any:
    """The module, in evaluation mode, on `device`, with what never changes computed once."""
    try:
        with _no_warnings():
            load: Any = torch.jit.load
            module = load(io.BytesIO(content), map_location=device).eval()
            kept = ["logits"] if hasattr(module, "logits") else []
            return torch.jit.freeze(module, preserved_attrs=kept)
    except Exception as error:
        raise GanError(
            f"{file}: not a TorchScript file (of torch.jit.save): {_problem(error)}"
        ) from None


@contextmanager
def _no_warnings() -> Iterator[None]:
    """TorchScript is no longer developed, which does not matter to those who have such files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=FutureWarning)
        warnings.simplefilter("ignore", category=DeprecationWarning)
        yield


def _trial_images() -> Tensor:
    """A few pictures of noise, from dark to bright: (3, 3, 64, 64) uint8."""
    width = 3 * TRIAL_SIDE * TRIAL_SIDE
    noise = uniform(0, "trial images", torch.arange(TRIAL_IMAGES), width)
    brightness = torch.linspace(0.3, 1.0, TRIAL_IMAGES)[:, None]
    levels = (noise * brightness * 255).round().to(torch.uint8)
    return levels.reshape(TRIAL_IMAGES, 3, TRIAL_SIDE, TRIAL_SIDE)


def _is_table(found: object, rows: int) -> bool:
    return (
        isinstance(found, Tensor)
        and found.is_floating_point()
        and found.ndim == 2
        and found.shape[0] == rows
        and found.shape[1] > 0
    )


def _shape(found: object) -> str:
    if not isinstance(found, Tensor):
        return f"a {type(found).__name__}"
    return f"{str(found.dtype).removeprefix('torch.')} {tuple(found.shape)}"


def _problem(error: Exception) -> str:
    """One line; where TorchScript puts its own traceback before the reason, the last one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return lines[-1] if "TorchScript interpreter" in lines[0] else lines[0]
