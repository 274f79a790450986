"""System metrics: MLflow's own names, cheap, and nothing that can fail."""

import subprocess
import sys
import time

import psutil
import pytest
from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

from pipeline.tracking.system_metrics import Machine

OWN = {"system/process_memory_megabytes", "system/process_cpu_percentage"}


def _busy(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_names_are_those_that_mlflow_s_own_monitor_uses():
    theirs = set()
    for monitor in (CPUMonitor(), DiskMonitor(), NetworkMonitor()):
        monitor.collect_metrics()
        theirs |= {f"system/{name}" for name in monitor.aggregate_metrics()}
    machine = Machine()
    _busy(0.1)
    assert theirs - set(machine.measured()) == {"system/disk_usage_megabytes"}
    assert set(machine.measured()) - theirs <= OWN


def test_numbers_are_those_of_this_process_and_of_the_time_since_the_last_call():
    machine = Machine()
    _busy(0.3)
    busy = machine.measured()
    time.sleep(0.5)
    idle = machine.measured()
    assert busy["system/process_cpu_percentage"] > 3 * idle["system/process_cpu_percentage"]
    assert 0 < busy["system/cpu_utilization_percentage"] <= 100
    resident = psutil.Process().memory_info().rss / 1e6
    assert busy["system/process_memory_megabytes"] == pytest.approx(resident, rel=0.2)


def test_a_measurement_takes_less_than_a_millisecond_of_the_processor():
    machine, times = Machine(), []
    for _ in range(50):
        before = time.process_time()
        machine.measured()
        times.append(time.process_time() - before)
    assert sorted(times)[25] < 0.001


def test_what_a_container_hides_is_left_out_and_the_rest_stays(monkeypatch):
    def hidden(*_arguments):
        raise PermissionError("/proc")

    for name in ("net_io_counters", "cpu_times", "disk_usage"):
        monkeypatch.setattr(psutil, name, hidden)
    assert set(Machine().measured()) == OWN | {
        "system/system_memory_usage_megabytes",
        "system/system_memory_usage_percentage",
    }


def test_nobody_imports_torch_to_measure():
    code = (
        "import sys; from pipeline.tracking.system_metrics import Machine; Machine().measured(); "
    )
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
