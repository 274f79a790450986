import hashlib

import pytest
import pytorch_fid.inception as peer
import torch
import torchvision
from PIL import Image
from pytorch_fid.fid_score import get_activations

from gan.errors import GanError
from gan.metrics.inception import OFFICIAL_SHA256, Inception

CPU = torch.device("cpu")


def coloured_images(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 6, 6, generator=generator)
    fine = torch.nn.functional.interpolate(coarse, size=(64, 64), mode="bilinear")
    return (fine * 255).round().to(torch.uint8)


def stand_in_state():
    """Seeded weights whose batch norms know their inputs, so that features are alive."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(peer, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(torchvision.models.Inception3, "load_state_dict", lambda *_: None)
        torch.manual_seed(1)
        network = peer.fid_inception_v3()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    network.train()
    pixels = coloured_images(6, seed=9).float() / 127.5 - 1
    with torch.no_grad():
        network(torch.nn.functional.interpolate(pixels, size=(299, 299), mode="bilinear"))
    return network.state_dict()


def sha256_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "stand-in.pth"
    torch.save(stand_in_state(), path)
    return path


@pytest.mark.slow
def test_features_equal_pytorch_fids_activations_of_the_same_pictures(
    weights, tmp_path, monkeypatch
):
    images = coloured_images(5)
    files = [tmp_path / f"{row}.png" for row in range(len(images))]
    for image, file in zip(images, files, strict=True):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(file)
    state = torch.load(weights, weights_only=True)
    monkeypatch.setattr(peer, "load_state_dict_from_url", lambda *_, **__: state)
    expected = torch.from_numpy(
        get_activations(files, peer.InceptionV3([3]), batch_size=5, num_workers=0)
    )
    features = Inception(weights, sha256_of(weights), CPU)(images)
    assert features.dtype == torch.float32
    assert features.shape == (5, 2048)
    assert expected.std(dim=0).mean() > 0.05 * expected.abs().mean()  # the features are alive
    assert (features - expected).norm() < 1e-4 * expected.norm()


@pytest.mark.slow
def test_other_weights_never_make_a_metric_called_fid(weights):
    sha256 = sha256_of(weights)
    extractor = Inception(weights, sha256, CPU)
    assert extractor.name == f"fd_inception_{sha256[:8]}"
    assert extractor.dimensions == 2048
    with pytest.raises(GanError, match="sha256"):
        Inception(weights, OFFICIAL_SHA256, CPU)


@pytest.mark.slow
def test_building_the_network_leaves_pytorch_fid_as_it_was(weights):
    before = peer.load_state_dict_from_url
    Inception(weights, sha256_of(weights), CPU)
    assert peer.load_state_dict_from_url is before


@pytest.mark.parametrize("content", [b"not weights", b""])
def test_a_file_that_holds_no_weights_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "bad.pth"
    path.write_bytes(content)
    with pytest.raises(GanError, match="no weights of Inception") as caught:
        Inception(path, sha256_of(path), CPU)
    assert "\n" not in str(caught.value)


def test_weights_of_another_network_and_absent_ones_are_refused(tmp_path):
    path = tmp_path / "linear.pth"
    torch.save(torch.nn.Linear(2, 2).state_dict(), path)
    with pytest.raises(GanError, match="no weights of Inception"):
        Inception(path, sha256_of(path), CPU)
    with pytest.raises(GanError, match="cannot be read"):
        Inception(tmp_path / "absent.pth", OFFICIAL_SHA256, CPU)


def test_weights_cannot_run_code(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    path = tmp_path / "trap.pth"
    torch.save({"weight": Trap()}, path)
    with pytest.raises(GanError, match="no weights of Inception"):
        Inception(path, sha256_of(path), CPU)
    assert not (tmp_path / "sprung").exists()
