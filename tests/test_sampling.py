"""From seeds to images: a picture is a function of its seed, whatever is asked for beside it."""

import pytest
import torch

from gan.models.build import build_generator, initialise
from gan.pixels import to_images
from gan.sampling import BATCH, drawn_latents, generate, seed_latents


@pytest.fixture(scope="module")
def generator(make_params):
    model = make_params().model
    network = build_generator(model, 32)
    initialise(network, model.generator, torch.Generator().manual_seed(0))
    return network.eval()


def made(generator, latents):
    return torch.cat(list(generate(generator, latents)))


@pytest.mark.parametrize("count", [1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH])
def test_every_latent_becomes_one_image(generator, count):
    images = made(generator, seed_latents(range(count), 8))
    assert images.shape == (count, 3, 32, 32)
    assert images.dtype == torch.uint8


def test_an_image_does_not_depend_on_what_else_is_asked_for(generator):
    together = made(generator, seed_latents(range(40), 8))
    for seed in (0, 5, 17, 39):
        assert torch.equal(made(generator, seed_latents([seed], 8))[0], together[seed])


def test_images_are_the_quantised_pixels_of_the_generator(generator):
    latents = seed_latents(range(BATCH), 8)
    with torch.inference_mode():
        assert torch.equal(made(generator, latents), to_images(generator(latents)))


def test_order_and_repetition_of_seeds_are_kept(generator):
    images = made(generator, seed_latents([7, 3, 7], 8))
    assert torch.equal(images[0], images[2])
    assert not torch.equal(images[0], images[1])


def test_a_generator_in_training_mode_is_refused(make_params):
    with pytest.raises(ValueError, match="eval"):
        next(generate(build_generator(make_params().model, 32), torch.zeros(1, 8)))


def test_more_drawn_latents_begin_with_the_fewer():
    assert torch.equal(
        drawn_latents(1, "evaluate", 50, 8)[:20], drawn_latents(1, "evaluate", 20, 8)
    )


def test_latents_that_report_are_none_of_those_that_chose():
    chose, reported = drawn_latents(1, "evaluate", 2048, 8), drawn_latents(2, "evaluate", 5000, 8)
    assert len(torch.unique(torch.cat([chose, reported]), dim=0)) == 7048
