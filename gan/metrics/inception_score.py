"""Inception Score: confident classes of each image, varied classes over all images."""

from itertools import pairwise

import numpy as np
from scipy.special import log_softmax

from gan.features.statistics import Array, Features
from gan.metrics.metric import Metric, Number, check_features, not_finite_error

SPLITS = 10
ORDER_SEED = 2020  # of the permutation before splitting, as in torch-fidelity


def inception_score(logits: Features, splits: int = SPLITS) -> float:
    """exp of the mean of KL(p(class | image) || p(class)), from logits (N, C).

    From 1 to the number of classes. Salimans et al. 2016 (arXiv:1606.03498), section 4: the mean
    over `splits` parts of the images, drawn in a fixed order. Raises GanError with fewer images
    than splits and for logits that are not finite.
    """
    check_features(logits, least=splits, purpose="inception score")
    order = np.random.RandomState(ORDER_SEED).permutation(len(logits))
    bounds = [i * len(logits) // splits for i in range(splits + 1)]
    parts = (order[start:end] for start, end in pairwise(bounds))
    scores = [_score(np.asarray(logits[np.sort(part)], dtype=np.float64)) for part in parts]
    return float(np.mean(scores))


def _score(logits: Array) -> float:
    if not np.isfinite(logits).all():
        raise not_finite_error()
    logs = log_softmax(logits, axis=1)
    shares = np.exp(logs)
    overall = shares.mean(axis=0)
    # a class that no image has adds nothing, but its logarithm is undefined
    present = overall > 0
    divergences = (shares[:, present] * (logs[:, present] - np.log(overall[present]))).sum(axis=1)
    return float(np.exp(divergences.mean()))


METRIC = Metric(
    (
        Number(
            "score",
            "Inception Score",
            "higher",
            "Confidence and diversity of the classes that a classifier of photographs gives the "
            "fakes; real images play no part. Weak evidence for drawings.",
            "Salimans et al. 2016, arXiv:1606.03498",
            prefix="is",
            inception_prefix="is",
            rank=10,
        ),
    ),
    judge=lambda logits: {"score": inception_score(logits)},
    min_images=SPLITS,
)
