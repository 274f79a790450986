import numpy as np
import pytest
import torch
from torch_fidelity.metric_isc import isc_features_to_metric

from gan.errors import GanError
from gan.metrics.inception_score import inception_score


def draw(seed, count, classes=20, scale=3.0, offset=0.0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(count, classes)) * scale + offset).astype(np.float32)


@pytest.mark.parametrize("count", [10, 503, 1000])
def test_score_equals_torch_fidelity(count):
    logits = draw(1, count)
    peers = isc_features_to_metric(torch.from_numpy(logits))
    assert inception_score(logits) == pytest.approx(peers["inception_score_mean"], rel=1e-9)


def test_score_of_an_undecided_classifier_is_one():
    score = inception_score(np.full((200, 7), 3.25, dtype=np.float32))
    assert score == pytest.approx(1.0, abs=1e-12)


def test_sure_answers_of_one_class_score_one_and_unseen_classes_count_nothing():
    logits = np.zeros((100, 5), dtype=np.float32)
    logits[:, 2] = 1e4
    assert inception_score(logits) == pytest.approx(1.0)
    logits[::2] = [1e4, 0, 0, 0, 0]
    assert inception_score(logits, splits=1) == pytest.approx(2.0)


def test_too_few_images_and_undefined_logits_are_refused():
    with pytest.raises(GanError, match="9 images are too few; give at least 10"):
        inception_score(draw(1, 9))
    broken = draw(1, 40)
    broken[3, 2] = np.inf
    with pytest.raises(GanError, match="infinite or undefined"):
        inception_score(broken)
