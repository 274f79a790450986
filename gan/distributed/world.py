"""The process group of a distributed training, and the operations that it needs.

torchrun starts the processes (gloo between CPUs, NCCL between GPUs), each with a copy of both
networks and its part of every batch. Together they train as a single process would. torch's
DistributedDataParallel is not used: it expects one forward and one backward pass of a wrapped
network, while the discriminator runs several times before a backward pass, has a double backward
with penalties, and is frozen in the generator's step. Averaging the gradients between `backward`
and the optimiser's step works for all of these, but doesn't overlap with the backward pass.
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

from gan.distributed.batch_norm import convert_sync_batch_norm
from gan.distributed.collectives import (
    average,
    first_line,
    flatten,
    reduce_in_place,
    report_lost_process,
    unflatten,
)
from gan.errors import GanError

PATIENCE = timedelta(minutes=10)
"""Timeout of a wait for other processes, which may be writing checkpoints or loading data."""

Value = TypeVar("Value")
Network = TypeVar("Network", bound=nn.Module)

_NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class World:
    """This process's rank and the operations over all processes; identities if there is one.

    All processes must call the same methods in the same order; each call waits for all. Raises
    GanError if a process is lost.
    """

    rank: int
    size: int

    @property
    def lead(self) -> bool:
        """Whether this is rank 0, which reads and writes files for all."""
        return self.rank == 0

    def batch_part(self, batch_size: int) -> tuple[int, int]:
        """Offset and count of this process's samples in a batch; GanError if it can't be split."""
        if batch_size % self.size:
            raise GanError(
                f"train.batch_size = {batch_size} is split between {self.size} processes; use a "
                f"multiple of {self.size}"
            )
        count = batch_size // self.size
        return self.rank * count, count

    @torch.no_grad()
    def average_gradients(self, network: nn.Module) -> None:
        """Replace every gradient by its mean over processes, the same bits on all of them.

        The same parameters must have a gradient on every process. Does not wait for the device.
        """
        if self.size == 1:
            return
        gradients = (each.grad for each in network.parameters())
        average([each for each in gradients if each is not None], self.size)

    @torch.no_grad()
    def mean(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """Means over processes of tensors by name, in the same order on all, each in its type."""
        if self.size == 1 or not values:
            return values
        tensors = list(values.values())
        flat = reduce_in_place(flatten(tensors).double() / self.size)
        means = zip(values, unflatten(flat, tensors), strict=True)
        return {name: mean.to(values[name].dtype) for name, mean in means}

    def any(self, flag: bool) -> bool:
        """Whether the flag is true on any process; the answer is the same on all."""
        if self.size == 1:
            return flag
        # a tensor of the CPU, so that no GPU has to be waited for
        return bool(reduce_in_place(torch.tensor([int(flag)]), dist.ReduceOp.MAX).item())

    def broadcast(self, value: Value) -> Value:
        """The lead's value on all processes; the others' values are ignored."""
        if self.size == 1:
            return value
        values = [value if self.lead else None]
        with report_lost_process():
            dist.broadcast_object_list(values, src=0)
        return value if self.lead else cast(Value, values[0])

    def synchronise_batch_norm(self, network: Network) -> Network:
        """Let the network's batch norms use the batches of all processes; returns the network.

        Its parameters and their names stay.
        """
        if self.size > 1:
            convert_sync_batch_norm(network)
        return network


ALONE = World(0, 1)


@contextmanager
def join_world(device: torch.device) -> Iterator[World]:
    """Join the process group that torchrun's environment describes; ALONE without one.

    device: as `choose_compute` gives it, on CUDA this process's own GPU. Raises GanError if the
    processes can't connect.
    """
    world = _read_environment()
    if world.size == 1:
        yield ALONE
        return
    _connect(device, world)
    try:
        yield world
    except BaseException:
        # NCCL would wait for the others, which don't know yet; the end of the process closes it
        if device.type != "cuda":
            dist.destroy_process_group()
        raise
    dist.destroy_process_group()


def _read_environment() -> World:
    """This process's place among all, by torchrun's environment; GanError if that is not whole."""
    if "RANK" not in os.environ and "WORLD_SIZE" not in os.environ:
        return ALONE
    found = [f"{name}={os.environ.get(name, '')}" for name in _NAMES]
    rank, size = (os.environ.get(name, "") for name in _NAMES[:2])
    numbers = all(text.isascii() and text.isdigit() for text in (rank, size))
    if not all(map(os.environ.get, _NAMES)) or not numbers or int(rank) >= int(size):
        raise GanError(
            f"the environment names no place among several processes ({', '.join(found)}): start "
            "them with torchrun, or unset RANK and WORLD_SIZE to train with one process"
        )
    return World(int(rank), int(size))


def _connect(device: torch.device, world: World) -> None:
    """Initialise the process group; GanError if that fails."""
    if device.type not in ("cpu", "cuda"):
        raise GanError(
            f"train.device = {device.type} can't train with {world.size} processes; use one "
            "process, or train.device: cpu or cuda"
        )
    own = device if device.type == "cuda" else None
    # flags and checkpoints are in host memory, which only gloo sends
    backend = "cpu:gloo,cuda:nccl" if own else "gloo"
    try:
        rank, size = world.rank, world.size
        parent, _, _ = next(rendezvous("env://", rank, size, timeout=PATIENCE))
        store = _open_new_store(parent, world)
        dist.init_process_group(
            backend, store=store, rank=rank, world_size=size, timeout=PATIENCE, device_id=own
        )
    except (RuntimeError, ValueError, OSError) as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise GanError(
            f"process {world.rank} of {world.size} could not connect to the others at {where}: "
            f"{first_line(error)}"
        ) from None


def _open_new_store(store: Store, world: World) -> Store:
    """A part of the store that all processes of this attempt use, and no earlier attempt used.

    torchrun keeps its store when it restarts processes, and new processes would wait for the
    addresses of dead ones in it (pytorch issue 135712). So the lead publishes a new name, and each
    other process answers every name that it sees until the lead has acknowledged one.
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
