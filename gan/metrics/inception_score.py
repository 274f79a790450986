"""The Inception Score: how sure a classifier is of each image, and how many classes it sees."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import log_softmax

from gan.features.extraction import Features
from gan.features.feature_checks import check_features, not_finite_error
from gan.features.statistics import Array

SPLITS = 10
ORDER = 2020  # torch-fidelity's seed of the order before splitting, so that scores are equal


@dataclass(frozen=True)
class InceptionScore:
    """value: mean over the splits, from 1 to the number of classes; deviation: theirs."""

    value: float
    deviation: float


def inception_score(logits: Features, splits: int = SPLITS) -> InceptionScore:
    """exp of the mean of KL(p(class | image) || p(class)), from logits (N, C).

    Salimans et al. 2016 (arXiv:1606.03498), section 4: mean and deviation (divided by `splits`)
    over parts of the images, drawn in a fixed order. Raises GanError with fewer images than
    splits and for logits that are not finite.
    """
    check_features(logits, least=splits, purpose="inception score")
    order = np.random.RandomState(ORDER).permutation(len(logits))
    bounds = [i * len(logits) // splits for i in range(splits + 1)]
    parts = (order[start:end] for start, end in pairwise(bounds))
    scores = [_score(np.asarray(logits[np.sort(part)], dtype=np.float64)) for part in parts]
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)))


def _score(logits: Array) -> float:
    if not np.isfinite(logits).all():
        raise not_finite_error()
    logs = log_softmax(logits, axis=1)
    shares = np.exp(logs)
    overall = shares.mean(axis=0)
    # a class that no image has a share of adds nothing, but its logarithm isn't defined
    seen = overall > 0
    divergences = (shares[:, seen] * (logs[:, seen] - np.log(overall[seen]))).sum(axis=1)
    return float(np.exp(divergences.mean()))
