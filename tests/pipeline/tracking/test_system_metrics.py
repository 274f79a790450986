"""System metrics: MLflow's own names, and no errors."""

import subprocess
import sys
import time

import psutil
import pytest
from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

from pipeline.tracking.system_metrics import SystemMonitor

OWN = {"system/process_memory_megabytes", "system/process_cpu_percentage"}


def test_names_are_mlflows_and_the_load_is_that_of_this_process():
    theirs = set()
    for monitor in (CPUMonitor(), DiskMonitor(), NetworkMonitor()):
        monitor.collect_metrics()
        theirs |= {f"system/{name}" for name in monitor.aggregate_metrics()}
    monitor = SystemMonitor()
    until = time.process_time() + 0.3
    while time.process_time() < until:
        pass
    measured = monitor.measure()
    assert theirs - set(measured) == {"system/disk_usage_megabytes"}
    assert set(measured) - theirs <= OWN
    assert measured["system/process_cpu_percentage"] > 0
    assert 0 < measured["system/cpu_utilization_percentage"] <= 100
    resident = psutil.Process().memory_info().rss / 1e6
    assert measured["system/process_memory_megabytes"] == pytest.approx(resident, rel=0.2)


def test_metrics_that_a_container_hides_are_left_out(monkeypatch):
    def hide(*_arguments):
        raise PermissionError("/proc")

    for name in ("net_io_counters", "cpu_times_percent", "disk_usage"):
        monkeypatch.setattr(psutil, name, hide)
    assert set(SystemMonitor().measure()) == OWN | {
        "system/system_memory_usage_megabytes",
        "system/system_memory_usage_percentage",
    }


def test_measuring_does_not_import_torch():
    code = "import sys; from pipeline.tracking.system_metrics import SystemMonitor; "
    code += "SystemMonitor().measure(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
