"""The contestants of benchmarks/quality.py, which train until a clock's time is up.

Each runs in a process of its own, in a folder of its own. The clock starts when the first batch is
at hand, runs while the contestant trains and waits for batches, and stands while fakes are drawn
at a mark. All draw them in eval mode, from latents that nothing else uses.
"""

import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from peers import textbook
from torch import Tensor, nn
from trainers import prepared

from gan.devices import fast_training
from gan.errors import GanError
from gan.models.interfaces import Generator
from gan.params.file import parse_params
from gan.sampling import draw_latents, generate
from gan.tensor_cache import TensorCache
from gan.training.batches import Batches
from gan.training.ema import recalibrate
from gan.training.loop import CALIBRATION_BATCHES, CALIBRATION_SIZE
from gan.training.state import NEVER
from gan.training.steps import train_step

WIDTH = 64  # of the peers' networks
TEXTBOOK_BATCH, TORCHGAN_BATCH = 128, textbook.BATCH_SIZE
LATENT_SEED, STREAM = 0, "quality"


class Clock:
    """Seconds of training, and the images that it has seen.

    marks: seconds, ascending; the last one ends the training. At each, `reach` is called while the
    clock still runs, and what it returns while it stands.
    """

    def __init__(self, marks: list[float], reach: Callable[[], Callable[[], None]]) -> None:
        self._left, self._reach = list(marks), reach
        self.seconds, self.images = 0.0, 0
        self.reached: list[tuple[float, int]] = []
        self._since = math.nan

    def tick(self) -> bool:
        """To be called before each step, the first of which starts it; whether there is time."""
        if math.isnan(self._since):
            self._since = time.perf_counter()
        self._count()
        while self._left and self.seconds >= self._left[0]:
            draw = self._reach()
            self._count()
            self.reached.append((self.seconds, self.images))
            del self._left[0]
            draw()
            self._since = time.perf_counter()
        return bool(self._left)

    def _count(self) -> None:
        now = time.perf_counter()
        self.seconds, self._since = self.seconds + now - self._since, now


class Endless:
    """A loader's batches, epoch after epoch, until the time is up."""

    def __init__(self, loader: Any, clock: Clock) -> None:
        self._loader, self._clock, self.batch_size = loader, clock, loader.batch_size

    def __iter__(self) -> Iterator[Any]:
        while True:
            for batch in self._loader:
                if not self._clock.tick():
                    return
                yield batch
                self._clock.images += len(batch[0])


class Ours:
    """What params name, by the training engine; the averaged generator is what draws."""

    def __init__(self, job: dict[str, Any]) -> None:
        params = parse_params(job["params"], "params")
        cache = TensorCache.open(Path(job["cache"]))
        self._state, self._engine = prepared(params, cache.size)
        device, train = self._engine.compute.device, params.train
        images = cache.split("train")
        self._batches = Batches(images, train.seed, train.batch_size, train.flip, device)
        self.latent_size = params.model.latent_size

    def train(self, clock: Clock) -> None:
        with fast_training(self._engine.compute.device):
            while clock.tick():
                train_step(self._state, self._engine, self._batches)
                clock.images += self._engine.params.images_per_step

    def generator(self) -> nn.Module:
        """Its batch norms are measured, as the engine does before it draws."""
        if int(self._state.first_nonfinite_step) != NEVER:
            raise GanError("ours: the training diverged, a loss is not finite; change --set")
        count = CALIBRATION_BATCHES * CALIBRATION_SIZE
        latents = draw_latents(LATENT_SEED, "calibration", count, self.latent_size)
        latents = latents.to(self._engine.compute.dtype)
        recalibrate(self._state.averaged, torch.split(latents, CALIBRATION_SIZE))
        return self._state.averaged


class Peer(nn.Module):
    """A peer's generator behind the product's interface; it has no truncation."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, latents: Tensor, truncation: float = 1.0) -> Tensor:
        pixels: Tensor = self.network(latents)
        return pixels


class Textbook:
    """PyTorch's DCGAN example, as it is."""

    latent_size = textbook.LATENT_SIZE

    def __init__(self, job: dict[str, Any]) -> None:
        torch.manual_seed(job["seed"])
        self._training = textbook.Training(job["size"], WIDTH, "bce", edge_bias=False)
        self._loader = textbook.loader(job["faces"], job["size"], TEXTBOOK_BATCH)

    def train(self, clock: Clock) -> None:
        for real, _ in Endless(self._loader, clock):
            self._training.step(real)

    def generator(self) -> nn.Module:
        maker = self._training.maker
        return Peer(nn.Sequential(nn.Unflatten(1, (self.latent_size, 1, 1)), maker))


class Torchgan:
    """torchgan's Trainer with its networks, its WGAN-GP loss and penalty."""

    latent_size = textbook.LATENT_SIZE

    def __init__(self, job: dict[str, Any]) -> None:
        from peers.with_torchgan import make_trainer

        torch.manual_seed(job["seed"])
        self._trainer = make_trainer(job["size"], WIDTH, "wgan_gp")
        self._loader = textbook.loader(job["faces"], job["size"], TORCHGAN_BATCH)

    def train(self, clock: Clock) -> None:
        self._trainer(Endless(self._loader, clock))

    def generator(self) -> nn.Module:
        return Peer(self._trainer.generator)


CONTESTANTS = {"ours": Ours, "textbook": Textbook, "torchgan": Torchgan}


def draw_fakes(network: nn.Module, latent_size: int, count: int, path: Path) -> None:
    """Write (count, H, W, 3) uint8 fakes of a network, which is in its mode again afterwards."""
    training = network.training
    network.eval()
    latents = draw_latents(LATENT_SEED, STREAM, count, latent_size)
    latents = latents.to(next(network.parameters()).dtype)
    images = torch.cat(list(generate(cast(Generator, network), latents)))
    network.train(training)
    np.save(path, images.permute(0, 2, 3, 1).numpy())


def main(text: str) -> None:
    """Do a job, JSON: recipe, seed, size, seconds (the marks), fakes, and cache, params or faces.

    Writes fakes-0.npy, fakes-1.npy, ...; prints seconds and images seen at each mark.
    """
    job = json.loads(text)
    contestant = CONTESTANTS[job["recipe"]](job)

    def reach() -> Callable[[], None]:
        network, path = contestant.generator(), Path(f"fakes-{len(clock.reached)}.npy")
        return lambda: draw_fakes(network, contestant.latent_size, job["fakes"], path)

    clock = Clock(job["seconds"], reach)
    contestant.train(clock)
    print(*(number for reached in clock.reached for number in reached), flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except GanError as error:
        raise SystemExit(str(error)) from None
