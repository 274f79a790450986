"""The averaged generator: an exponential moving average of parameters, with its own buffers.

Buffers are never averaged. Batch norm's statistics and spectral norm's singular vectors belong to
one network's weights; those of other weights would give wrong colours and wrong gains. They are
measured on the averaged network itself, before it generates pictures.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.parametrize import ParametrizationList

from gan.params.train import AverageParams


@torch.no_grad()
def update_average(
    average: nn.Module, network: nn.Module, images: int, images_seen: int, params: AverageParams
) -> None:
    """Move the average's parameters towards the network's, after `images` more images.

    The half-life, in images, is at most the share `warm_up` of all images seen until now (Karras
    et al. 2020, arXiv:2006.06676, appendix B). Both networks have the same parameters in the same
    order; of layers with spectral norm these are the weights before it.
    """
    half_life = min(float(params.half_life), images_seen * params.warm_up)
    weight = 1 - 0.5 ** (images / max(half_life, 1e-8))
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), weight)


@torch.no_grad()
def recalibrate(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Fit spectral norm and batch norm to the network's weights; leave it in eval mode.

    Batch norm's statistics are plain means over batches of inputs (Izmailov et al. 2018,
    arXiv:1803.05407, section 3.2), while the rest of the network is as in eval mode. The result is
    a function of parameters and inputs alone; earlier statistics are dropped. Without batch norm
    no batch is drawn.
    """
    network.eval()
    for module in network.modules():
        if isinstance(module, ParametrizationList):
            _fit_spectral_norm(module)
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # makes torch take the plain mean over all batches
        norm.train()
    for batch in batches if norms else ():
        network(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


def _fit_spectral_norm(weight: ParametrizationList) -> None:
    """Set a layer's spectral norm to the first singular vectors of its weight.

    By eigenvectors: power iterations need hundreds of steps where two singular values are close,
    and their result depends on the start. On the CPU, since not all devices have float64.
    """
    value = weight.original
    for step in weight:
        if isinstance(step, _SpectralNorm) and value.dim() > 1:
            left, right = _first_singular_vectors(step._reshape_weight_to_matrix(value))
            step._u.copy_(left)
            step._v.copy_(right)
        value = step(value)


def _first_singular_vectors(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Left (h,) and right (w,) singular vectors of the greatest singular value, float64."""
    matrix = matrix.cpu().double()
    tall = matrix.shape[0] > matrix.shape[1]
    short = matrix.T if tall else matrix
    # eigenvalues ascend
    first = torch.linalg.eigh(short @ short.T).eigenvectors[:, -1]
    second = torch.nn.functional.normalize(short.T @ first, dim=0)
    return (second, first) if tall else (first, second)
