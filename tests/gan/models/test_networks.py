"""Shapes, gradients, draws and saved weights of every network that params can ask for."""

import io

import pytest
import torch
from tiny_networks import (
    ACTIVATIONS,
    ALL_OPTIONS,
    FAMILIES,
    NORMS,
    SIZES,
    SOME_OPTIONS,
    assert_learns,
    discriminator,
    generator,
    latents,
    model_params,
    pixels,
)

from gan.models import interfaces as build
from gan.models.interfaces import channels_by_resolution, plan_resolutions


def check(family, size, **options):
    """Both networks compute, learn and survive a file."""
    for make, inputs in ((generator, latents(3)), (discriminator, pixels(3, size))):
        network = make(family, size, **options)
        outputs = network(inputs)
        assert outputs.std() > 0
        if make is generator:
            assert (network.latent_size, network.size) == (8, size)
            assert outputs.shape == (3, 3, size, size)
            assert outputs.abs().max() <= 1
            outputs = outputs - pixels(3, size)
        else:
            assert outputs.shape == (3,)
        outputs.square().sum().backward()
        assert_learns(network)
        buffer = io.BytesIO()
        torch.save(network.state_dict(), buffer)
        buffer.seek(0)
        other = make(family, size, seed=9, **options)
        assert not torch.equal(other.eval()(inputs), network.eval()(inputs))
        other.load_state_dict(torch.load(buffer, weights_only=True))
        assert torch.equal(other.eval()(inputs), network.eval()(inputs))


@pytest.mark.parametrize(
    ("size", "expected"),
    [(32, (4, 3)), (48, (6, 3)), (64, (4, 4)), (96, (6, 4)), (192, (6, 5)), (256, (4, 6))],
)
def test_a_projection_to_4_or_6_is_doubled_up_to_the_size(size, expected):
    assert plan_resolutions(size) == expected


def test_other_sizes_are_refused_and_channels_double_inwards_up_to_the_widest():
    for size in (0, 3, 4, 6, 50, 80):
        with pytest.raises(ValueError, match="power of two"):
            plan_resolutions(size)
    params = model_params("dcgan", width=3, widest=4).discriminator
    assert channels_by_resolution(params, 128) == [3, 6, 12, 12, 12]


QUICK = [
    *((size, {}) for size in SIZES[:4]),
    *((32, options) for options in SOME_OPTIONS),
    *((48, {"activation": each}) for each in ACTIVATIONS),
    (64, {"width": 1, "widest": 64}),
]


@pytest.mark.parametrize(("size", "options"), QUICK, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_networks_work_learn_and_survive_saving(family, size, options):
    check(family, size, **options)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_networks_of_every_size_norm_and_flag_work_learn_and_survive_saving(family):
    for index, options in enumerate(ALL_OPTIONS):
        check(family, SIZES[index % len(SIZES)], **options)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("family", FAMILIES)
def test_samples_are_apart_but_for_batch_norm_in_the_discriminator(family, norm):
    network = discriminator(family, 32, norm=norm, first_norm=True)
    images = pixels(6, 32)
    assert network.uses_batch_statistics == (norm == "batch")
    halves = torch.cat([network(images[:3]), network(images[3:])])
    alike = torch.allclose(network(images), halves, rtol=1e-4, atol=1e-6)
    assert alike == (norm != "batch")
    maker = generator(family, 32, norm=norm).eval()
    before = latents(5)
    after = before + torch.tensor([0, 1, 1, 1, 1])[:, None]
    assert torch.equal(maker(before)[0], maker(after)[0])
    assert not torch.equal(maker(before)[1], maker(after)[1])


@pytest.mark.parametrize("spectral_norm", [False, True], ids=["plain", "spectral"])
@pytest.mark.parametrize("family", FAMILIES)
def test_weights_are_a_function_of_the_seed_alone(family, spectral_norm):
    def both(seed, elsewhere):
        torch.manual_seed(elsewhere)
        options = {"norm": "batch", "spectral_norm": spectral_norm}
        networks = [make(family, 32, seed, **options) for make in (generator, discriminator)]
        return [value for network in networks for value in network.state_dict().values()]

    first, same, other = both(1, 5), both(1, 6), both(2, 5)
    assert all(torch.equal(*pair) for pair in zip(first, same, strict=True))
    assert not all(torch.equal(*pair) for pair in zip(first, other, strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_precision_and_order_in_memory_do_not_change_what_is_drawn(family):
    params = model_params(family).generator
    plain = generator(family, 32)
    other = build.build_generator(model_params(family), 32)
    other = other.double().to(memory_format=torch.channels_last)
    build.initialise(other, params, torch.Generator().manual_seed(0))
    for name, value in plain.state_dict().items():
        assert torch.equal(value.double(), other.state_dict()[name].double()), name
