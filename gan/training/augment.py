"""Augmentation of real and fake pictures before the discriminator.

DiffAugment (Zhao et al. 2020, arXiv:2006.10738) with a strength that may adapt to the
discriminator's overfitting (ADA, Karras et al. 2020, arXiv:2006.06676), and instance noise. The
random numbers of a sample are a function of (seed, stream, its global index).
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

from gan.params.train import AugmentParams, NoiseParams
from gan.randomness import normal, uniform

BRIGHTNESS, SATURATION, CONTRAST = 0.5, 1.0, 0.5
"""Largest change to either side; brightness is added, the others are factors around 1."""

MAX_TRANSLATION = 1 / 8
"""Largest translation, as a share of the picture's side."""

CUTOUT = 1 / 2
"""Side of the square that is cut out, as a share of the picture's side."""

NOISE_CHUNK = 2**17
"""Noise that is drawn at once: in a CPU's cache it takes a third of the time."""


def augment(
    pixels: Tensor,
    params: AugmentParams,
    strength: Tensor,
    seed: int,
    stream: str,
    samples: Tensor,
) -> Tensor:
    """Augment pixels (N, 3, H, W) by the enabled operations, in DiffAugment's order.

    Each is applied to a sample with probability `strength` (0-d, on the same device),
    independently of other samples and operations. samples: (N,) int64 global indices. Shape, dtype
    and memory format stay, values may leave [-1, 1]; differentiable in pixels, with a double
    backward.
    """
    # with contiguous channels, numbers that the channels share are applied in a tenth of the time
    planes = pixels.contiguous()
    for name, operation, width in (
        ("colour", _change_colours, 3),
        ("translation", _translate, 2),
        ("cutout", _cut_out, 2),
    ):
        if getattr(params, name):
            numbers = uniform(seed, f"{stream}/{name}", samples, width + 1)
            planes = operation(planes, numbers[:, 0] < strength, numbers[:, 1:])
    if pixels.is_contiguous() or not pixels.is_contiguous(memory_format=torch.channels_last):
        return planes
    return planes.contiguous(memory_format=torch.channels_last)


def adapt_strength(
    strength: Tensor, overfitting: Tensor, images: int, params: AugmentParams
) -> Tensor:
    """The strength after `images` more images (ADA, section 3.1): one step towards the target.

    overfitting: 0-d in [-1, 1], r_t of the paper: the mean sign of real pictures' scores, relative
    to the decision threshold. NaN changes nothing.
    """
    direction = torch.sign(overfitting - params.ada_target).to(strength.dtype)
    return (strength + direction * (images / params.ada_images)).clamp(0, 1)


def add_instance_noise(
    pixels: Tensor, deviation: float, seed: int, stream: str, samples: Tensor
) -> Tensor:
    """Add noise from N(0, deviation^2) to pixels (N, 3, H, W): instance noise.

    Sønderby et al. 2017 (arXiv:1610.04490), section 3.2. samples: (N,) int64 global indices.
    Shape, dtype and memory format stay.
    """
    _, channels, height, width = pixels.shape
    size = channels * height * width
    parts = torch.split(samples, max(1, NOISE_CHUNK // size))
    noise = torch.cat([normal(seed, f"{stream}/noise", part, size) for part in parts])
    # drawn as channels_last, which most batches are; others get the same numbers
    noise = noise.view(-1, height, width, channels).permute(0, 3, 1, 2)
    return torch.add(pixels, noise.to(pixels.dtype), alpha=deviation)


def noise_deviation(params: NoiseParams, images_seen: int) -> float:
    """Instance noise's standard deviation, in units of pixels: it falls linearly to 0."""
    return params.deviation * max(0.0, 1 - images_seen / params.until)


def _change_colours(planes: Tensor, selected: Tensor, numbers: Tensor) -> Tensor:
    """Change brightness, then saturation, then contrast about the sample's mean, in one pass.

    All are affine: saturation mixes with the mean of channels, contrast with that of the sample.
    """
    unit = torch.where(selected[:, None], 2 * numbers - 1, 0).to(planes.dtype)
    first, second, third = unit.view(-1, 3, 1, 1, 1).unbind(1)
    brightness, saturation = BRIGHTNESS * first, 1 + SATURATION * second
    contrast = 1 + CONTRAST * third
    grey = planes.mean(1, keepdim=True)
    level = grey.mean((2, 3), keepdim=True)
    shared = contrast * (1 - saturation) * grey + (brightness + (1 - contrast) * level)
    return contrast * saturation * planes + shared


def _translate(planes: Tensor, selected: Tensor, numbers: Tensor) -> Tensor:
    """Translate by whole pixels, down and to the right if positive; pixels from outside are 0."""
    height, width = planes.shape[2:]
    border_y, border_x = int(height * MAX_TRANSLATION + 0.5), int(width * MAX_TRANSLATION + 0.5)
    rows = _source_indices(height, border_y, selected, numbers[:, 0])
    columns = _source_indices(width, border_x, selected, numbers[:, 1])
    canvas = pad(planes, (border_x, border_x, border_y, border_y))
    indices = rows[:, :, None] * canvas.shape[3] + columns[:, None, :]
    indices = indices.flatten(1)[:, None].expand(-1, planes.shape[1], -1)
    return canvas.flatten(2).gather(2, indices).view_as(planes)


def _source_indices(side: int, border: int, selected: Tensor, draw: Tensor) -> Tensor:
    """Source index of each pixel (N, side) along an axis that has a border at both ends."""
    shift = torch.where(selected, _to_integers(draw, 2 * border + 1) - border, 0)
    return torch.arange(side, device=draw.device) + border - shift[:, None]


def _cut_out(planes: Tensor, selected: Tensor, numbers: Tensor) -> Tensor:
    """Set a square to 0, part of which may lie outside the picture."""
    height, width = planes.shape[2:]
    rows = _cut_out_mask(height, numbers[:, 0]) & selected[:, None]
    columns = _cut_out_mask(width, numbers[:, 1])
    inside = rows[:, None, :, None] & columns[:, None, None, :]
    return planes * ~inside


def _cut_out_mask(side: int, draw: Tensor) -> Tensor:
    """Mask (N, side) of the cut along an axis; its centre lies inside the picture."""
    length = int(side * CUTOUT + 0.5)
    first = _to_integers(draw, side + 1 - length % 2) - length // 2
    offset = torch.arange(side, device=draw.device) - first[:, None]
    return (offset >= 0) & (offset < length)


def _to_integers(draw: Tensor, count: int) -> Tensor:
    """Integers from 0 to count - 1 from uniform numbers in (0, 1)."""
    # the greatest float32 below 1 times a count is never rounded up to the count
    return (draw * count).long()
