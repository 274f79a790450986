"""Shapes, gradients and saved weights of every network that params can ask for."""

import io

import pytest
import torch

from gan.models.dcgan import Discriminator, Generator, initialise, stages

SIZES = (32, 48, 64, 96, 128)
NORMS = ("none", "batch", "layer", "instance")


def started(network, seed=0):
    initialise(network, torch.Generator().manual_seed(seed))
    return network


def pixels(count, size):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def assert_learns(network):
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def through_a_file(network):
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@pytest.mark.parametrize(
    ("size", "expected"), [(32, (4, 3)), (48, (6, 3)), (64, (4, 4)), (96, (6, 4)), (128, (4, 5))]
)
def test_a_projection_to_4_or_6_is_doubled_up_to_the_size(size, expected):
    assert stages(size) == expected


@pytest.mark.parametrize("size", [0, 3, 4, 6, 50, 80])
def test_other_sizes_are_refused(size):
    with pytest.raises(ValueError, match="power of two"):
        stages(size)


@pytest.mark.parametrize("size", SIZES)
def test_generator_makes_pixels_learns_and_survives_saving(size):
    generator = started(Generator(8, size, 4))
    latents = torch.randn(3, 8, generator=torch.Generator().manual_seed(2))
    made = generator(latents)
    assert made.shape == (3, 3, size, size)
    assert made.abs().max() <= 1
    (made - pixels(3, size)).square().sum().backward()
    assert_learns(generator)
    fresh = started(Generator(8, size, 4), seed=9)
    fresh.load_state_dict(through_a_file(generator))
    assert torch.equal(fresh.eval()(latents), generator.eval()(latents))


@pytest.mark.parametrize("spectral_norm", [False, True], ids=["plain", "spectral"])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("size", SIZES)
def test_discriminator_scores_learns_and_survives_saving(size, norm, spectral_norm):
    discriminator = started(Discriminator(size, 4, norm, spectral_norm))
    images = pixels(3, size)
    scores = discriminator(images)
    assert scores.shape == (3,)
    scores.square().sum().backward()
    assert_learns(discriminator)
    fresh = started(Discriminator(size, 4, norm, spectral_norm), seed=9)
    fresh.load_state_dict(through_a_file(discriminator))
    assert torch.equal(fresh.eval()(images), discriminator.eval()(images))


@pytest.mark.parametrize("norm", ["none", "layer", "instance"])
def test_a_score_does_not_depend_on_the_batch(norm):
    discriminator = started(Discriminator(32, 4, norm, False))
    images = pixels(6, 32)
    assert not discriminator.mixes_samples
    together = discriminator(images)
    alone = torch.cat([discriminator(images[i : i + 1]) for i in range(6)])
    assert torch.allclose(together, alone, rtol=1e-4, atol=1e-6)


def test_batch_norm_makes_a_score_depend_on_the_batch_and_says_so():
    discriminator = started(Discriminator(32, 4, "batch", False))
    images = pixels(6, 32)
    assert discriminator.mixes_samples
    assert not torch.allclose(discriminator(images)[:3], discriminator(images[:3]), rtol=1e-3)


def test_spectral_norm_brings_the_largest_singular_value_to_one():
    discriminator = started(Discriminator(64, 8, "none", True))
    images = pixels(2, 64)
    for _ in range(60):
        discriminator(images)
    discriminator.eval()
    layers = [each for each in discriminator.modules() if hasattr(each, "parametrizations")]
    assert len(layers) == 5  # four convolutions and the score
    for layer in layers:
        largest = torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2).item()
        assert largest == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("spectral_norm", [False, True], ids=["plain", "spectral"])
def test_weights_start_as_the_paper_says(spectral_norm):
    discriminator = started(Discriminator(64, 16, "layer", spectral_norm))
    stored = dict(discriminator.named_parameters())
    kernels = torch.cat([v.flatten() for v in stored.values() if v.dim() == 4])
    assert kernels.numel() > 50_000
    assert kernels.mean().item() == pytest.approx(0, abs=0.001)
    assert kernels.std().item() == pytest.approx(0.02, rel=0.02)
    norms = [each for each in discriminator.modules() if isinstance(each, torch.nn.GroupNorm)]
    gains = torch.cat([norm.weight for norm in norms])
    assert gains.mean().item() == pytest.approx(1, abs=0.01)
    assert all(not v.any() for k, v in stored.items() if k.endswith("bias"))


def test_weights_are_a_function_of_the_seed():
    first, same, other = (started(Generator(8, 32, 4), seed) for seed in (1, 1, 2))
    for name, value in first.state_dict().items():
        assert torch.equal(value, same.state_dict()[name])
    assert not torch.equal(first.project.weight, other.project.weight)


def test_generator_in_eval_mode_treats_samples_apart():
    generator = started(Generator(8, 32, 4)).eval()
    latents = torch.randn(5, 8, generator=torch.Generator().manual_seed(2))
    changed = latents.clone()
    changed[1:] += 1
    assert torch.equal(generator(latents)[0], generator(changed)[0])
