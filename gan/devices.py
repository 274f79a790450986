"""Which device and precision a run uses, and how a block of code gets them."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from gan.errors import GanError
from gan.params import Device, Precision


@dataclass(frozen=True)
class Compute:
    """A device and the precision of its convolutions; parameters are float32 in any case."""

    device: torch.device
    bf16: bool

    @property
    def precision(self) -> str:
        return "bf16" if self.bf16 else "float32"

    def autocast(self) -> AbstractContextManager[object]:
        """Run a block in the chosen precision."""
        if not self.bf16:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)


def _has_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is done by hardware; emulation is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    if device.type == "cpu":
        features = torch.cpu.get_capabilities()
        return bool(features.get("avx512_bf16") or features.get("amx_bf16"))
    return False


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def choose(device: Device, precision: Precision) -> Compute:
    """Resolve `auto`; GanError if the device that is asked for is not there."""
    kind = _best_device() if device == "auto" else device
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not available[kind]:
        raise GanError(f"train.device = {device}: there is none here; use auto or cpu")
    chosen = torch.device(kind)
    return Compute(chosen, _has_bf16(chosen) if precision == "auto" else precision == "bf16")
