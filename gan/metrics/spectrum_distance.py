"""Distance of power spectra: lattices and checkerboards of upsampling, blur and noise at a glance.

Generators leave other spectra than photographs and drawings (Durall et al. 2020, arXiv:2003.01826;
Schwarz et al. 2021, arXiv:2111.02447). No network is in it, and it sees nothing but spectra.
"""

import numpy as np
from numpy.typing import NDArray

from gan.errors import GanError
from gan.features.statistics import Array, Features
from gan.metrics.descriptors import MAX_PICTURES
from gan.metrics.metric import Descriptor, Metric, Number, Size, check_features, not_finite_error

FLOOR = 1 / 12  # squared grey levels: the power of rounding to whole ones; below it is nothing
PROTOCOL = (
    f"pixels: uint8, at most {MAX_PICTURES} images a side, evenly spaced; power of the Fourier "
    "transform, without mean or window, over the number of pixels; mean over channels, then over "
    "rings of whole distances from 0, then over images; at least 1/12; root mean square over "
    "rings of the difference in dB"
)


def spectrum_distance(real: Features, fake: Features) -> float:
    """Root mean square over rings of 10 log10(mean power of fakes / of real images), in dB.

    real (N, rings) and fake (M, rings) are powers of images in squared grey levels, at least 1/12
    of which is counted. All rings weigh the same, from the lowest frequency to the finest
    checkerboard. Fakes with all frequencies of twice the amplitude are 6.02 dB away. Raises
    GanError for unequal rings and for powers that are not finite.
    """
    check_features(real, fake, least=1, purpose="spectrum distance")
    powers = [each.mean(axis=0, dtype=np.float64) for each in (real, fake)]
    if not np.isfinite(powers).all():
        raise not_finite_error()
    levels = 10 * np.log10(np.maximum(powers, FLOOR))
    return float(np.sqrt(np.square(levels[1] - levels[0]).mean()))


def ring_numbers(size: Size) -> NDArray[np.int64]:
    """Ring (H, W // 2 + 1) of each frequency of `rfft2`: its distance from 0, a whole number.

    In cycles across the longer side. Ring 0 is the mean alone; the last one holds the
    checkerboard of single pixels.
    """
    height, width = size
    y, x = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)
    rings: NDArray[np.int64] = np.rint(np.hypot(y, x) * max(size)).astype(np.int64)
    return rings


class _Rings:
    """Mean power of rings of frequencies, for images of one size."""

    def __init__(self, size: Size) -> None:
        rings = ring_numbers(size).ravel()
        self._pixels = size[0] * size[1]
        # all columns but the first, and the last of an even width, stand for two frequencies
        column = np.arange(rings.size) % (size[1] // 2 + 1)
        self._weights = np.where((column == 0) | (2 * column == size[1]), 1.0, 2.0)
        self._order = np.argsort(rings, kind="stable")
        self._starts = np.flatnonzero(np.diff(rings[self._order], prepend=-1))[1:]
        self._sums = np.bincount(rings, self._weights)[1:]
        self.count = len(self._sums)

    def __call__(self, images: NDArray[np.uint8]) -> Features:
        """Powers (n, rings) of images (n, 3, H, W), in squared grey levels."""
        powers = np.empty((len(images), self.count), dtype=np.float32)
        for index, image in enumerate(images):
            powers[index] = self._power(image)
        return powers

    def _power(self, image: NDArray[np.uint8]) -> Array:
        pixels = image - image.mean(axis=(1, 2), keepdims=True)
        amplitudes = np.fft.rfft2(pixels)
        power = (np.square(amplitudes.real) + np.square(amplitudes.imag)).mean(axis=0).ravel()
        sorted_power = (power * self._weights)[self._order]
        sums: Array = np.add.reduceat(sorted_power, self._starts)
        return sums / (self._sums * self._pixels)


def spectrum_of(size: Size) -> Descriptor:
    """The descriptor of images of a size; GanError for sides of less than 2 pixels."""
    if min(size) < 2:
        raise GanError(f"images of {size[1]}x{size[0]} pixels have no spectrum")
    rings = _Rings(size)
    return Descriptor(
        "spectrum",
        rings.count,
        PROTOCOL,
        rings,
        lambda real, fake: {"spectrum": spectrum_distance(real, fake)},
    )


METRIC = Metric(
    (
        Number(
            "spectrum",
            "Spectrum distance",
            "lower",
            "Root mean square difference in dB between the mean power spectra of fakes and of "
            "real images, all spatial frequencies alike: blur, noise, checkerboards. No network "
            "is in it.",
            "After Durall et al. 2020, arXiv:2003.01826",
            rank=9,
            chief=True,
            extractor="spectrum",
        ),
    ),
    max_fakes=MAX_PICTURES,
    pixels=spectrum_of,
)
