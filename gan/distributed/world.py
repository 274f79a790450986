"""The process group of a distributed training, and the operations that it needs.

torchrun starts the processes (gloo between CPUs, NCCL between GPUs), each with a copy of both
networks and its part of every batch. Together they train as a single process would. torch's
DistributedDataParallel is not used: it expects one forward and one backward pass of a wrapped
network, while the discriminator runs several times before a backward pass, has a double backward
with penalties, and is frozen in the generator's step. Averaging the gradients between `backward`
and the optimiser's step works for all of these, but doesn't overlap with the backward pass. Nor is
torch's SyncBatchNorm, which is for GPUs only and waits for the GPU in each layer.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast
from uuid import uuid4

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous
from torch.nn.functional import batch_norm

from gan.errors import GanError

PATIENCE = timedelta(minutes=10)
"""Timeout of a wait for other processes, which may be writing checkpoints or loading data."""

Value = TypeVar("Value")
Network = TypeVar("Network", bound=nn.Module)

_NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@contextmanager
def report_lost_process() -> Iterator[None]:
    """Turn the errors of a broken connection into GanError; the lost process reports the cause."""
    try:
        yield
    except RuntimeError as error:
        raise GanError(
            f"lost another process of this training ({first_line(error)}); its own log says why"
        ) from None


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def reduce_in_place(
    flat: Tensor, operation: dist.ReduceOp.RedOpType = dist.ReduceOp.SUM
) -> Tensor:
    """Sum, or another operation, over processes, elementwise and in place."""
    with report_lost_process():
        dist.all_reduce(flat, operation)
    return flat


def unflatten(flat: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Split a tensor that `flatten` made into tensors of the shapes of `like`."""
    parts = torch.split(flat, [each.numel() for each in like])
    return [part.view(each.shape) for part, each in zip(parts, like, strict=True)]


def flatten(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([each.reshape(-1) for each in tensors])


class SyncBatchNorm2d(nn.BatchNorm2d):
    """Batch norm (Ioffe & Szegedy 2015) over equally large batches of all processes.

    In eval mode it is nn.BatchNorm2d. It has no double backward.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        with torch.no_grad():
            mean, variance = _global_moments(input)
            self._update_running_statistics(mean, variance, _global_count(input))
        normalised: Tensor = _SyncBatchNormFunction.apply(
            input, self.weight, self.bias, mean, variance, self.eps
        )
        return normalised

    def _update_running_statistics(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Update them as torch's batch norm does."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        unbiased = variance * (count / (count - 1))
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)


def _global_count(pixels: Tensor) -> int:
    """Number of pixels of a channel in the batches of all processes."""
    return pixels.numel() // pixels.shape[1] * dist.get_world_size()


def _global_moments(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance (C,) over all processes, at least in float32."""
    exact = pixels if pixels.dtype == torch.float64 else pixels.float()
    own_variance, own_mean = torch.var_mean(exact, dim=(0, 2, 3), correction=0)
    own = torch.stack([own_mean, own_variance])
    gathered = own.new_empty(dist.get_world_size(), *own.shape)
    with report_lost_process():
        dist.all_gather(list(gathered.unbind()), own)
    means, variances = gathered.unbind(1)
    # not mean of squares minus squared mean, which cancels where the mean is large
    variance, mean = torch.var_mean(means, dim=0, correction=0)
    return mean, variance + variances.mean(0)


class _SyncBatchNormFunction(torch.autograd.Function):
    """(input - mean) / deviation * weight + bias, where the moments depend on the input too."""

    @staticmethod
    def forward(ctx: Any, pixels: Tensor, *others: Any) -> Tensor:
        weight, bias, mean, variance, eps = others
        ctx.save_for_backward(pixels, weight, mean, variance)
        ctx.eps = eps
        return batch_norm(pixels, mean, variance, weight, bias, False, 0.0, eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        pixels, weight, mean, variance = ctx.saved_tensors
        # with the moments taken as constants
        direct, to_weight, to_bias = torch.ops.aten.native_batch_norm_backward(
            upstream, pixels, weight, mean, variance, None, None, False, ctx.eps, [True] * 3
        )
        # through the moments: the sums are the gradients of weight and bias over all processes
        sums = reduce_in_place(torch.stack([to_weight, to_bias]))
        sum_product, sum_upstream = sums.unbind()
        inverse = torch.rsqrt(variance + ctx.eps)
        scale = weight * inverse / _global_count(pixels)
        slope = scale * inverse * sum_product
        level = scale * sum_upstream - mean * slope
        indirect = torch.addcmul(level.view(-1, 1, 1), pixels, slope.view(-1, 1, 1))
        return (direct - indirect).to(pixels.dtype), to_weight, to_bias, None, None, None


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
        gradients = [each.grad for each in network.parameters() if each.grad is not None]
        # divided first: the sum of many scaled gradients could be infinite
        flat = reduce_in_place(flatten(gradients).div_(self.size))
        torch._foreach_copy_(gradients, unflatten(flat, gradients))

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
            for module in network.modules():
                if type(module) is nn.BatchNorm2d:
                    module.__class__ = SyncBatchNorm2d  # it differs in `forward` only
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
