import pytest
import torch
from inception_weights import faces, patterns, standin, write_standin

from gan.features.inception import Inception
from gan.features.statistics import statistics_of
from gan.metrics.frechet_distance import frechet_distance

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def inception(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "stand-in.pth"
    return Inception(path, write_standin(path), CPU)


def test_different_sets_are_far_apart_and_halves_of_one_set_are_near(inception):
    features = inception(faces(0, 32))
    halves = [statistics_of(features[half::2].numpy()) for half in (0, 1)]
    other = statistics_of(inception(patterns(16)).numpy())
    between_sets = frechet_distance(halves[0], other)
    assert between_sets > 10
    assert between_sets > 5 * frechet_distance(*halves)


def test_the_command_writes_the_file_and_tells_its_hash(tmp_path, capsys):
    standin().main([str(tmp_path / "a.pth"), "--pictures", "2"])
    sha256 = capsys.readouterr().out.split()[-1]
    extractor = Inception(tmp_path / "a.pth", sha256, CPU)
    assert extractor.name == f"inception_{sha256[:8]}"
