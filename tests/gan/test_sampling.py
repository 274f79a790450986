"""From seeds to images: a picture is a function of its seed, whatever is asked for beside it."""

import pytest
import torch

from gan.models.interfaces import build_generator, initialise
from gan.pixels import to_images
from gan.sampling import (
    BATCH,
    draw_latents,
    generate,
    interpolate_latents,
    seed_latents,
)


@pytest.fixture(scope="module")
def generator(make_params):
    model = make_params().model
    network = build_generator(model, 32)
    initialise(network, model.generator, torch.Generator().manual_seed(0))
    return network.eval()


def generate_all(generator, seeds):
    return torch.cat(list(generate(generator, seed_latents(seeds, 8))))


@pytest.mark.parametrize("count", [1, BATCH, 2 * BATCH + 1])
def test_an_image_does_not_depend_on_what_else_is_asked_for(generator, count):
    together = generate_all(generator, range(count))
    assert together.shape == (count, 3, 32, 32)
    assert together.dtype == torch.uint8
    for seed in {0, count // 2, count - 1}:
        assert torch.equal(generate_all(generator, [seed])[0], together[seed])
    assert len(together.unique(dim=0)) == count


def test_images_are_the_quantised_pixels_of_the_generator(generator):
    with torch.inference_mode():
        expected = to_images(generator(seed_latents(range(BATCH), 8)))
    assert torch.equal(generate_all(generator, range(BATCH)), expected)


def test_a_generator_in_training_mode_is_refused(make_params):
    with pytest.raises(ValueError, match="eval"):
        next(generate(build_generator(make_params().model, 32), torch.zeros(1, 8)))


def test_more_drawn_latents_begin_with_the_fewer_and_another_seed_has_none_of_them():
    chosen, reported = draw_latents(1, "evaluate", 2048, 8), draw_latents(2, "evaluate", 5000, 8)
    assert torch.equal(chosen[:20], draw_latents(1, "evaluate", 20, 8))
    assert len(torch.unique(torch.cat([chosen, reported]), dim=0)) == 7048


def test_truncation_must_be_from_0_to_1(generator):
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="truncation"):
            next(generate(generator, seed_latents(range(4), 8), wrong))


def test_the_way_between_two_latents_is_an_arc_of_equal_steps_from_end_to_end():
    begin, end = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 3.0])
    way = interpolate_latents(begin, end, 4)
    angles = torch.tensor([0.0, 30.0, 60.0, 90.0]).deg2rad()
    assert torch.allclose(way, 3 * torch.stack([angles.cos(), angles.sin()], 1), atol=1e-6)
    # between a latent and itself there is nothing else
    assert torch.allclose(interpolate_latents(begin, begin, 3), begin.expand(3, -1))
    assert interpolate_latents(begin, -begin, 3).isfinite().all()
