"""Precision, recall, density and coverage: fidelity and variety of fakes as separate numbers."""

import numpy as np

from gan.features.statistics import Array, Features
from gan.metrics.metric import MAX_IMAGES, Metric, Number, check_features, subsample
from gan.metrics.nearest_neighbours import count_within, nearest_neighbours

RECALL_K = 3  # neighbours for precision and recall (Kynkäänniemi et al.)
COVERAGE_K = 5  # neighbours for density and coverage (Naeem et al.)


def precision_recall(real: Features, fake: Features) -> dict[str, float]:
    """Precision, recall, density and coverage of fake (M, D) features against real (N, D).

    precision: share of fakes in the manifold of the reals. recall: share of reals in that of the
    fakes. density: mean number of balls around reals that hold a fake, over k; 1 on average for
    equal distributions. coverage: share of reals with a fake in their ball.

    A manifold is the union of balls around all images of a set, up to the image's k-th nearest
    other one; surfaces belong to it. Kynkäänniemi et al. 2019 (arXiv:1904.06991), with
    k = 3, equations 1 and 2; Naeem et al. 2020 (arXiv:2002.09797), k = 5, equations 4 and 6.
    Takes at most 10,000 images of each side, evenly spaced. Raises GanError with
    fewer than 6 reals or 4 fakes, for unequal sizes and features that are not finite.
    """
    check_features(real, fake, least=RECALL_K + 1, purpose="recall")
    check_features(real, least=COVERAGE_K + 1, purpose="coverage of real images")
    real, fake = subsample(real), subsample(fake)
    around_real = _radii(real, COVERAGE_K).T
    around_fake = _radii(fake, RECALL_K)
    radii = around_real[RECALL_K - 1 : RECALL_K], around_real[-1:], around_fake[:, -1:]
    in_precision, in_coverage, in_recall = count_within(fake, real, radii)
    return {
        "precision": float(np.mean(in_precision.points > 0)),
        "recall": float(np.mean(in_recall.candidates > 0)),
        "density": float(np.mean(in_coverage.points) / COVERAGE_K),
        "coverage": float(np.mean(in_coverage.candidates > 0)),
    }


def _radii(features: Features, k: int) -> Array:
    """Distances (N, k) of each image to the k nearest others of its set."""
    return nearest_neighbours(features, features, k, skip_self=True)[0]


PRECISION_PAPER = "Kynkäänniemi et al. 2019, arXiv:1904.06991"
DENSITY_PAPER = "Naeem et al. 2020, arXiv:2002.09797"

METRIC = Metric(
    (
        Number(
            "precision",
            "Precision",
            "higher",
            "Share of the fakes that lie on the manifold of the real images: fidelity.",
            PRECISION_PAPER,
            rank=6,
            chief=True,
        ),
        Number(
            "recall",
            "Recall",
            "higher",
            "Share of the real images that lie on the manifold of the fakes: diversity.",
            PRECISION_PAPER,
            rank=7,
            chief=True,
        ),
        Number(
            "density",
            "Density",
            "higher",
            "Number of real images' neighbourhoods that a fake lies in, relative to the expected "
            "number: precision that is robust to outliers. May exceed 1.",
            DENSITY_PAPER,
            rank=5,
        ),
        Number(
            "coverage",
            "Coverage",
            "higher",
            "Share of the real images with a fake in their neighbourhood: recall that is robust "
            "to outliers.",
            DENSITY_PAPER,
            rank=4,
            chief=True,
        ),
    ),
    lambda real, fake: precision_recall(real.vectors, fake.vectors),
    biased=True,
    min_images=COVERAGE_K + 1,
    max_fakes=MAX_IMAGES,
)
