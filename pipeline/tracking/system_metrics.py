"""System metrics of a process and its machine, for MLflow's page of system metrics.

Names, units and meanings are MLflow's own, so that its UI shows them as it shows those of its own
monitor. MLflow's is a thread that wakes every few seconds; this one measures when metrics are
logged, in a fraction of a millisecond.
"""

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import psutil

MEGABYTE = 1e6
"""Bytes, as MLflow counts them."""


class SystemMonitor:
    """Load of the machine between two calls; metrics that can't be measured are left out."""

    def __init__(self) -> None:
        self._received = self._sent = 0.0
        with contextlib.suppress(Exception):
            self._received, self._sent = _traffic()
        with contextlib.suppress(Exception):
            self._process = psutil.Process()
            self._process.cpu_percent()  # the first call only starts its clock
            self._busy = _cpu_seconds()
        self._nvml: Any = None

    def measure(self) -> dict[str, float]:
        """Measure all metrics; rates are since the last call, network traffic since the first."""
        parts = (self._cpu, self._memory, self._disk, self._network, self._process_load, self._gpu)
        return {
            f"system/{name}": round(value, 1)
            for part in parts
            for name, value in _suppress_errors(part)
        }

    def _cpu(self) -> Iterator[tuple[str, float]]:
        before, self._busy = self._busy, _cpu_seconds()
        busy, total = (now - then for now, then in zip(self._busy, before, strict=True))
        if total > 0:
            yield "cpu_utilization_percentage", 100 * busy / total

    def _memory(self) -> Iterator[tuple[str, float]]:
        memory = psutil.virtual_memory()
        yield "system_memory_usage_megabytes", memory.used / MEGABYTE
        yield "system_memory_usage_percentage", 100 * memory.used / memory.total

    def _disk(self) -> Iterator[tuple[str, float]]:
        disk = psutil.disk_usage(".")  # the disk of the working directory, where MLflow measures /
        yield "disk_usage_percentage", disk.percent
        yield "disk_available_megabytes", disk.free / MEGABYTE

    def _network(self) -> Iterator[tuple[str, float]]:
        received, sent = _traffic()
        yield "network_receive_megabytes", received - self._received
        yield "network_transmit_megabytes", sent - self._sent

    def _process_load(self) -> Iterator[tuple[str, float]]:
        """Load of this process alone; 100 percent is one core."""
        with self._process.oneshot():
            yield "process_memory_megabytes", self._process.memory_info().rss / MEGABYTE
            yield "process_cpu_percentage", self._process.cpu_percent()

    def _gpu(self) -> Iterator[tuple[str, float]]:
        """Memory and load of the GPU that this process uses; querying others would occupy them."""
        torch = sys.modules.get("torch")  # importing it takes seconds
        if torch is None or not torch.cuda.is_initialized():
            return
        number = torch.cuda.current_device()
        free, total = torch.cuda.mem_get_info(number)
        yield f"gpu_{number}_memory_usage_megabytes", (total - free) / MEGABYTE
        yield f"gpu_{number}_memory_usage_percentage", 100 * (total - free) / total
        yield "process_gpu_memory_megabytes", torch.cuda.memory_reserved(number) / MEGABYTE
        yield from self._gpu_load(torch, number)

    def _gpu_load(self, torch: Any, number: int) -> Iterator[tuple[str, float]]:
        """Utilisation and power, which only NVIDIA's own library knows."""
        if self._nvml is None:
            self._nvml = _start_nvml() or False
        if self._nvml:
            uuid = f"GPU-{torch.cuda.get_device_properties(number).uuid}"
            handle = self._nvml.nvmlDeviceGetHandleByUUID(uuid)  # NVML numbers GPUs differently
            rates = self._nvml.nvmlDeviceGetUtilizationRates(handle)
            yield f"gpu_{number}_utilization_percentage", rates.gpu
            watts = self._nvml.nvmlDeviceGetPowerUsage(handle) / 1000
            yield f"gpu_{number}_power_usage_watts", watts


def _suppress_errors(
    part: Callable[[], Iterator[tuple[str, float]]],
) -> Iterator[tuple[str, float]]:
    """Yield the metrics of a part up to the first that a container hides."""
    with contextlib.suppress(Exception):
        yield from part()


def _cpu_seconds() -> tuple[float, float]:
    """Busy and total seconds of all cores together since the machine started."""
    times = psutil.cpu_times()
    total = sum(times[:8])  # the others, of guests, are part of user and nice
    return total - times.idle - getattr(times, "iowait", 0.0), total


def _traffic() -> tuple[float, float]:
    counted = psutil.net_io_counters()
    return counted.bytes_recv / MEGABYTE, counted.bytes_sent / MEGABYTE


def _start_nvml() -> Any:
    try:
        nvml = importlib.import_module("pynvml")
        nvml.nvmlInit()
    except Exception:  # not installed, or no driver that it knows
        return None
    return nvml
