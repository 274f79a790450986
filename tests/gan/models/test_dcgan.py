"""DCGAN against networks that are put together of torch's layers by hand."""

import pytest
import torch
from tiny_networks import discriminator, generator, pixels, random
from torch import nn


def doubling(inner, outer, activation):
    layer = nn.ConvTranspose2d(inner, outer, 4, 2, 1, bias=False)
    return [layer, nn.BatchNorm2d(outer), activation]


def halving(outer, inner):
    layer = nn.Conv2d(outer, inner, 4, 2, 1, bias=False)
    return [layer, nn.BatchNorm2d(inner), nn.LeakyReLU(0.2)]


def torchgan_generator(width):
    """DCGANGenerator of torchgan 0.1.0 for 32 pixels: latents (N, 100, 1, 1)."""
    return nn.Sequential(
        nn.ConvTranspose2d(100, 4 * width, 4, 1, 0, bias=False),
        nn.BatchNorm2d(4 * width),
        nn.LeakyReLU(0.2),
        *doubling(4 * width, 2 * width, nn.LeakyReLU(0.2)),
        *doubling(2 * width, width, nn.LeakyReLU(0.2)),
        nn.ConvTranspose2d(width, 3, 4, 2, 1),
        nn.Tanh(),
    )


def torchgan_discriminator(width):
    """DCGANDiscriminator of torchgan 0.1.0 for 32 pixels, before its last activation."""
    return nn.Sequential(
        nn.Conv2d(3, width, 4, 2, 1),
        nn.LeakyReLU(0.2),
        *halving(width, 2 * width),
        *halving(2 * width, 4 * width),
        nn.Conv2d(4 * width, 1, 4, 1, 0, bias=False),
        nn.Flatten(0),
    )


def randomise(network):
    """Random numbers in all parameters and statistics, so that no part can hide."""
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.copy_(0.2 + 0.2 * torch.rand(value.shape, generator=random(3)))
        for parameter in network.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.2, generator=random(parameter.numel()))


def take_weights(network, oracle):
    """Give `network` the oracle's parameters and statistics, which come in the same order."""
    values = list(oracle.state_dict().values())
    state = network.state_dict()
    names = [name for name in state if name != "project_mean"]
    assert 0 <= len(names) - len(values) <= 1
    for name, value in zip(names, values, strict=False):
        # a convolution of 1x1 latents is a linear layer, written the other way round
        state[name] = (
            value.flatten(1).T if name == "project.weight" and value.dim() == 4 else value
        )
        state[name] = state[name].reshape(network.state_dict()[name].shape)
    network.load_state_dict(state)


@pytest.mark.parametrize("make", [generator, discriminator])
def test_params_alone_make_the_networks_of_others(make):
    options = {"latent_size": 100} if make is generator else {"norm": "batch"}
    oracle = torchgan_generator(6) if make is generator else torchgan_discriminator(6)
    randomise(oracle)
    made = make("dcgan", 32, width=6, widest=16, **options)
    take_weights(made, oracle)
    inputs = torch.randn(5, 100, generator=random(4)) if make is generator else pixels(5, 32)
    theirs = inputs[:, :, None, None] if isinstance(oracle[0], nn.ConvTranspose2d) else inputs
    for training in (True, False):
        expected = oracle.train(training)(theirs)
        assert expected.std() > 0.01
        assert torch.allclose(made.train(training)(inputs), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spectral_norm", [False, True], ids=["plain", "spectral"])
def test_weights_start_as_the_paper_says(spectral_norm):
    network = discriminator("dcgan", 64, norm="layer", spectral_norm=spectral_norm, width=16)
    stored = dict(network.named_parameters())
    kernels = torch.cat([v.flatten() for v in stored.values() if v.dim() == 4])
    assert kernels.numel() > 50_000
    assert kernels.mean().item() == pytest.approx(0, abs=0.001)
    assert kernels.std().item() == pytest.approx(0.02, rel=0.02)
    norms = [each for each in network.modules() if isinstance(each, nn.GroupNorm)]
    gains = torch.cat([norm.weight for norm in norms])
    assert gains.mean().item() == pytest.approx(1, abs=0.01)
    assert gains.std().item() == pytest.approx(0.02, rel=0.2)
    assert all(not v.any() for k, v in stored.items() if k.endswith("bias"))
