"""What a process takes of its machine: numbers for MLflow's page of system metrics.

Names, units and meanings are MLflow's own, so that its UI shows them as it shows its own
monitor's. That one is a thread that wakes every few seconds; here a log asks, for a fraction of a
millisecond.
"""

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import psutil

MEGABYTE = 1e6
"""As MLflow counts."""


class Machine:
    """Measures between two calls; what can't be measured is left out."""

    def __init__(self) -> None:
        self._received = self._sent = 0.0
        with contextlib.suppress(Exception):
            self._received, self._sent = _traffic()
        with contextlib.suppress(Exception):
            self._process = psutil.Process()
            self._process.cpu_percent()  # the first call only starts its clock
            self._busy = _cpu_seconds()
        self._nvml: Any = None

    def measured(self) -> dict[str, float]:
        """Numbers of now by name; rates are those since the last call, traffic since the first."""
        parts = (self._cpu, self._memory, self._disk, self._network, self._process_s, self._gpu)
        return {
            f"system/{name}": round(value, 1)
            for part in parts
            for name, value in _without_failure(part)
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
        disk = psutil.disk_usage(".")  # the one that the work fills, where MLflow looks at /
        yield "disk_usage_percentage", disk.percent
        yield "disk_available_megabytes", disk.free / MEGABYTE

    def _network(self) -> Iterator[tuple[str, float]]:
        received, sent = _traffic()
        yield "network_receive_megabytes", received - self._received
        yield "network_transmit_megabytes", sent - self._sent

    def _process_s(self) -> Iterator[tuple[str, float]]:
        """Of this process alone; 100 percent is one core."""
        with self._process.oneshot():
            yield "process_memory_megabytes", self._process.memory_info().rss / MEGABYTE
            yield "process_cpu_percentage", self._process.cpu_percent()

    def _gpu(self) -> Iterator[tuple[str, float]]:
        """The GPU that this process works on, if it does: asking others would occupy them."""
        torch = sys.modules.get("torch")  # importing it takes seconds
        if torch is None or not torch.cuda.is_initialized():
            return
        number = torch.cuda.current_device()
        free, total = torch.cuda.mem_get_info(number)
        yield f"gpu_{number}_memory_usage_megabytes", (total - free) / MEGABYTE
        yield f"gpu_{number}_memory_usage_percentage", 100 * (total - free) / total
        yield "process_gpu_memory_megabytes", torch.cuda.memory_reserved(number) / MEGABYTE
        yield from self._nvml_s(torch, number)

    def _nvml_s(self, torch: Any, number: int) -> Iterator[tuple[str, float]]:
        """Load and power, which only NVIDIA's own library knows."""
        if self._nvml is None:
            self._nvml = _started_nvml() or False
        if self._nvml:
            uuid = f"GPU-{torch.cuda.get_device_properties(number).uuid}"
            handle = self._nvml.nvmlDeviceGetHandleByUUID(uuid)  # its numbers are others
            rates = self._nvml.nvmlDeviceGetUtilizationRates(handle)
            yield f"gpu_{number}_utilization_percentage", rates.gpu
            watts = self._nvml.nvmlDeviceGetPowerUsage(handle) / 1000
            yield f"gpu_{number}_power_usage_watts", watts


def _without_failure(
    part: Callable[[], Iterator[tuple[str, float]]],
) -> Iterator[tuple[str, float]]:
    """As much of a part as can be measured here: containers hide this and that."""
    with contextlib.suppress(Exception):
        yield from part()


def _cpu_seconds() -> tuple[float, float]:
    """Seconds that all cores together were busy, and that they had, since the machine started."""
    times = psutil.cpu_times()
    total = sum(times[:8])  # the rest, guests', is part of user and nice already
    return total - times.idle - getattr(times, "iowait", 0.0), total


def _traffic() -> tuple[float, float]:
    counted = psutil.net_io_counters()
    return counted.bytes_recv / MEGABYTE, counted.bytes_sent / MEGABYTE


def _started_nvml() -> Any:
    try:
        nvml = importlib.import_module("pynvml")
        nvml.nvmlInit()
    except Exception:  # not installed, or no driver that it knows
        return None
    return nvml
