"""torchgan 0.1.0's own Trainer, networks and losses; its loader is the textbook's.

It runs as it is, but for one call that newer torchvisions refuse. Its WGAN-GP isn't the paper's:
one coefficient a batch, one norm over the whole batch, the penalty in a step of Adam of its own
with fresh fakes whose gradient also goes back through the generator. That is work it does.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

import torch
import torchvision
from contestant import timed
from peers.textbook import LATENT_SIZE, loader
from torch import nn
from torch.optim import Adam


def mend_make_grid() -> None:
    """torchgan calls make_grid(range=...), which has been called value_range since 0.9."""
    make_grid: Callable[..., Any] = torchvision.utils.make_grid

    def mended(*arguments: Any, range: Any = None, **named: Any) -> Any:
        return make_grid(*arguments, value_range=range, **named)

    torchvision.utils.make_grid = mended


def networks(size: int, width: int, norm: bool) -> dict[str, Any]:
    """The same layers as ours: its defaults have a leaky relu behind the score, and no relu."""
    from torchgan.models import DCGANDiscriminator, DCGANGenerator

    betas = (0.5, 0.999) if norm else (0.0, 0.9)
    adam = {"name": Adam, "args": {"lr": 2e-4, "betas": betas}}
    maker = {"encoding_dims": LATENT_SIZE, "out_size": size, "step_channels": width}
    critic = {"in_size": size, "step_channels": width, "batchnorm": norm}
    return {
        "generator": {
            "name": DCGANGenerator,
            "args": maker | {"nonlinearity": nn.ReLU(), "last_nonlinearity": nn.Tanh()},
            "optimizer": adam,
        },
        "discriminator": {
            "name": DCGANDiscriminator,
            "args": critic | {"last_nonlinearity": nn.Identity()},
            "optimizer": adam,
        },
    }


def make_trainer(size: int, width: int, objective: str) -> Any:
    """Its Trainer for one epoch, which ends with a checkpoint and a grid."""
    os.environ |= {"TENSORBOARD_LOGGING": "0", "VISDOM_LOGGING": "0", "CONSOLE_LOGGING": "1"}
    mend_make_grid()
    from torchgan import losses
    from torchgan.trainer import Trainer

    wanted = {
        "bce": ("MinimaxGeneratorLoss", "MinimaxDiscriminatorLoss"),
        "wgan_gp": (
            "WassersteinGeneratorLoss",
            "WassersteinDiscriminatorLoss",
            "WassersteinGradientPenalty",
        ),
    }
    return Trainer(
        networks(size, width, objective == "bce"),
        [getattr(losses, name)() for name in wanted[objective]],
        device=torch.device("cpu"),
        epochs=1,
        sample_size=64,
    )


def train(size: int, width: int, objective: str, folder: str) -> None:
    """One epoch over the pictures in `folder`."""
    trainer = make_trainer(size, width, objective)
    with timed():
        trainer(loader(folder, size))


if __name__ == "__main__":
    sys.path.append(sys.argv[5])
    train(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])
