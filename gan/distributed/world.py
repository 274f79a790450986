"""Several processes that train together as one would: who they are, and what they exchange.

They are started by torchrun (gloo between CPUs, NCCL between GPUs), each with a whole copy of both
networks and its own part of every batch. torch's DistributedDataParallel is not used: it expects
one forward pass and then one backward pass of a wrapped network, while the discriminator is run
several times before one backward pass, differentiated twice by penalties and passed through frozen
by the generator's step. Averaging the gradients between `backward` and the optimiser's step is
indifferent to all of that. It costs the overlap with the backward pass.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar, cast
from uuid import uuid4

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from gan.distributed.batch_norm import with_global_norm
from gan.distributed.collectives import (
    apart,
    average,
    first_line,
    flattened,
    largest,
    together,
    total,
)
from gan.errors import GanError

PATIENCE = timedelta(minutes=10)
"""How long a process waits for the others, which may be writing checkpoints or loading data."""

Value = TypeVar("Value")
Network = TypeVar("Network", bound=nn.Module)

_NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class World:
    """This process among those that train together; alone, its methods are identities.

    All processes must call the same methods in the same order: each waits for all others. Raises
    GanError where one of them is gone.
    """

    rank: int
    size: int

    @property
    def lead(self) -> bool:
        """Whether this is the process that reads and writes for all."""
        return self.rank == 0

    def part(self, batch_size: int) -> tuple[int, int]:
        """(offset, count) of this process's samples in a batch of all; GanError if uneven."""
        if batch_size % self.size:
            raise GanError(
                f"train.batch_size = {batch_size} is of all {self.size} processes together and "
                f"must be a multiple of {self.size}"
            )
        count = batch_size // self.size
        return self.rank * count, count

    @torch.no_grad()
    def average_gradients(self, network: nn.Module) -> None:
        """Replace every gradient by its mean over processes, the same bits on all of them.

        The processes' gradients must be of the same parameters; those without one have none
        after it. The device is not waited for.
        """
        if self.size == 1:
            return
        found = (each.grad for each in network.parameters())
        average([gradient for gradient in found if gradient is not None], self.size)

    @torch.no_grad()
    def mean(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """Means over processes of tensors under the same names, in their own types."""
        if self.size == 1 or not values:
            return values
        names = sorted(values)
        tensors = [values[name] for name in names]
        means = total(flattened(tensors).double() / self.size)
        found = dict(zip(names, apart(means, tensors), strict=True))
        return {name: found[name].to(own.dtype) for name, own in values.items()}

    def any(self, flag: bool) -> bool:
        """Whether the flag is up on any process; the answer is the same on all."""
        if self.size == 1:
            return flag
        # a tensor of the CPU, so that no GPU has to be waited for
        return bool(largest(torch.tensor([int(flag)])).item())

    def share(self, value: Value) -> Value:
        """The lead's value on all processes; the others' own is not looked at."""
        if self.size == 1:
            return value
        values = [value if self.lead else None]
        with together():
            dist.broadcast_object_list(values, src=0)
        return value if self.lead else cast(Value, values[0])

    def synchronised(self, network: Network) -> Network:
        """The network, its batch norms from now on over the batch of all processes.

        Its parameters and names of parameters stay.
        """
        if self.size > 1:
            with_global_norm(network)
        return network


ALONE = World(0, 1)


@contextmanager
def joined(device: torch.device) -> Iterator[World]:
    """The world that torchrun's environment describes, or ALONE without one.

    Each process on CUDA gets a GPU of its own, which becomes its current device. GanError if there
    are too few, or if the processes don't find each other.
    """
    place = _place()
    if place is None or place.world.size == 1:
        yield ALONE
        return
    _connect(device, place)
    try:
        yield place.world
    except BaseException:
        # NCCL would wait for the others here, who do not know yet; the process's end closes it
        if device.type != "cuda":
            dist.destroy_process_group()
        raise
    dist.destroy_process_group()


@dataclass(frozen=True)
class _Place:
    """Where torchrun put this process."""

    world: World
    local_rank: int
    local_size: int


def _place() -> _Place | None:
    if "RANK" not in os.environ and "WORLD_SIZE" not in os.environ:
        return None
    if missing := [name for name in _NAMES if not os.environ.get(name)]:
        raise GanError(
            f"{', '.join(missing)} missing in the environment, where RANK or WORLD_SIZE is set: "
            "start several processes by torchrun, or unset these"
        )
    rank, size, local_rank, local_size = (_number(name) for name in _NAMES[:4])
    if not (rank < size and local_rank < local_size <= size):
        raise GanError(
            f"RANK={rank} of WORLD_SIZE={size} and LOCAL_RANK={local_rank} of "
            f"LOCAL_WORLD_SIZE={local_size} contradict each other; start by torchrun"
        )
    return _Place(World(rank, size), local_rank, local_size)


def _number(name: str) -> int:
    text = os.environ[name]
    if not (text.isascii() and text.isdigit()):
        raise GanError(f"{name}={text} in the environment must be a number; start by torchrun")
    return int(text)


def _connect(device: torch.device, place: _Place) -> None:
    """Make the process group; GanError in one line if that can't be."""
    if device.type not in ("cpu", "cuda"):
        raise GanError(
            f"train.device = {device.type} can't train with {place.world.size} processes; use one "
            "process, or device: cpu or cuda"
        )
    own = None
    if device.type == "cuda":
        own = _own_gpu(place)
    # flags and checkpoints travel by gloo also between GPUs: they are in the CPU's memory
    backend = "cpu:gloo,cuda:nccl" if own else "gloo"
    try:
        rank, size = place.world.rank, place.world.size
        found, _, _ = next(rendezvous("env://", rank, size, timeout=PATIENCE))
        store = _unused(found, place.world)
        dist.init_process_group(
            backend, store=store, rank=rank, world_size=size, timeout=PATIENCE, device_id=own
        )
    except (RuntimeError, ValueError, OSError) as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise GanError(
            f"process {place.world.rank} of {place.world.size} could not join the others at "
            f"{where}: {first_line(error)}"
        ) from None


def _unused(store: Store, world: World) -> Store:
    """A part of the store to which all processes of this attempt agree, and no earlier one wrote.

    torchrun keeps its store when it restarts processes. With the addresses of the dead ones still
    in it, new ones would wait for them (pytorch issue 135712). So the lead puts up a new name;
    each of the others answers whatever name it sees, until the lead has seen its answer.
    """
    own = uuid4().hex
    if world.lead:
        store.set("lead", own)
        for rank in range(1, world.size):
            store.set(f"welcome {store.get(f'{rank} to {own}').decode()}", own)
        return PrefixStore(own, store)
    end = time.monotonic() + PATIENCE.total_seconds()
    while not store.check([f"welcome {own}"]):
        if time.monotonic() > end:
            raise TimeoutError("the first process did not answer")
        store.set(f"{world.rank} to {store.get('lead').decode()}", own)
        time.sleep(0.05)
    return PrefixStore(store.get(f"welcome {own}").decode(), store)


def _own_gpu(place: _Place) -> torch.device:
    count = torch.cuda.device_count()
    if count < place.local_size:
        raise GanError(
            f"{place.local_size} processes on this machine, but GPUs: {count}; start one for each "
            f"(torchrun --nproc-per-node {max(count, 1)})"
        )
    torch.cuda.set_device(place.local_rank)
    return torch.device("cuda", place.local_rank)
