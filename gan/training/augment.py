"""What is done to pictures before the discriminator sees them, real and fake alike.

Augmentation as in DiffAugment (Zhao et al. 2020, arXiv:2006.10738), with a strength that may
follow the discriminator's overfitting (ADA, Karras et al. 2020, arXiv:2006.06676), and instance
noise. What is drawn for a sample is a function of (seed, stream, its global index).
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

from gan.params.train import AugmentParams, NoiseParams
from gan.randomness import normal, uniform

BRIGHTNESS, SATURATION, CONTRAST = 0.5, 1.0, 0.5
"""How far each goes to either side; brightness is added, the others are factors around 1."""

FARTHEST = 1 / 8
"""A translation moves a picture at most by this share of its side."""

CUT = 1 / 2
"""Share of the picture's side that is cut out."""

PART = 2**17
"""Numbers of noise that a processor draws at once: what is in its cache takes a third of the
time."""


def augment(
    pixels: Tensor,
    params: AugmentParams,
    strength: Tensor,
    seed: int,
    stream: str,
    samples: Tensor,
) -> Tensor:
    """Change pixels (N, 3, H, W) by the operations that are switched on, in DiffAugment's order.

    Each touches a sample with probability `strength` (0-d, on the same device), independently of
    other samples and operations, and otherwise leaves it as it is. samples: (N,) int64 global
    indices. Shape, dtype and memory format stay, values may leave [-1, 1]; differentiable in
    pixels, also twice.
    """
    # a colour or a mask that three channels share is applied to planes in a tenth of the time
    planes = pixels.contiguous()
    if params.colour:
        planes = _coloured(planes, *_drawn(seed, f"{stream}/colour", samples, strength, 3))
    if params.translation:
        planes = _moved(planes, *_drawn(seed, f"{stream}/translation", samples, strength, 2))
    if params.cutout:
        planes = _cut(planes, *_drawn(seed, f"{stream}/cutout", samples, strength, 2))
    return _laid_out_like(pixels, planes)


def adapted(strength: Tensor, overfitting: Tensor, images: int, params: AugmentParams) -> Tensor:
    """The strength after `images` more images (ADA, section 3.1): one step towards the target.

    overfitting: 0-d in [-1, 1], their r_t: the mean sign of real pictures' scores, from the score
    that means neither real nor fake. One that is not a number changes nothing.
    """
    direction = torch.sign(overfitting - params.ada_target).to(strength.dtype)
    return (strength + direction * (images / params.ada_images)).clamp(0, 1)


def noisy(pixels: Tensor, deviation: float, seed: int, stream: str, samples: Tensor) -> Tensor:
    """Add noise from N(0, deviation^2) to pixels (N, 3, H, W): instance noise.

    Sønderby et al. 2017 (arXiv:1610.04490), section 3.2. samples: (N,) int64 global indices.
    Shape, dtype and memory format stay.
    """
    _, channels, height, width = pixels.shape
    noise = _normal(seed, f"{stream}/noise", samples, channels * height * width)
    # channels last, as most batches are; the same numbers for those that are not
    noise = noise.view(-1, height, width, channels).permute(0, 3, 1, 2)
    return torch.add(pixels, noise.to(pixels.dtype), alpha=deviation)


def deviation_at(params: NoiseParams, images_seen: int) -> float:
    """Instance noise's standard deviation, in units of pixels: it falls linearly to 0."""
    return params.deviation * max(0.0, 1 - images_seen / params.until)


def _drawn(
    seed: int, stream: str, samples: Tensor, strength: Tensor, width: int
) -> tuple[Tensor, Tensor]:
    """Which samples an operation touches (N,), and its uniform numbers for each (N, width)."""
    numbers = uniform(seed, stream, samples, width + 1)
    return numbers[:, 0] < strength, numbers[:, 1:]


def _coloured(planes: Tensor, touched: Tensor, numbers: Tensor) -> Tensor:
    """Brightness, then saturation, then contrast about the sample's mean, in one pass.

    They are affine: saturation mixes with the mean of channels, contrast with that of the sample.
    """
    unit = torch.where(touched[:, None], 2 * numbers - 1, 0).to(planes.dtype)
    brightness, saturation, contrast = unit.view(-1, 3, 1, 1, 1).unbind(1)
    brightness, saturation, contrast = (
        BRIGHTNESS * brightness,
        1 + SATURATION * saturation,
        1 + CONTRAST * contrast,
    )
    grey = planes.mean(1, keepdim=True)
    level = grey.mean((2, 3), keepdim=True)
    shared = contrast * (1 - saturation) * grey + (brightness + (1 - contrast) * level)
    return contrast * saturation * planes + shared


def _moved(planes: Tensor, touched: Tensor, numbers: Tensor) -> Tensor:
    """Translate by whole pixels, down and to the right if positive; what comes in is 0."""
    height, width = planes.shape[2:]
    border_y, border_x = int(height * FARTHEST + 0.5), int(width * FARTHEST + 0.5)
    rows = _sources(height, border_y, touched, numbers[:, 0])
    columns = _sources(width, border_x, touched, numbers[:, 1])
    canvas = pad(planes, (border_x, border_x, border_y, border_y))
    places = rows[:, :, None] * canvas.shape[3] + columns[:, None, :]
    places = places.flatten(1)[:, None].expand(-1, planes.shape[1], -1)
    return canvas.flatten(2).gather(2, places).view_as(planes)


def _sources(side: int, border: int, touched: Tensor, draw: Tensor) -> Tensor:
    """Where each place (N, side) of an axis comes from, on an axis with a border at both ends."""
    shift = torch.where(touched, _whole(draw, 2 * border + 1) - border, 0)
    return torch.arange(side, device=draw.device) + border - shift[:, None]


def _cut(planes: Tensor, touched: Tensor, numbers: Tensor) -> Tensor:
    """Set a square to 0 that may stand out over the edge."""
    height, width = planes.shape[2:]
    rows = _covered(height, numbers[:, 0]) & touched[:, None]
    columns = _covered(width, numbers[:, 1])
    inside = rows[:, None, :, None] & columns[:, None, None, :]
    return planes * ~inside


def _covered(side: int, draw: Tensor) -> Tensor:
    """Which places (N, side) of an axis are cut out; the middle of the cut is in the picture."""
    length = int(side * CUT + 0.5)
    first = _whole(draw, side + 1 - length % 2) - length // 2
    offset = torch.arange(side, device=draw.device) - first[:, None]
    return (offset >= 0) & (offset < length)


def _whole(draw: Tensor, count: int) -> Tensor:
    """Whole numbers from 0 to count - 1 of uniform ones in (0, 1)."""
    # the greatest float32 below 1 times a count is never rounded up to the count
    return (draw * count).long()


def _laid_out_like(pixels: Tensor, planes: Tensor) -> Tensor:
    if pixels.is_contiguous() or not pixels.is_contiguous(memory_format=torch.channels_last):
        return planes
    return planes.contiguous(memory_format=torch.channels_last)


def _normal(seed: int, stream: str, samples: Tensor, width: int) -> Tensor:
    """normal(), a few samples at a time where that is faster."""
    if samples.device.type != "cpu":
        return normal(seed, stream, samples, width)
    parts = torch.split(samples, max(1, PART // width))
    return torch.cat([normal(seed, stream, part, width) for part in parts])
