import hashlib
import re
import runpy
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gan.errors import GanError
from gan.features.torchscript import TorchScriptExtractor

CPU = torch.device("cpu")


class Colours(nn.Module):
    """Mean and deviation of each channel: six features; classes: darker or brighter than grey."""

    def forward(self, images: Tensor) -> Tensor:
        pixels = images.float() / 127.5 - 1
        return torch.cat([pixels.mean(dim=(2, 3)), pixels.std(dim=(2, 3))], dim=1)

    @torch.jit.export
    def logits(self, features: Tensor) -> Tensor:
        brightness = features[:, :3].mean(dim=1)
        return torch.stack([-brightness, brightness], dim=1)


class Network(nn.Module):
    def __init__(self, training):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
        self.train(training)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images.float() / 255).mean(dim=(2, 3))


class Pair(nn.Module):
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images, images


class Picky(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        if images.shape[2] != 96:
            raise ValueError("only 96 pixels")
        return images.flatten(1).float()


class Endless(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.float().mean(dim=(2, 3)).log() / 0.0


class Neighbours(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        pixels = images.float()
        return (pixels / pixels.max()).mean(dim=(2, 3))


class OneLogit(Colours):
    @torch.jit.export
    def logits(self, features: Tensor) -> Tensor:
        return features.sum()


def save(path, module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(module).save(str(path))
    return path


def noise(count, size):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)


@pytest.mark.filterwarnings("error")
def test_a_file_keeps_to_the_contract_and_is_named_by_its_hash(tmp_path):
    file = save(tmp_path / "colours.pt", Colours())
    extractor = TorchScriptExtractor(file, CPU)
    images = noise(20, 24)
    pixels = images.double() / 127.5 - 1
    expected = torch.cat([pixels.mean(dim=(2, 3)), pixels.std(dim=(2, 3))], dim=1)
    features = extractor(images)
    assert extractor.name == f"script_{hashlib.sha256(file.read_bytes()).hexdigest()[:8]}"
    assert extractor.dimensions == 6
    assert features.dtype == torch.float32
    assert torch.allclose(features.double(), expected, atol=1e-5)
    brightness = expected[:, :3].mean(dim=1)
    logits = extractor.logits(features)
    assert torch.allclose(logits.double(), torch.stack([-brightness, brightness], 1), atol=1e-5)


def test_a_module_saved_in_training_mode_is_put_into_evaluation_mode(tmp_path):
    torch.manual_seed(0)
    module = Network(training=True)
    extractor = TorchScriptExtractor(save(tmp_path / "network.pt", module), CPU)
    with torch.no_grad():
        expected = module.eval()(noise(2, 16))
    assert torch.allclose(extractor(noise(2, 16)), expected, atol=1e-5)


def test_features_of_an_image_are_the_same_bits_in_any_batch_and_call(tmp_path):
    extractor = TorchScriptExtractor(save(tmp_path / "network.pt", Network(training=False)), CPU)
    images = noise(50, 32)
    together = extractor(images)
    assert extractor.logits(together) is None  # the file has no such method
    for part in (slice(49, 50), slice(15, 18), slice(20, 36), slice(0, 50)):
        assert torch.equal(extractor(images[part]), together[part])


def test_precision_and_file_stand_in_the_digest(tmp_path):
    file = save(tmp_path / "network.pt", Network(training=False))
    other = save(tmp_path / "colours.pt", Colours())
    extractors = [
        TorchScriptExtractor(file, CPU),
        TorchScriptExtractor(file, CPU, "bf16"),
        TorchScriptExtractor(other, CPU),
    ]
    assert len({each.digest for each in extractors}) == 3
    assert extractors[1].precision == "bf16"
    exact, rounded = extractors[0](noise(4, 32)), extractors[1](noise(4, 32))
    assert 0 < (exact - rounded).abs().max() < 0.05


@pytest.mark.parametrize(
    ("module", "problem"),
    [
        (Pair(), "are a tuple"),
        (Picky(), "fail: .*only 96 pixels"),
        (Endless(), "not finite"),
        (Neighbours(), "change with the images beside it"),
        (OneLogit(), r"logits of float32 \(3, 6\) are float32 \(\)"),
    ],
)
def test_a_module_that_breaks_the_contract_is_refused_in_one_line(tmp_path, module, problem):
    file = save(tmp_path / "wrong.pt", module)
    with pytest.raises(GanError, match=problem) as caught:
        TorchScriptExtractor(file, CPU)
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


def test_other_files_are_refused_in_one_line(tmp_path):
    pickled = tmp_path / "state.pt"
    torch.save({"weight": torch.zeros(2)}, pickled)
    empty = tmp_path / "empty.pt"
    empty.touch()
    for file in (pickled, empty):
        with pytest.raises(GanError, match="not a TorchScript file") as caught:
            TorchScriptExtractor(file, CPU)
        assert "\n" not in str(caught.value)
    with pytest.raises(GanError, match="cannot be read"):
        TorchScriptExtractor(tmp_path / "absent.pt", CPU)


DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "evaluation.md"


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_the_documents_example_of_a_network_from_elsewhere_works(tmp_path, monkeypatch):
    (tmp_path / "weights").mkdir()
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "example.py"
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.S)
    script.write_text(example)
    runpy.run_path(str(script), run_name="__main__")
    extractor = TorchScriptExtractor(tmp_path / "weights" / "resnet.pt", CPU)
    assert extractor.dimensions == 512
    assert extractor(noise(2, 96)).std(dim=0).max() > 0
