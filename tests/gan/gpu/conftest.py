"""The device that these tests run on: a GPU, or any other that GAN_TEST_DEVICE names.

pytest -m gpu tests/gan/gpu                        # where there is a GPU
GAN_TEST_DEVICE=cpu pytest -m gpu tests/gan/gpu    # what of it a CPU can do
"""

import os

import pytest
import torch

from gan.devices import choose_compute


@pytest.fixture(scope="session")
def device():
    """The accelerator, as the training would choose it; skips where there is none."""
    wanted = os.environ.get("GAN_TEST_DEVICE", "auto")
    chosen = choose_compute(wanted, "float32").device
    if chosen.type == "cpu" and wanted != "cpu":
        pytest.skip("there is no GPU here; GAN_TEST_DEVICE=cpu runs what a CPU can do")
    return chosen


@pytest.fixture(scope="session")
def settle(device):
    """settle(): wait until the device has finished all its work."""

    def wait():
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        elif device.type == "mps":
            torch.mps.synchronize()

    return wait


@pytest.fixture
def waiting_is_an_error(device):
    """waiting_is_an_error(): from here to the test's end, on CUDA, waiting for the device is."""
    if device.type != "cuda":
        pytest.skip("only CUDA can tell when it is waited for")
    yield lambda: torch.cuda.set_sync_debug_mode("error")
    torch.cuda.set_sync_debug_mode("default")


@pytest.fixture(params=["resident", "read ahead"])
def image_location(request, device, monkeypatch):
    """Where the images are: on the device, or in a file, because the device is too small."""
    if request.param == "resident" and device.type == "cpu":
        pytest.skip("a CPU's images are where they are")
    if request.param == "read ahead":
        monkeypatch.setattr("gan.training.batches.RESIDENT_SHARE", 0)
    return request.param
