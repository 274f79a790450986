"""pytorch-fid's Inception network as a feature extractor, with weights from a local file only."""

import hashlib
from pathlib import Path
from typing import Any

import pytorch_fid.inception
import torch
from torch import Tensor, nn

from gan.errors import GanError
from gan.metrics.features import check_images, exact_inference, in_parts

OFFICIAL_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
PROTOCOL = "pytorch-fid inception: uint8 / 255, bilinear to 299, pool3, float32"


class Inception:
    """2,048 features of the last pooling layer.

    The metric is `fid` with the official weights, and only with them; other weights make it
    `fd_inception_<first 8 digits of their sha256>`.
    """

    dimensions = 2048

    def __init__(self, weights: Path, sha256: str, device: torch.device) -> None:
        """Read `weights`; GanError if their sha256 is another one or they are no Inception."""
        found = _sha256(weights)
        if found != sha256:
            raise GanError(
                f"{weights}: sha256 is {found[:8]}…, but features.inception_sha256 says "
                f"{sha256[:8]}…; put the right file there or name this one in params.yaml"
            )
        official = sha256 == OFFICIAL_SHA256
        self.name = "fid" if official else f"fd_inception_{sha256[:8]}"
        self.digest = hashlib.sha256(f"{sha256} {PROTOCOL}".encode()).hexdigest()
        network = _network(weights)
        self._network = network.eval().to(device).to(memory_format=torch.channels_last)
        self._device = device

    def __call__(self, images: Tensor) -> Tensor:
        """Features (N, 2048) float32 of images (N, 3, H, W) uint8."""
        check_images(images)
        with exact_inference(self._device):
            return torch.cat([self._features(part) for part in in_parts(images, self._device)])

    def _features(self, images: Tensor) -> Tensor:
        unit = (images.to(self._device).float() / 255).contiguous(
            memory_format=torch.channels_last
        )
        pooled: Tensor = self._network(unit)[0]
        return pooled.flatten(start_dim=1)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise GanError(f"{path}: cannot be read: {error.strerror}") from None


def _network(weights: Path) -> nn.Module:
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        return _build(state)
    except Exception as error:
        problem = (str(error) or type(error).__name__).splitlines()[0]
        raise GanError(f"{weights}: holds no weights of Inception: {problem}") from None


def _build(state: dict[str, Tensor]) -> nn.Module:
    """Build pytorch-fid's network around `state`.

    Its constructor always downloads, so the one function that does so is replaced meanwhile.
    """

    def local(*_: Any, **__: Any) -> dict[str, Tensor]:
        return state

    module = pytorch_fid.inception
    download = module.load_state_dict_from_url
    module.load_state_dict_from_url = local
    try:
        network: nn.Module = module.InceptionV3([module.InceptionV3.DEFAULT_BLOCK_INDEX])
    finally:
        module.load_state_dict_from_url = download
    return network
