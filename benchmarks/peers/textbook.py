"""The loop that everybody writes: PyTorch's DCGAN example, and WGAN-GP in the same manner.

ImageFolder, a DataLoader with two workers, float32, torch's own layers and layout, a loss printed
each 50 steps, a grid each 100 and at the end, both networks saved at the end of the epoch.
"""

import sys
from itertools import pairwise

import torch
from contestant import timed
from torch import Tensor, nn
from torch.optim import Adam
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import CenterCrop, Compose, Normalize, Resize, ToTensor
from torchvision.utils import save_image

LATENT_SIZE, BATCH_SIZE, WORKERS = 100, 64, 2
PENALTY, LOG_EVERY, GRID_EVERY = 10, 50, 100


def channels(size: int, width: int) -> list[int]:
    """Of each resolution, from the picture inwards: 64 pixels have four."""
    return [width * 2**place for place in range(size.bit_length() - 3)]


def generator(size: int, width: int, bias: bool = True) -> nn.Module:
    """bias: of the layer next to the picture, which the example has not."""
    wide = channels(size, width)[::-1]
    layers = [nn.ConvTranspose2d(LATENT_SIZE, wide[0], 4, 1, 0, bias=False)]
    layers += [nn.BatchNorm2d(wide[0]), nn.ReLU(True)]
    for inner, outer in pairwise(wide):
        layers += [nn.ConvTranspose2d(inner, outer, 4, 2, 1, bias=False)]
        layers += [nn.BatchNorm2d(outer), nn.ReLU(True)]
    return nn.Sequential(*layers, nn.ConvTranspose2d(wide[-1], 3, 4, 2, 1, bias=bias), nn.Tanh())


def discriminator(size: int, width: int, norm: bool, bias: bool = True) -> nn.Module:
    """bias: of the first and the last layer, which the example has not."""
    wide = channels(size, width)
    layers: list[nn.Module] = [nn.Conv2d(3, wide[0], 4, 2, 1, bias=bias)]
    layers += [nn.LeakyReLU(0.2, inplace=norm)]
    for outer, inner in pairwise(wide):
        layers += [nn.Conv2d(outer, inner, 4, 2, 1, bias=not norm)]
        layers += [nn.BatchNorm2d(inner)] if norm else []
        layers += [nn.LeakyReLU(0.2, inplace=norm)]
    return nn.Sequential(*layers, nn.Conv2d(wide[-1], 1, 4, 1, 0, bias=bias), nn.Flatten(0))


def initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


def loader(
    folder: str, size: int, batch_size: int = BATCH_SIZE
) -> "DataLoader[tuple[Tensor, Tensor]]":
    """Batches of the pictures in a folder of folders, decoded anew in each epoch."""
    half = (0.5, 0.5, 0.5)
    steps = Compose([Resize(size), CenterCrop(size), ToTensor(), Normalize(half, half)])
    pictures = ImageFolder(folder, steps)
    return DataLoader(
        pictures, batch_size=batch_size, shuffle=True, num_workers=WORKERS, drop_last=True
    )


class Bce:
    """The non-saturating losses, as the example writes them."""

    def __init__(self, critic: nn.Module) -> None:
        self.critic, self.loss = critic, nn.BCEWithLogitsLoss()

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        ones, zeros = torch.ones(len(real)), torch.zeros(len(fake))
        on_real = self.loss(self.critic(real), ones)
        on_real.backward()
        on_fake = self.loss(self.critic(fake), zeros)
        on_fake.backward()
        return on_real.detach() + on_fake.detach()

    def generator(self, fake: Tensor) -> Tensor:
        loss: Tensor = self.loss(self.critic(fake), torch.ones(len(fake)))
        return loss


class WganGp:
    """One coefficient and one norm for each sample."""

    def __init__(self, critic: nn.Module) -> None:
        self.critic = critic

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        loss = (
            self.critic(fake).mean()
            - self.critic(real).mean()
            + PENALTY * self._penalty(real, fake)
        )
        loss.backward()
        return loss.detach()

    def _penalty(self, real: Tensor, fake: Tensor) -> Tensor:
        share = torch.rand(len(real), 1, 1, 1)
        between = (share * real + (1 - share) * fake).requires_grad_()
        scores = self.critic(between)
        (gradient,) = torch.autograd.grad(
            scores, between, torch.ones_like(scores), create_graph=True, retain_graph=True
        )
        return (gradient.flatten(1).norm(2, dim=1) - 1).square().mean()

    def generator(self, fake: Tensor) -> Tensor:
        return -self.critic(fake).mean()


class Training:
    """Both networks with their optimisers; `edge_bias`: see the networks."""

    def __init__(self, size: int, width: int, objective: str, edge_bias: bool = True) -> None:
        self.maker = generator(size, width, edge_bias)
        self.critic = discriminator(size, width, objective == "bce", edge_bias)
        self.maker.apply(initialise)
        self.critic.apply(initialise)
        self.losses = Bce(self.critic) if objective == "bce" else WganGp(self.critic)
        betas = (0.5, 0.999) if objective == "bce" else (0.0, 0.9)
        networks = self.maker, self.critic
        self.makers, self.critics = (Adam(each.parameters(), 2e-4, betas) for each in networks)

    def step(self, real: Tensor) -> tuple[Tensor, Tensor]:
        """Update both networks, from the same fakes; the losses of critic and maker."""
        self.critic.zero_grad()
        fake = self.maker(torch.randn(len(real), LATENT_SIZE, 1, 1))
        of_critic = self.losses.discriminator(real, fake.detach())
        self.critics.step()
        self.maker.zero_grad()
        of_maker = self.losses.generator(fake)
        of_maker.backward()
        self.makers.step()
        return of_critic, of_maker.detach()


def train(size: int, width: int, objective: str, folder: str) -> None:
    """One epoch over the pictures in `folder`."""
    training = Training(size, width, objective)
    fixed = torch.randn(64, LATENT_SIZE, 1, 1)
    with timed():
        for number, (real, _) in enumerate(loader(folder, size)):
            of_critic, of_maker = training.step(real)
            if number % LOG_EVERY == 0:
                print(number, of_critic.item(), of_maker.item())
            if number % GRID_EVERY == 0:
                show(training.maker, fixed, number)
        show(training.maker, fixed, number)
        torch.save(training.maker.state_dict(), "generator.pth")
        torch.save(training.critic.state_dict(), "discriminator.pth")


def show(maker: nn.Module, fixed: Tensor, number: int) -> None:
    with torch.no_grad():
        save_image(maker(fixed), f"grid-{number}.png", normalize=True)


if __name__ == "__main__":
    train(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])
