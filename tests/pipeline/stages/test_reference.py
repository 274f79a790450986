import json
import shutil

import numpy as np
import pytest
import torch

from gan.errors import GanError
from gan.features.efficientnet import Lite0
from gan.features.statistics import load_statistics, statistics_of
from gan.metrics.frechet_distance import frechet_distance
from gan.metrics.kernel_distance import kernel_distance
from pipeline.paths import Paths
from pipeline.stages.reference import run


@pytest.fixture
def paths(tmp_path):
    return Paths(tmp_path / "checkout")


@pytest.fixture
def params(make_params):
    return make_params({"features.extractors": ["lite0", "inception"]})


@pytest.mark.slow
def test_the_files_hold_the_features_and_statistics_of_each_split(
    paths, params, capsys, write_cache, noise_images
):
    write_cache(paths.cache, noise_images[:25], holdout=5)
    summary = run(params, paths)
    assert summary.counts == {"train": 20, "holdout": 5}
    assert summary.extractors == ["lite0"]
    features = Lite0(torch.device("cpu"))(
        torch.from_numpy(noise_images[:25]).permute(0, 3, 1, 2)
    ).numpy()
    expected = {"train": features[:20], "holdout": features[20:]}
    for name, vectors in expected.items():
        np.testing.assert_array_equal(np.load(paths.reference / f"lite0-{name}.npy"), vectors)
        statistics, _ = load_statistics(paths.reference / f"lite0-{name}.npz")
        assert statistics.count == len(vectors)
        np.testing.assert_allclose(statistics.mean, vectors.mean(axis=0), atol=1e-5)
        np.testing.assert_allclose(statistics.covariance, np.cov(vectors.T), atol=1e-4)
    assert "gan weights fetch" in capsys.readouterr().err
    train, holdout = expected["train"], expected["holdout"]
    frechet = frechet_distance(statistics_of(train), statistics_of(holdout))
    assert json.loads((paths.reports / "reference.json").read_text()) == {
        "fd_lite0_20_holdout_small5_real": pytest.approx(frechet, rel=1e-5),
        "kd_lite0_20_holdout_real": pytest.approx(
            kernel_distance(train, holdout)["kernel"], rel=1e-5
        ),
    }


@pytest.mark.slow
def test_running_again_gives_equal_bytes_and_removes_files_of_other_extractors(
    paths, params, write_cache, noise_images
):
    write_cache(paths.cache, noise_images[:4], holdout=0)
    first = [file.read_bytes() for file in run(params, paths).files]
    (paths.reference / "inception-train.npz").write_bytes(b"of missing weights")
    summary = run(params, paths)
    assert [file.read_bytes() for file in summary.files] == first
    assert summary.counts == {"train": 4}
    found = sorted(path.name for path in paths.reference.iterdir())
    assert found == ["lite0-train.npy", "lite0-train.npz"]
    shutil.rmtree(paths.features)
    assert [file.read_bytes() for file in run(params, paths).files] == first


@pytest.mark.parametrize(
    ("train", "holdout", "exported", "floors"),
    [
        (4, 1, {"train"}, 0),
        (1, 0, set(), 0),
        (4, 2, {"train", "holdout"}, 1),  # Fréchet distances need 2 of a side, others 4
        (4, 4, {"train", "holdout"}, 2),
    ],
)
def test_splits_and_distances_without_enough_images_are_left_out(
    paths, params, train, holdout, exported, floors, write_cache, noise_images
):
    write_cache(paths.cache, noise_images[: train + holdout], holdout=holdout)
    summary = run(params, paths)
    assert set(summary.counts) == exported
    names = {f"lite0-{split}.np{kind}" for split in exported for kind in "yz"}
    assert {path.name for path in paths.reference.iterdir()} == names
    assert len(summary.floors) == floors
    assert json.loads((paths.reports / "reference.json").read_text()) == summary.floors


def test_an_absent_cache_and_weights_with_another_digest_are_refused_before_any_work(
    paths, params, write_cache, noise_images
):
    with pytest.raises(GanError, match="no tensor cache"):
        run(params, paths)
    write_cache(paths.cache, noise_images[:4], holdout=0)
    paths.weights.mkdir()
    (paths.weights / "pt_inception-2015-12-05-6726825d.pth").write_bytes(b"something else")
    with pytest.raises(GanError, match=r"features\.inception_sha256"):
        run(params, paths)
    assert not paths.reference.exists()
