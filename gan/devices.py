"""Which device and precision a run uses, and how a block of code gets them."""

import ctypes
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch.amp import GradScaler

from gan.errors import GanError
from gan.params.train import Device, Precision

Exact = Literal["float64", "float32", "bf16", "fp16"]
"""A precision that is not left to the hardware."""

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h

HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Compute:
    """A device and a precision: of everything, or (bf16, fp16) of convolutions and products."""

    device: torch.device
    precision: Exact

    @property
    def dtype(self) -> torch.dtype:
        """Of parameters and pixels: what is half as wide is cast where it is used."""
        return torch.float64 if self.precision == "float64" else torch.float32

    def autocast(self) -> AbstractContextManager[object]:
        """Run a block in the chosen precision."""
        if self.precision not in HALVES:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=HALVES[self.precision])

    def twice(self) -> AbstractContextManager[object]:
        """Run a block that is differentiated twice: fp16 would not hold the gradients' squares."""
        if self.precision == "fp16":
            return torch.autocast(self.device.type, enabled=False)
        return self.autocast()

    def scaler(self) -> GradScaler:
        """What keeps fp16's small gradients from vanishing; does nothing in other precisions."""
        return GradScaler(self.device.type, enabled=self.precision == "fp16")


def choose(device: Device, precision: Precision) -> Compute:
    """Resolve `auto`, and the GPU of this process under torchrun.

    GanError for a device that is not there, or that can't have the precision.
    """
    chosen = _device(device)
    if chosen.type == "mps" and precision == "float64":
        raise GanError(
            "train.precision = float64: Apple's GPUs have none; use float32, or train.device: cpu"
        )
    return Compute(chosen, _fastest(chosen) if precision == "auto" else precision)


def _device(wanted: Device) -> torch.device:
    kind = _best_device() if wanted == "auto" else wanted
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not available[kind]:
        raise GanError(f"train.device = {wanted}: there is none here; use auto or cpu")
    return _own_gpu() if kind == "cuda" else torch.device(kind)


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _own_gpu() -> torch.device:
    """This process's GPU, made the current one: torchrun numbers a machine's processes."""
    rank, there = os.environ.get("LOCAL_RANK", "0"), torch.cuda.device_count()
    if not (rank.isascii() and rank.isdigit() and int(rank) < there):
        raise GanError(
            f"LOCAL_RANK={rank}: there is no such GPU here, they are 0 to {there - 1}; start one "
            f"process a GPU (torchrun --nproc-per-node {there})"
        )
    device = torch.device("cuda", int(rank))
    torch.cuda.set_device(device)
    return device


def _fastest(device: torch.device) -> Exact:
    """The narrowest precision that hardware does; emulation is slower than float32."""
    if device.type == "cuda":
        generation = torch.cuda.get_device_capability(device)[0]
        return "bf16" if generation >= 8 else "fp16" if generation == 7 else "float32"
    if device.type == "cpu":
        features = torch.cpu.get_capabilities()
        wide = features.get("avx512_bf16") or features.get("amx_bf16")
        return "bf16" if wide else "float32"
    return "float32"


@contextmanager
def fast(device: torch.device) -> Iterator[None]:
    """Let a training use what makes it fast.

    On CUDA TF32, and the convolutions that are fastest when tried out. Both are put back, since
    evaluation must have neither. Convolutions use TF32 in any case unless it is forbidden. The one
    switch for products is used that torch's old and new settings of TF32 both follow: a mixture of
    these is an error when it is read. On a CPU the process keeps memory that a step frees, for the
    next one; this stays so.
    """
    if device.type == "cpu":
        _keep_memory()
    if device.type != "cuda":
        yield
        return
    products, trying = torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.benchmark = trying


def _keep_memory() -> None:
    """Let glibc keep freed blocks: each step asks for the same again, and new pages cost time."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)  # no block has a mapping of its own, which is given back when freed
        mallopt(M_TRIM_THRESHOLD, -1)  # nor is the end of the heap given back


def memory(device: torch.device) -> int:
    """Bytes of the device that this process has held at most so far.

    On mps what it holds now; on a CPU resident memory, pages of mapped files included.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if device.type == "mps":
        return torch.mps.driver_allocated_memory()
    return _peak_of_process()


def _peak_of_process() -> int:
    # Linux counts what the parent held before this program was started into ru_maxrss
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
