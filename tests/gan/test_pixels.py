"""The border between images and pixels."""

import pytest
import torch

from gan.pixels import to_images, to_pixels

LEVELS = torch.arange(256, dtype=torch.uint8)


def test_all_256_levels_survive_the_way_there_and_back():
    assert torch.equal(to_images(to_pixels(LEVELS)), LEVELS)


def test_ends_and_middle_are_where_they_should_be():
    assert to_pixels(LEVELS[[0, 255]]).tolist() == [-1.0, 1.0]
    assert to_pixels(LEVELS).double().mean().abs() < 1e-7


def test_rounds_to_the_nearest_level():
    levels = torch.tensor([10.4, 10.6, 254.4, 254.6], dtype=torch.float64)
    assert to_images(levels / 127.5 - 1).tolist() == [10, 11, 254, 255]


def test_rounding_has_no_bias():
    pixels = torch.linspace(-1, 1, 255 * 40 + 1, dtype=torch.float64)
    error = to_pixels(to_images(pixels)).double() - pixels
    assert error.abs().max() <= 0.5 / 127.5 + 1e-6
    assert error.mean().abs() < 1e-5


def test_values_outside_are_clamped():
    assert to_images(torch.tensor([-9.0, -1.01, 1.01, 9.0])).tolist() == [0, 0, 255, 255]


def test_shape_and_memory_format_stay():
    images = torch.zeros(2, 8, 8, 3, dtype=torch.uint8).permute(0, 3, 1, 2)
    pixels = to_pixels(images)
    assert pixels.dtype == torch.float32
    assert pixels.shape == (2, 3, 8, 8)
    assert pixels.is_contiguous(memory_format=torch.channels_last)
    assert to_images(pixels).is_contiguous(memory_format=torch.channels_last)


def test_neither_direction_touches_its_input():
    images, pixels = LEVELS.clone(), to_pixels(LEVELS).requires_grad_()
    to_pixels(images)
    quantised = to_images(pixels)
    assert torch.equal(images, LEVELS)
    assert torch.equal(pixels.detach(), to_pixels(LEVELS))
    assert not quantised.requires_grad


def test_bfloat16_is_taken_up_before_it_is_scaled():
    pixels = torch.tensor([0.5], dtype=torch.bfloat16)
    assert to_images(pixels).item() == 191


def test_the_wrong_side_of_the_border_is_refused():
    with pytest.raises(TypeError, match="uint8"):
        to_pixels(torch.zeros(3))
    with pytest.raises(TypeError, match="floating point"):
        to_images(LEVELS)
