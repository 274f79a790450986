"""pytorch-fid's Inception network as a feature extractor, with weights from a local file only."""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_fid.inception
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.inception import BasicConv2d

from gan.errors import GanError
from gan.features.extractor import Precision, exact_inference, extract_in_parts, read_weights

OFFICIAL_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
PROTOCOL = "pytorch-fid inception: uint8 / 255, bilinear to 299, pool3"
SIDE = 299  # of the network's input, in pixels
CLASSIFIER = "fc.weight"
STEM_BATCH_ON_CPU = 4  # images at once in the stem, which memory limits, not arithmetic

CPU = torch.device("cpu")


class Inception:
    """2,048 features of the last pooling layer, and logits of 1,008 classes.

    Its name is `inception` with the official weights only; with other weights of the same network
    it is `inception_<first 8 digits of their sha256>`.
    """

    dimensions = 2048
    protocol = PROTOCOL

    def __init__(
        self,
        weights: Path,
        sha256: str,
        device: torch.device,
        precision: Precision = "float32",
        batch_size: int = 64,
    ) -> None:
        """Read `weights`; GanError if they have another sha256 or are not Inception's."""
        state = _state(weights, sha256)
        stem, body = _network(state, weights)
        self.name = "inception" if sha256 == OFFICIAL_SHA256 else f"inception_{sha256[:8]}"
        self.precision = precision
        self.digest = hashlib.sha256(f"{sha256} {PROTOCOL} {precision}".encode()).hexdigest()
        self._stem = stem.to(device).to(memory_format=torch.channels_last)
        self._body = body.to(device).to(memory_format=torch.channels_last)
        self._classes = state[CLASSIFIER].float()
        self._device, self._batch_size = device, batch_size

    def __call__(self, images: Tensor) -> Tensor:
        """Features (N, 2048) float32 of images (N, 3, H, W) uint8."""
        with exact_inference(self._device, self.precision):
            return extract_in_parts(self._features, images, self._device, self._batch_size)

    def logits(self, features: Tensor) -> Tensor:
        """Logits (N, 1008) without the classifier's bias, as the Inception Score uses them.

        Salimans et al. 2016 (arXiv:1606.03498), section 4; the bias only holds the frequencies of
        the classes in ImageNet.
        """
        with exact_inference(CPU):
            return features @ self._classes.T

    def _features(self, images: Tensor) -> Tensor:
        at_once = STEM_BATCH_ON_CPU if self._device.type == "cpu" else len(images)
        maps = torch.cat([self._stem(_preprocess(part)) for part in torch.split(images, at_once)])
        features: Tensor = self._body(maps).float().mean(dim=(2, 3))
        return features


def _preprocess(images: Tensor) -> Tensor:
    """uint8 images to the network's input: in [-1, 1], 299 pixels a side."""
    unit = (images.float() / 255).contiguous(memory_format=torch.channels_last)
    large = functional.interpolate(unit, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    return large.mul_(2).sub_(1)


def _state(weights: Path, sha256: str) -> Mapping[str, Tensor]:
    """Load `weights`; GanError if its sha256 is another one or a number is not finite."""
    content = read_weights(weights)
    actual = hashlib.sha256(content).hexdigest()
    if actual != sha256:
        raise GanError(
            f"{weights}: sha256 is {actual[:8]}…, but features.inception_sha256 is "
            f"{sha256[:8]}…; put the right file there, or this file's sha256 into params.yaml"
        )
    try:
        state: dict[str, Tensor] = torch.load(
            io.BytesIO(content), map_location="cpu", weights_only=True
        )
        broken = [key for key, values in state.items() if not torch.isfinite(values).all()]
    except Exception as error:
        raise _unusable(weights, error) from None
    if broken:
        raise GanError(
            f"{weights}: {broken[0]} holds numbers that are not finite; get the weights again"
        )
    return state


def _unusable(weights: Path, error: Exception) -> GanError:
    problem = (str(error) or type(error).__name__).splitlines()[0]
    return GanError(f"{weights}: not Inception's weights: {problem}")


def _network(state: Mapping[str, Tensor], weights: Path) -> tuple[nn.Module, nn.Module]:
    """The stem, where feature maps are large, and the body up to the last pooling."""
    try:
        blocks = list(_build(state).eval().blocks.children())  # type: ignore[union-attr]
    except Exception as error:
        raise _unusable(weights, error) from None
    *last, _pooling = blocks[3].children()
    stem, body = nn.Sequential(*blocks[:2]), nn.Sequential(blocks[2], *last)
    _fold_norms(stem)
    _fold_norms(body)
    return stem, body


def _build(state: Mapping[str, Tensor]) -> nn.Module:
    """Build pytorch-fid's network with the weights `state`.

    Its constructor always downloads weights, so its download function is replaced meanwhile.
    """

    def local(*_: Any, **__: Any) -> Mapping[str, Tensor]:
        return state

    module = pytorch_fid.inception
    download = module.load_state_dict_from_url
    module.load_state_dict_from_url = local
    try:
        network: nn.Module = module.InceptionV3([module.InceptionV3.DEFAULT_BLOCK_INDEX])
    finally:
        module.load_state_dict_from_url = download
    return network


def _fold_norms(network: nn.Module) -> None:
    """Fold batch norms into the convolutions before them: faster, equal except for rounding."""
    for module in network.modules():
        if isinstance(module, BasicConv2d):
            module.conv = fuse_conv_bn_eval(module.conv, module.bn)
            module.bn = nn.Identity()
