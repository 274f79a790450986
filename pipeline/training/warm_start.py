"""`train.init_from`: a checkpoint whose weights a training on other data begins with."""

from dataclasses import dataclass
from pathlib import Path

from gan.checkpoints import load_checkpoint, read_origin
from gan.errors import GanError
from gan.models.interfaces import Discriminator, Generator
from gan.params.model import ModelParams
from gan.training.state import TrainState
from pipeline.training.identity import differences


@dataclass(frozen=True)
class WarmStart:
    """A checkpoint that fits the networks of the training."""

    path: Path
    digest: str
    """Of its content, so that the same weights elsewhere are the same start."""
    whole: bool
    """Whether it has a discriminator; a snapshot has the averaged generator only."""

    def fill(self, state: TrainState) -> None:
        """Put its weights into a fresh state; optimisers and step begin anew."""
        content = load_checkpoint(self.path)
        saved = content["state"] or {"generator": content["averaged"]}
        state.generator.load_state_dict(saved["generator"])
        state.averaged.load_state_dict(content["averaged"])
        if self.whole:
            state.discriminator.load_state_dict(saved["discriminator"])


def warm_start(
    name: str, root: Path, model: ModelParams, generator: Generator, discriminator: Discriminator
) -> WarmStart | None:
    """Check the checkpoint `name`, relative to `root`; None for no name.

    generator, discriminator: networks of this training, which are filled with the checkpoint's
    weights. GanError, naming what differs, if they do not fit.
    """
    if not name:
        return None
    path = root / name
    content = load_checkpoint(path)
    origin = read_origin(path, content)
    whole = content["state"] is not None
    there, here = dict(origin.model), model.model_dump()
    if not whole:  # a snapshot's discriminator is not in it
        there["discriminator"] = here["discriminator"]
    sizes = {"size": origin.size}, {"size": generator.size}
    if found := differences({"model": there} | sizes[0], {"model": here} | sizes[1]):
        raise GanError(f"train.init_from = {name!r}: another network: {'; '.join(found)}")
    try:
        generator.load_state_dict(content["averaged"])
        if whole:
            discriminator.load_state_dict(content["state"]["discriminator"])
    except (RuntimeError, KeyError):
        raise GanError(
            f"train.init_from = {name!r}: its discriminator has other norms than the recipe asks "
            "for; take a snapshot, whose training begins with a new discriminator"
        ) from None
    return WarmStart(path, content["sha256"], whole)
