import hashlib
import io

import pytest
import pytorch_fid.inception as peer
import torch
from inception_weights import faces, standin_content, write_pngs, write_standin
from pytorch_fid.fid_score import get_activations

from gan.errors import GanError
from gan.features.inception import OFFICIAL_SHA256, Inception

CPU = torch.device("cpu")


def sha256_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "stand-in.pth"
    write_standin(path)
    return path


@pytest.fixture(scope="module")
def inception(weights):
    return Inception(weights, sha256_of(weights), CPU)


def standin_state():
    return torch.load(io.BytesIO(standin_content()), weights_only=True)


@pytest.mark.slow
def test_features_equal_pytorch_fids_activations_of_the_same_pictures(
    inception, tmp_path, monkeypatch
):
    images = faces(0, 5)
    monkeypatch.setattr(peer, "load_state_dict_from_url", lambda *_, **__: standin_state())
    expected = torch.from_numpy(
        get_activations(
            write_pngs(images, tmp_path), peer.InceptionV3([3]), batch_size=5, num_workers=0
        )
    )
    features = inception(images)
    assert features.dtype == torch.float32
    assert features.shape == (5, inception.dimensions) == (5, 2048)
    assert expected.std(dim=0).mean() > 0.05 * expected.abs().mean()  # the features are alive
    assert (features - expected).norm() < 1e-4 * expected.norm()  # both are 8e-5 from float64


@pytest.mark.slow
def test_features_of_an_image_are_the_same_bits_in_any_batch(inception):
    images = faces(0, 20)
    together = inception(images)
    for part in (slice(19, 20), slice(14, 17)):
        assert torch.equal(inception(images[part]), together[part])


@pytest.mark.slow
def test_logits_are_those_of_the_classifier_without_its_bias(inception):
    features = torch.rand(3, 2048, generator=torch.Generator().manual_seed(0))
    logits = inception.logits(features)
    expected = features.double() @ standin_state()["fc.weight"].double().T
    assert logits.shape == (3, 1008)
    assert (logits - expected).norm() < 1e-5 * expected.norm()


@pytest.mark.slow
def test_other_weights_are_never_called_inception_and_pytorch_fid_stays_as_it_was(weights):
    before = peer.load_state_dict_from_url
    sha256 = sha256_of(weights)
    extractor = Inception(weights, sha256, CPU)
    assert extractor.name == f"inception_{sha256[:8]}"
    assert "\n" not in extractor.protocol
    assert peer.load_state_dict_from_url is before
    with pytest.raises(GanError, match="sha256"):
        Inception(weights, OFFICIAL_SHA256, CPU)


@pytest.mark.slow
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_in_one_line(tmp_path, value):
    path = tmp_path / "damaged.pth"
    state = standin_state()
    state["Mixed_6b.branch1x1.bn.running_var"][3] = value
    torch.save(state, path)
    with pytest.raises(GanError, match=r"Mixed_6b\.branch1x1\.bn\.running_var.*finite") as caught:
        Inception(path, sha256_of(path), CPU)
    assert "\n" not in str(caught.value)


def test_weights_of_another_network_and_absent_ones_are_refused(tmp_path):
    path = tmp_path / "linear.pth"
    for content in (torch.nn.Linear(2, 2).state_dict(), [1, 2]):
        torch.save(content, path)
        with pytest.raises(GanError, match="not Inception's weights"):
            Inception(path, sha256_of(path), CPU)
    path.write_bytes(b"not weights")
    with pytest.raises(GanError, match="not Inception's weights"):
        Inception(path, sha256_of(path), CPU)
    with pytest.raises(GanError, match="cannot be read"):
        Inception(tmp_path / "absent.pth", OFFICIAL_SHA256, CPU)


def test_weights_cannot_run_code(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    path = tmp_path / "trap.pth"
    torch.save({"weight": Trap()}, path)
    with pytest.raises(GanError, match="not Inception's weights"):
        Inception(path, sha256_of(path), CPU)
    assert not (tmp_path / "sprung").exists()
