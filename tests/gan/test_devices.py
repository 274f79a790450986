"""Devices and precisions: what is chosen, what is refused, and what a block of code gets."""

import pytest
import torch
from torch import nn

from gan.devices import Compute, choose_compute, fast_training, peak_memory
from gan.errors import GanError
from gan.features.extractor import exact_inference

CPU = torch.device("cpu")
PRECISIONS = ["float64", "float32", "bf16", "fp16"]


@pytest.fixture
def machine(monkeypatch):
    """machine(cuda=2, generation=8): the hardware that torch reports."""
    monkeypatch.delenv("LOCAL_RANK", raising=False)

    def build(*, cuda=0, generation=0, mps=False, bf16=False):
        current = []
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (generation, 0))
        monkeypatch.setattr(torch.cuda, "set_device", current.append)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)
        return current

    return build


@pytest.mark.parametrize(
    ("hardware", "device", "precision"),
    [
        ({}, "cpu", "float32"),
        ({"bf16": True}, "cpu", "bf16"),
        ({"mps": True}, "mps", "float32"),
        ({"cuda": 1, "generation": 6}, "cuda", "float32"),
        ({"cuda": 1, "generation": 7}, "cuda", "fp16"),
        ({"cuda": 1, "generation": 8}, "cuda", "bf16"),
    ],
)
def test_auto_is_what_the_hardware_does_fastest(machine, hardware, device, precision):
    machine(**hardware)
    chosen = choose_compute("auto", "auto")
    assert (chosen.device.type, chosen.precision) == (device, precision)


def test_a_device_that_is_not_there_and_apples_float64_are_refused(machine):
    machine()
    for device in ("cuda", "mps"):
        with pytest.raises(GanError, match=rf"^train\.device = {device}: "):
            choose_compute(device, "auto")
    machine(mps=True)
    with pytest.raises(GanError, match=r"^train\.precision = float64: "):
        choose_compute("auto", "float64")
    assert choose_compute("cpu", "float64").precision == "float64"


def test_processes_of_one_machine_take_a_gpu_each(machine, monkeypatch):
    current = machine(cuda=3, generation=8)
    assert choose_compute("auto", "auto").device == torch.device("cuda", 0)
    for rank in range(3):
        monkeypatch.setenv("LOCAL_RANK", str(rank))
        assert choose_compute("cuda", "auto").device == current[-1] == torch.device("cuda", rank)
    for wrong in ("3", "-1", "first", ""):
        monkeypatch.setenv("LOCAL_RANK", wrong)
        with pytest.raises(GanError, match=rf"^LOCAL_RANK={wrong}: .*--nproc-per-node 3"):
            choose_compute("auto", "auto")
        assert choose_compute("cpu", "float32").device == CPU


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_block_computes_in_the_chosen_precision(precision):
    compute = Compute(CPU, precision)
    network = nn.Conv2d(3, 4, 3).to(compute.dtype)
    pixels = torch.ones(1, 3, 8, 8, dtype=compute.dtype)
    with compute.autocast():
        once = network(pixels).dtype
        with compute.double_backward():
            nested = network(pixels).dtype
    with compute.double_backward():
        alone = network(pixels).dtype
    halves = {"bf16": torch.bfloat16, "fp16": torch.float16}
    assert once == halves.get(precision, compute.dtype)
    assert nested == alone == (torch.float32 if precision == "fp16" else once)
    assert network.weight.dtype == (torch.float64 if precision == "float64" else torch.float32)
    scaler = compute.scaler()
    scaled = scaler.scale(torch.ones(()))
    assert (scaled.item() > 1) == scaler.is_enabled() == (precision == "fp16")


def settings():
    products, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    return products.allow_tf32, products.fp32_precision, cudnn.allow_tf32, cudnn.benchmark


def test_a_training_on_cuda_is_fast_and_what_comes_beside_or_after_it_exact():
    before = settings()
    with fast_training(CPU):
        assert settings() == before

    def fail():
        with fast_training(torch.device("cuda")):
            assert settings() == (True, "tf32", True, True)
            with exact_inference(CPU):
                assert settings() == (False, "ieee", False, False)
            assert settings() == (True, "tf32", True, True)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert settings()[0] is before[0] is False
    assert settings()[2:] == before[2:]
    assert torch.get_float32_matmul_precision() == "highest"
    with exact_inference(CPU):
        assert settings() == (False, "ieee", False, False)


def test_peak_memory_is_the_most_that_was_held_in_bytes():
    before = peak_memory(CPU)
    assert 50e6 < before < 1e12
    held = torch.ones(int(before) // 4 + 25_000_000)  # 100 MB more than ever before
    during = peak_memory(CPU)
    assert before + 100e6 < during < 2 * before + 200e6
    del held
    assert peak_memory(CPU) == pytest.approx(during, rel=0.1)
