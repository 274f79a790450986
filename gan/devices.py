"""Choice of device and precision, and the contexts that apply them."""

import ctypes
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch.amp import GradScaler

from gan.errors import GanError
from gan.params.train import Device, Precision

Exact = Literal["float64", "float32", "bf16", "fp16"]
"""A precision after `auto` has been resolved."""

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h

HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Compute:
    """A device and a precision; bf16 and fp16 are of convolutions and matrix products only."""

    device: torch.device
    precision: Exact

    @property
    def dtype(self) -> torch.dtype:
        """Type of parameters and pixels; autocast casts to bf16 or fp16 where it is used."""
        return torch.float64 if self.precision == "float64" else torch.float32

    def autocast(self) -> AbstractContextManager[object]:
        """Run a block in the chosen precision."""
        if self.precision not in HALVES:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=HALVES[self.precision])

    def double_backward(self) -> AbstractContextManager[object]:
        """Double-backward context: `autocast`, but float32 in place of fp16, which overflows."""
        if self.precision == "fp16":
            return torch.autocast(self.device.type, enabled=False)
        return self.autocast()

    def scaler(self) -> GradScaler:
        """Gradient scaler for fp16, whose small gradients would vanish; disabled otherwise."""
        return GradScaler(self.device.type, enabled=self.precision == "fp16")


def choose_compute(device: Device, precision: Precision) -> Compute:
    """Resolve `auto`, and the GPU of this process under torchrun.

    Raises GanError for a device that is absent or does not support the precision.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    kind = next(each for each in available if available[each]) if device == "auto" else device
    if not available[kind]:
        raise GanError(f"train.device = {device}: this machine has none; use auto or cpu")
    chosen = _own_gpu() if kind == "cuda" else torch.device(kind)
    if chosen.type == "mps" and precision == "float64":
        raise GanError(
            "train.precision = float64: Apple's GPUs don't support it; use float32, or "
            "train.device: cpu"
        )
    return Compute(chosen, _fastest(chosen) if precision == "auto" else precision)


def _own_gpu() -> torch.device:
    """This process's GPU by torchrun's LOCAL_RANK, made the current device."""
    rank, count = os.environ.get("LOCAL_RANK", "0"), torch.cuda.device_count()
    if not (rank.isascii() and rank.isdigit() and int(rank) < count):
        raise GanError(
            f"LOCAL_RANK={rank}: no such GPU, this machine has 0 to {count - 1}; start one "
            f"process a GPU (torchrun --nproc-per-node {count})"
        )
    device = torch.device("cuda", int(rank))
    torch.cuda.set_device(device)
    return device


def _fastest(device: torch.device) -> Exact:
    """The narrowest precision that the hardware supports; emulation is slower than float32."""
    if device.type == "cuda":
        generation = torch.cuda.get_device_capability(device)[0]
        return "bf16" if generation >= 8 else "fp16" if generation == 7 else "float32"
    # a processor with AMX has AVX-512 for bf16 too
    native = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return "bf16" if native else "float32"


@contextmanager
def fast_training(device: torch.device) -> Iterator[None]:
    """Context with the settings that make training fast.

    On CUDA: TF32, and cuDNN's benchmark for the fastest convolutions. Both are restored at the
    end, since evaluation must have neither. Convolutions use TF32 anyway unless it is forbidden;
    for matrix products the one switch is used that torch's old and new settings of TF32 both
    follow, since reading a mixture of these is an error. On a CPU: the process keeps the memory
    that a step frees for the next one; this is not undone.
    """
    if device.type == "cpu":
        _keep_freed_memory()
    if device.type != "cuda":
        yield
        return
    precision, benchmark = torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.benchmark = benchmark


def _keep_freed_memory() -> None:
    """Let glibc keep freed blocks: each step allocates the same again, and new pages cost time."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)  # a block with its own mapping is unmapped when freed
        mallopt(M_TRIM_THRESHOLD, -1)  # nor is the end of the heap returned


def peak_memory(device: torch.device) -> int:
    """Peak memory of the device that this process has used so far, in bytes.

    On mps its current memory; on a CPU resident memory, with pages of mapped files.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if device.type == "mps":
        return torch.mps.driver_allocated_memory()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
