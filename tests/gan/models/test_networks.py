"""Shapes, gradients, draws and saved weights of every network that params can ask for."""

import copy
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
    option_id,
    pixels,
)

from gan.errors import GanError
from gan.models import build
from gan.models.interfaces import DiscriminatorNorms, channels_by_resolution, plan_resolutions

DEEP = ("upsample", "resnet")


def assert_survives_a_file(network, fresh, inputs):
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    buffer.seek(0)
    assert not torch.equal(fresh.eval()(inputs), network.eval()(inputs))
    fresh.load_state_dict(torch.load(buffer, weights_only=True))
    assert torch.equal(fresh.eval()(inputs), network.eval()(inputs))


def check_generator(family, size, **options):
    network = generator(family, size, **options)
    made = network(latents(3))
    assert (network.latent_size, network.size) == (8, size)
    assert made.shape == (3, 3, size, size)
    assert made.abs().max() <= 1
    assert made.std() > 0
    (made - pixels(3, size)).square().sum().backward()
    assert_learns(network)
    assert network.project.weight.shape[1] == 8
    assert_survives_a_file(network, generator(family, size, seed=9, **options), latents(3))


def check_discriminator(family, size, **options):
    network = discriminator(family, size, **options)
    scores = network(pixels(3, size))
    assert scores.shape == (3,)
    assert scores.std() > 0
    scores.square().sum().backward()
    assert_learns(network)
    fresh = discriminator(family, size, seed=9, **options)
    assert_survives_a_file(network, fresh, pixels(3, size))


@pytest.mark.parametrize(
    ("size", "expected"),
    [(32, (4, 3)), (48, (6, 3)), (64, (4, 4)), (96, (6, 4)), (192, (6, 5)), (256, (4, 6))],
)
def test_a_projection_to_4_or_6_is_doubled_up_to_the_size(size, expected):
    assert plan_resolutions(size) == expected


@pytest.mark.parametrize("size", [0, 3, 4, 6, 50, 80])
def test_other_sizes_are_refused(size):
    with pytest.raises(ValueError, match="power of two"):
        plan_resolutions(size)


def test_channels_double_inwards_up_to_the_widest():
    params = model_params("dcgan", width=3, widest=4).discriminator
    assert channels_by_resolution(params, 128) == [3, 6, 12, 12, 12]


@pytest.mark.parametrize("size", SIZES[:4])
@pytest.mark.parametrize("family", FAMILIES)
def test_networks_of_every_size_work_learn_and_survive_saving(family, size):
    check_generator(family, size)
    check_discriminator(family, size)


@pytest.mark.parametrize("options", SOME_OPTIONS, ids=option_id)
@pytest.mark.parametrize("family", FAMILIES)
def test_networks_with_every_norm_work_learn_and_survive_saving(family, options):
    check_generator(family, 32, **options)
    check_discriminator(family, 32, **options)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_networks_with_every_activation_work_learn_and_survive_saving(family, activation):
    check_generator(family, 48, activation=activation)
    check_discriminator(family, 48, activation=activation)


@pytest.mark.slow
@pytest.mark.parametrize("options", ALL_OPTIONS, ids=option_id)
@pytest.mark.parametrize("family", FAMILIES)
def test_networks_with_every_norm_and_flag_work_learn_and_survive_saving(family, options):
    blocks = 2 if family in DEEP else 1
    check_generator(family, 32, blocks=blocks, **options)
    check_discriminator(family, 32, blocks=blocks, **options)


@pytest.mark.slow
@pytest.mark.parametrize("options", SOME_OPTIONS, ids=option_id)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("family", FAMILIES)
def test_networks_of_every_size_and_norm_work_learn_and_survive_saving(family, size, options):
    check_generator(family, size, **options)
    check_discriminator(family, size, **options)


@pytest.mark.parametrize(("width", "widest"), [(1, 1), (3, 1), (1, 64)])
@pytest.mark.parametrize("family", FAMILIES)
def test_any_width_and_widening_is_possible(family, width, widest):
    check_generator(family, 64, width=width, widest=widest)
    check_discriminator(family, 64, width=width, widest=widest)


@pytest.mark.parametrize("family", FAMILIES)
def test_only_tanh_bounds_the_pixels(family):
    bounded, free = (generator(family, 32, last=last) for last in ("tanh", "none"))
    for network in (bounded, free):
        with torch.no_grad():
            for weight in network.parameters():
                weight += 1
    raw = free.eval()(latents(4))
    assert torch.equal(bounded.eval()(latents(4)), raw.tanh())
    assert raw.abs().max() > 1


@pytest.mark.parametrize("family", DEEP)
def test_each_resolution_has_as_many_more_layers_as_blocks_say(family):
    def layers(blocks):
        both = generator(family, 64, blocks=blocks), discriminator(family, 64, blocks=blocks)
        return [sum(p.dim() == 4 for p in network.parameters()) for network in both]

    step = 4 * (2 if family == "resnet" else 1)  # 64 pixels: four doublings
    one = layers(1)
    assert layers(2) == [count + step for count in one]
    assert layers(5) == [count + 4 * step for count in one]


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_dcgan_with_more_than_one_layer_a_resolution_is_refused(network):
    model = model_params("dcgan", blocks=3)
    message = (
        f"model.{network}.blocks = 3: family dcgan has one layer a resolution;"
        " use upsample or resnet"
    )
    builders = {
        "generator": lambda: build.build_generator(model, 32),
        "discriminator": lambda: build.build_discriminator(
            model, DiscriminatorNorms("none", False, False), 32
        ),
    }
    with pytest.raises(GanError) as error:
        builders[network]()
    assert str(error.value) == message


@pytest.mark.parametrize("norm", [norm for norm in NORMS if norm != "batch"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_score_does_not_depend_on_the_batch(family, norm):
    network = discriminator(family, 32, norm=norm, first_norm=True)
    images = pixels(6, 32)
    assert not network.uses_batch_statistics
    alone = torch.cat([network(images[i : i + 1]) for i in range(6)])
    assert torch.allclose(network(images), alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_batch_norm_makes_a_score_depend_on_the_batch_and_says_so(family):
    network = discriminator(family, 32, norm="batch")
    images = pixels(6, 32)
    assert network.uses_batch_statistics
    assert not torch.allclose(network(images)[:3], network(images[:3]), rtol=1e-3)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("family", FAMILIES)
def test_generator_in_eval_mode_treats_samples_apart(family, norm):
    network = generator(family, 32, norm=norm).eval()
    before = latents(5)
    after = before.clone()
    after[1:] += 1
    assert torch.equal(network(before)[0], network(after)[0])
    assert not torch.equal(network(before)[1], network(after)[1])


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
def test_a_network_that_has_learnt_is_drawn_anew_as_a_fresh_one(family):
    options = {"norm": "batch", "spectral_norm": True}
    used, params = discriminator(family, 32, **options), model_params(family).discriminator
    fresh = copy.deepcopy(used).state_dict()
    used(pixels(3, 32)).sum().backward()
    with torch.no_grad():
        for parameter in used.parameters():
            parameter += parameter.grad + 1
    build.initialise(used.eval(), params, torch.Generator().manual_seed(0))
    assert all(torch.equal(value, fresh[name]) for name, value in used.state_dict().items())
    assert not any(module.training for module in used.modules())


@pytest.mark.parametrize("family", FAMILIES)
def test_precision_and_order_in_memory_do_not_change_what_is_drawn(family):
    params = model_params(family).generator
    plain = generator(family, 32)
    other = build.build_generator(model_params(family), 32)
    other = other.double().to(memory_format=torch.channels_last)
    build.initialise(other, params, torch.Generator().manual_seed(0))
    for name, value in plain.state_dict().items():
        assert torch.equal(value.double(), other.state_dict()[name].double()), name


@pytest.mark.parametrize("family", FAMILIES)
def test_a_copy_gives_the_same_and_learns_alone(family):
    for make, inputs in ((generator, latents(4)), (discriminator, pixels(4, 32))):
        network = make(family, 32, spectral_norm=True).eval()
        twin = copy.deepcopy(network)
        with torch.no_grad():
            assert torch.equal(network(inputs), twin(inputs))
            for parameter in twin.parameters():
                parameter += 1
            assert not torch.equal(network(inputs), twin(inputs))
