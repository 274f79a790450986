"""The border between images and pixels."""

import pytest
import torch

from gan.pixels import to_images, to_pixels

LEVELS = torch.arange(256, dtype=torch.uint8)


def test_all_256_levels_survive_the_way_there_and_back():
    pixels = to_pixels(LEVELS).requires_grad_()
    images = to_images(pixels)
    assert torch.equal(images, LEVELS)
    assert not images.requires_grad
    assert pixels[[0, 255]].tolist() == [-1.0, 1.0]
    assert pixels.double().mean().abs() < 1e-7


def test_rounds_to_the_nearest_level_without_bias_and_clamps():
    levels = torch.tensor([10.4, 10.6, 254.4, 254.6], dtype=torch.float64)
    assert to_images(levels / 127.5 - 1).tolist() == [10, 11, 254, 255]
    pixels = torch.linspace(-1, 1, 255 * 40 + 1, dtype=torch.float64)
    error = to_pixels(to_images(pixels)).double() - pixels
    assert error.abs().max() <= 0.5 / 127.5 + 1e-6
    assert error.mean().abs() < 1e-5
    assert to_images(torch.tensor([-9.0, -1.01, 1.01, 9.0])).tolist() == [0, 0, 255, 255]
    # bfloat16 is taken up before it is scaled
    assert to_images(torch.tensor([0.5], dtype=torch.bfloat16)).item() == 191


def test_shape_and_memory_format_stay_and_the_input_is_left_alone():
    images = torch.full((2, 8, 8, 3), 7, dtype=torch.uint8).permute(0, 3, 1, 2)
    pixels = to_pixels(images)
    kept = pixels.clone()
    assert pixels.dtype == torch.float32
    for each in (pixels, to_images(pixels)):
        assert each.shape == (2, 3, 8, 8)
        assert each.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(pixels, kept)
    assert (images == 7).all()


def test_the_wrong_side_of_the_border_is_refused():
    with pytest.raises(TypeError, match="uint8"):
        to_pixels(torch.zeros(3))
    with pytest.raises(TypeError, match="floating point"):
        to_images(LEVELS)
