"""Devices and precisions: what is chosen, what is refused, and what a block of code gets."""

import subprocess
import sys

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

    def build(*, cuda=0, generation=0, mps=False, cpu=()):
        current = []
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (generation, 0))
        monkeypatch.setattr(torch.cuda, "set_device", current.append)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        features = dict.fromkeys(cpu, True)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features, raising=False)
        return current

    return build


@pytest.mark.parametrize(
    ("hardware", "device", "precision"),
    [
        ({}, "cpu", "float32"),
        ({"cpu": ["avx2", "avx512_f"]}, "cpu", "float32"),
        ({"cpu": ["avx512_bf16"]}, "cpu", "bf16"),
        ({"cpu": ["amx_bf16"]}, "cpu", "bf16"),
        ({"mps": True}, "mps", "float32"),
        ({"cuda": 1, "generation": 6}, "cuda", "float32"),
        ({"cuda": 1, "generation": 7}, "cuda", "fp16"),
        ({"cuda": 1, "generation": 8}, "cuda", "bf16"),
        ({"cuda": 1, "generation": 12, "mps": True}, "cuda", "bf16"),
    ],
)
def test_auto_is_what_the_hardware_does_fastest(machine, hardware, device, precision):
    machine(**hardware)
    chosen = choose_compute("auto", "auto")
    assert (chosen.device.type, chosen.precision) == (device, precision)


def test_the_one_question_that_torch_2_9_answers_gives_the_same_choice():
    bf16 = torch.cpu._is_avx512_bf16_supported()
    assert choose_compute("cpu", "auto").precision == ("bf16" if bf16 else "float32")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_is_asked_for_is_not_changed(machine, precision):
    machine(cuda=1, generation=8)
    assert choose_compute("cpu", precision) == Compute(CPU, precision)
    assert choose_compute("cuda", precision).precision == precision


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused(machine, device):
    machine()
    with pytest.raises(GanError, match=rf"^train\.device = {device}: "):
        choose_compute(device, "auto")


def test_apples_gpu_has_no_float64(machine):
    machine(mps=True)
    with pytest.raises(GanError, match=r"^train\.precision = float64: .* use float32"):
        choose_compute("auto", "float64")
    assert choose_compute("cpu", "float64").precision == "float64"


def test_processes_of_one_machine_take_a_gpu_each(machine, monkeypatch):
    current = machine(cuda=3, generation=8)
    assert choose_compute("auto", "auto").device == torch.device("cuda", 0)
    for rank in range(3):
        monkeypatch.setenv("LOCAL_RANK", str(rank))
        assert choose_compute("cuda", "auto").device == current[-1] == torch.device("cuda", rank)


@pytest.mark.parametrize("rank", ["3", "-1", "first", ""])
def test_a_process_without_a_gpu_is_refused(machine, monkeypatch, rank):
    machine(cuda=3, generation=8)
    monkeypatch.setenv("LOCAL_RANK", rank)
    with pytest.raises(GanError, match=rf"^LOCAL_RANK={rank}: .*--nproc-per-node 3"):
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


@pytest.mark.parametrize("precision", PRECISIONS)
def test_only_fp16_scales_its_losses(precision):
    scaler = Compute(CPU, precision).scaler()
    scaled = scaler.scale(torch.ones(()))
    assert (scaled.item() > 1) == scaler.is_enabled() == (precision == "fp16")


def test_gradients_too_small_for_fp16_are_kept_by_the_scaler():
    compute = Compute(CPU, "fp16")
    network, pixels = nn.Conv2d(3, 4, 3), torch.ones(1, 3, 8, 8)

    def gradient(scale):
        network.zero_grad()
        with compute.autocast():
            loss = network(pixels).float().mean() * 1e-6
        scale(loss).backward()
        return network.weight.grad

    scaler = compute.scaler()
    assert not gradient(lambda loss: loss).any()
    found = gradient(scaler.scale) / scaler.get_scale()
    torch.testing.assert_close(found, torch.full_like(found, 0.25e-6), rtol=0.01, atol=0)


def test_a_step_whose_gradients_overflow_is_left_out_and_the_scale_halved():
    scaler = Compute(CPU, "fp16").scaler()
    weight = nn.Parameter(torch.ones(3))
    optimiser = torch.optim.Adam([weight], fused=True)
    scaler.scale((weight * torch.tensor([1.0, float("inf"), 1.0])).sum()).backward()
    before = scaler.get_scale()
    scaler.step(optimiser)
    scaler.update()
    assert torch.equal(weight.detach(), torch.ones(3))
    assert scaler.get_scale() == before / 2


def settings():
    products, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    return products.allow_tf32, products.fp32_precision, cudnn.allow_tf32, cudnn.benchmark


def test_a_training_on_cuda_is_fast_and_what_comes_after_it_exact():
    before = settings()
    with fast_training(torch.device("cuda")):
        assert settings() == (True, "tf32", True, True)
    assert settings()[0] is before[0] is False
    assert settings()[2:] == before[2:]
    assert torch.get_float32_matmul_precision() == "highest"


def test_speed_is_given_up_when_a_training_fails():
    with pytest.raises(ZeroDivisionError), fast_training(torch.device("cuda")):
        raise ZeroDivisionError
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.backends.cudnn.benchmark


def test_an_exact_block_inside_a_fast_one_is_exact_and_leaves_it_fast():
    with fast_training(torch.device("cuda")):
        with exact_inference(CPU):
            assert settings() == (False, "ieee", False, False)
        assert settings() == (True, "tf32", True, True)
    with exact_inference(CPU):
        assert settings() == (False, "ieee", False, False)


def test_a_cpu_has_nothing_to_switch():
    before = settings()
    with fast_training(CPU):
        assert settings() == before


@pytest.mark.slow
def test_memory_is_the_most_that_was_held():
    code = """
import torch
from gan.devices import peak_memory
cpu = torch.device("cpu")
before = peak_memory(cpu)
held = torch.ones(25_000_000)
during = peak_memory(cpu)
del held
print(during - before, peak_memory(cpu) - during)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    grown, fallen = map(int, done.stdout.split())
    assert 90e6 < grown < 130e6
    assert abs(fallen) < 10e6  # Linux counts pages in batches


def test_memory_of_this_process_is_counted_in_bytes():
    assert 50e6 < peak_memory(CPU) < 1e12
