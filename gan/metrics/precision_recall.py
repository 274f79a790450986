"""How much of one set lies where the other one is: fidelity and variety as separate numbers."""

from dataclasses import dataclass

import numpy as np

from gan.features.extraction import Features
from gan.features.feature_checks import check_features, subsample
from gan.features.statistics import Array
from gan.metrics.nearest_neighbours import nearest, within

OF_RECALL = 3  # k of precision and recall (Kynkäänniemi et al.)
OF_COVERAGE = 5  # k of density and coverage (Naeem et al.)


@dataclass(frozen=True)
class PrecisionRecall:
    """Shares in [0, 1], but for density, which is 1 on average for equal distributions.

    precision: of fakes inside the manifold of reals. recall: of reals inside that of fakes.
    density: the balls around reals a fake lies in, over k. coverage: of reals with a fake near.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def precision_recall(real: Features, fake: Features) -> PrecisionRecall:
    """Precision, recall, density and coverage of fake (M, D) features against real (N, D).

    A manifold is the union of balls around all images of a set, each as far as the image's k-th
    nearest other one; surfaces belong to it. Kynkäänniemi et al. 2019 (arXiv:1904.06991), with
    k = 3, equations 1 and 2; Naeem et al. 2020 (arXiv:2002.09797), k = 5, equations 4 and 6.
    Takes at most 10,000 images of each side, evenly spaced. Raises GanError with
    fewer than 6 reals or 4 fakes, for unequal sizes and features that are not finite.
    """
    check_features(real, fake, least=OF_RECALL + 1, purpose="recall")
    check_features(real, least=OF_COVERAGE + 1, purpose="coverage of real images")
    real, fake = subsample(real), subsample(fake)
    around_real = _radii(real, OF_COVERAGE).T
    around_fake = _radii(fake, OF_RECALL)
    limits = around_real[OF_RECALL - 1 : OF_RECALL], around_real[-1:], around_fake[:, -1:]
    small, large, of_fakes = within(fake, real, limits)
    return PrecisionRecall(
        precision=float(np.mean(small.points > 0)),
        recall=float(np.mean(of_fakes.among > 0)),
        density=float(np.mean(large.points) / OF_COVERAGE),
        coverage=float(np.mean(large.among > 0)),
    )


def _radii(features: Features, k: int) -> Array:
    """Distances (N, k) of each image to the k nearest others of its set."""
    return nearest(features, features, k, skip_self=True)[0]
