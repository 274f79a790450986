import numpy as np
import pytest
import torch
from torch_fidelity.metric_isc import isc_features_to_metric

from gan.errors import GanError
from gan.metrics.inception_score import inception_score


def draw(seed, count, classes=20, scale=3.0, offset=0.0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(count, classes)) * scale + offset).astype(np.float32)


def sharp(classes, each):
    """Logits of images that are surely of one class, `each` a class."""
    return np.tile(np.eye(classes, dtype=np.float32) * 500, (each, 1))


@pytest.mark.parametrize("count", [10, 503, 1000])
def test_score_equals_torch_fidelity(count):
    logits = draw(1, count)
    peers = isc_features_to_metric(torch.from_numpy(logits))
    assert inception_score(logits) == pytest.approx(peers["inception_score_mean"], rel=1e-9)


def test_score_of_an_undecided_classifier_is_one():
    score = inception_score(np.full((200, 7), 3.25, dtype=np.float32))
    assert score == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("classes", [2, 10, 1008])
def test_score_of_sure_answers_is_the_number_of_classes(classes):
    assert inception_score(sharp(classes, 3), splits=1) == pytest.approx(classes)


def test_sure_answers_of_one_class_score_one_and_unseen_classes_count_nothing():
    logits = np.zeros((100, 5), dtype=np.float32)
    logits[:, 2] = 1e4
    assert inception_score(logits) == pytest.approx(1.0)
    logits[::2] = [1e4, 0, 0, 0, 0]
    assert inception_score(logits, splits=1) == pytest.approx(2.0)


def test_score_of_two_unequal_classes_is_exp_of_their_entropy():
    logits = np.repeat(sharp(2, 1), [30, 10], axis=0)
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert inception_score(logits, splits=1) == pytest.approx(np.exp(entropy))


def test_too_few_images_and_undefined_logits_are_refused():
    with pytest.raises(GanError, match="9 images are too few; give at least 10"):
        inception_score(draw(1, 9))
    broken = draw(1, 40)
    broken[3, 2] = np.inf
    with pytest.raises(GanError, match="infinite or undefined"):
        inception_score(broken)
