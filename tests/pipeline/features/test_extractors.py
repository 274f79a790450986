import warnings

import pytest
import torch

from gan.errors import GanError
from pipeline.features.extractors import available_extractors, open_extractor
from pipeline.features.inception_file import weights_file
from pipeline.paths import Paths

CPU = torch.device("cpu")


class Means(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.float().mean(dim=(2, 3))


@pytest.fixture
def paths(tmp_path):
    (tmp_path / "weights").mkdir()
    return Paths(tmp_path)


def save_means(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Means()).save(str(path))


def features(make_params, *names, **changes):
    return make_params({"features.extractors": list(names)} | changes).features


def test_extractors_come_in_the_order_of_the_params(make_params, paths):
    save_means(paths.weights / "means.pt")
    for names in (["means.pt", "lite0"], ["lite0", "means.pt"]):
        found = available_extractors(features(make_params, *names), paths, CPU)
        assert [each.name == "lite0" for each in found] == [name == "lite0" for name in names]


def test_inception_is_left_out_while_its_weights_are_missing(make_params, paths):
    found = available_extractors(features(make_params, "inception", "lite0"), paths, CPU)
    assert [each.name for each in found] == ["lite0"]


def test_without_any_extractor_one_line_names_the_remedies(make_params, paths):
    with pytest.raises(GanError, match=r"gan weights fetch.*lite0") as caught:
        available_extractors(features(make_params, "inception"), paths, CPU)
    assert "\n" not in str(caught.value)


def test_weights_with_another_sha256_are_refused(make_params, paths):
    weights_file(paths).write_bytes(b"something else")
    with pytest.raises(GanError, match="sha256"):
        available_extractors(features(make_params, "inception"), paths, CPU)


def test_a_torchscript_file_is_found_by_path_and_by_name_in_weights(make_params, paths, tmp_path):
    elsewhere = tmp_path / "elsewhere.ts"
    save_means(elsewhere)
    params = features(make_params, "lite0")
    by_path = open_extractor(elsewhere, params, paths, CPU)
    (paths.weights / "means.ts").write_bytes(elsewhere.read_bytes())
    by_name = open_extractor("means.ts", params, paths, CPU)
    assert by_path.name == by_name.name
    assert by_path.digest == by_name.digest
    assert by_path.dimensions == 3


def test_an_unknown_extractor_is_refused_with_the_allowed_ones(make_params, paths):
    params = features(make_params, "lite0")
    with pytest.raises(GanError, match=r"clip\.pt.*lite0, inception"):
        open_extractor("clip.pt", params, paths, CPU)
    with pytest.raises(GanError, match="gan weights fetch"):
        open_extractor("inception", params, paths, CPU)
