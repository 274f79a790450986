"""System metrics of a process and its machine, for MLflow's page of system metrics.

Names, units and meanings are MLflow's own, so that its UI shows them as it shows those of its own
monitor. That is a thread that wakes every few seconds, and importing it takes seconds; this one
measures when metrics are logged, in a fraction of a millisecond.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psutil

MEGABYTE = 1e6
"""Bytes, as MLflow counts them."""

Metrics = Iterator[tuple[str, float]]


class SystemMonitor:
    """Load of the machine between two calls; metrics that can't be measured are left out."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._nvml: Any = None
        with suppress(Exception):  # hidden in some containers
            self._process.cpu_percent()  # the first call only starts its clock
            psutil.cpu_times_percent()
        with suppress(Exception):
            self._traffic = psutil.net_io_counters()

    def measure(self) -> dict[str, float]:
        """Measure all metrics; rates are since the last call, network traffic since the first."""
        found: dict[str, float] = {}
        for part in (self._cpu, self._memory, self._disk, self._network, self._own, self._gpu):
            with suppress(Exception):
                for name, value in part():
                    found[f"system/{name}"] = round(value, 1)
        return found

    def _cpu(self) -> Metrics:
        times = psutil.cpu_times_percent()
        yield "cpu_utilization_percentage", 100 - times.idle - getattr(times, "iowait", 0.0)

    def _memory(self) -> Metrics:
        memory = psutil.virtual_memory()
        yield "system_memory_usage_megabytes", memory.used / MEGABYTE
        yield "system_memory_usage_percentage", 100 * memory.used / memory.total

    def _disk(self) -> Metrics:
        disk = psutil.disk_usage(".")  # the disk of the working directory, where MLflow measures /
        yield "disk_usage_percentage", disk.percent
        yield "disk_available_megabytes", disk.free / MEGABYTE

    def _network(self) -> Metrics:
        now, first = psutil.net_io_counters(), self._traffic
        yield "network_receive_megabytes", (now.bytes_recv - first.bytes_recv) / MEGABYTE
        yield "network_transmit_megabytes", (now.bytes_sent - first.bytes_sent) / MEGABYTE

    def _own(self) -> Metrics:
        """Load of this process alone; 100 percent is one core."""
        yield "process_memory_megabytes", self._process.memory_info().rss / MEGABYTE
        yield "process_cpu_percentage", self._process.cpu_percent()

    def _gpu(self) -> Metrics:
        """Memory and load of the GPU that this process uses; querying others would occupy them."""
        torch = sys.modules.get("torch")  # importing it takes seconds
        if torch is None or not torch.cuda.is_initialized():
            return
        number = torch.cuda.current_device()
        free, total = torch.cuda.mem_get_info(number)
        yield f"gpu_{number}_memory_usage_megabytes", (total - free) / MEGABYTE
        yield f"gpu_{number}_memory_usage_percentage", 100 * (total - free) / total
        yield "process_gpu_memory_megabytes", torch.cuda.memory_reserved(number) / MEGABYTE
        if self._nvml is None:  # only NVIDIA's own library knows the rest; it may be missing
            self._nvml = importlib.import_module("pynvml")
            self._nvml.nvmlInit()
        uuid = f"GPU-{torch.cuda.get_device_properties(number).uuid}"
        handle = self._nvml.nvmlDeviceGetHandleByUUID(uuid)  # NVML numbers GPUs differently
        rates = self._nvml.nvmlDeviceGetUtilizationRates(handle)
        yield f"gpu_{number}_utilization_percentage", rates.gpu
        yield f"gpu_{number}_power_usage_watts", self._nvml.nvmlDeviceGetPowerUsage(handle) / 1000
