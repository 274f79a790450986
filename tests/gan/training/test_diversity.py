"""Diversity of generated pictures: nothing for a collapse, distances in levels otherwise."""

import math

import pytest
import torch

from gan.training.loop import diversity


def scenes(count, side=64):
    """Pictures of 4x4 fields of random colours, all of them different."""
    random = torch.Generator().manual_seed(0)
    fields = torch.randint(256, (count, 3, 4, 4), generator=random, dtype=torch.uint8)
    return fields.repeat_interleave(side // 4, 2).repeat_interleave(side // 4, 3)


@pytest.mark.parametrize("modes", [1, 2, 5])
def test_modes_each_more_than_once_have_none(modes):
    assert diversity(scenes(modes).repeat(3, 1, 1, 1)) == 0


def test_it_is_the_mean_over_nearest_neighbours_by_brute_force_in_any_order_and_layout():
    images = scenes(12, 32)
    small = images.double().unflatten(2, (16, 2)).unflatten(4, (16, 2)).mean((3, 5))
    distances = (small[:, None] - small[None]).square().mean((2, 3, 4)).sqrt()
    nearest = (distances + torch.diag(torch.full((12,), torch.inf))).amin(1)
    turned = images.flip(0).contiguous(memory_format=torch.channels_last)
    for each in (images, turned):
        assert diversity(each) == pytest.approx(nearest.mean().item(), rel=1e-12)


def test_half_collapsed_gives_half():
    # orthogonal: a white field at a place of its own, so that all are equally far apart
    images = torch.zeros(16, 3, 64, 64, dtype=torch.uint8)
    for index in range(16):
        row, column = divmod(index, 4)
        images[index, :, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16] = 255
    whole = diversity(images)
    assert whole == pytest.approx(255 * math.sqrt(2 / 16))
    images[8:] = images[8]
    assert diversity(images) == pytest.approx(whole / 2)


@pytest.mark.parametrize("modes", [1, 4])
def test_noise_of_a_few_levels_hides_no_collapse(modes):
    random = torch.Generator().manual_seed(2)
    collapsed = scenes(modes).repeat(64 // modes, 1, 1, 1).int()
    noise = torch.randint(-4, 5, collapsed.shape, generator=random)
    collapsed = (collapsed + noise).clamp(0, 255).to(torch.uint8)
    assert 0 < diversity(collapsed) < 0.05 * diversity(scenes(64))


def test_fine_texture_is_not_diversity():
    random = torch.Generator().manual_seed(3)
    texture = torch.randint(2, (16, 1, 128, 128), generator=random, dtype=torch.uint8) * 60 + 100
    # 64 pixels to a mean: a deviation of 30 / 8 levels, and sqrt(2) of that apart
    expected = 30 / 8 * math.sqrt(2)
    assert diversity(texture.expand(-1, 3, -1, -1)) == pytest.approx(expected, rel=0.15)


def test_one_picture_alone_and_pixels_are_refused():
    with pytest.raises(ValueError, match="at least 2"):
        diversity(scenes(1))
    with pytest.raises(TypeError, match="uint8"):
        diversity(torch.zeros(4, 3, 32, 32))
