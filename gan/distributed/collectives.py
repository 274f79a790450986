"""Collective operations over the processes of one training.

Every process must call each function, in the same order and with tensors of the same shapes; it
returns when all have called it. None of them waits for a GPU to finish its work.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from gan.errors import GanError

BUCKET_BYTES = 32 * 2**20
"""Size of the pieces in which tensors are sent: few calls, and little memory for copies."""


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


def average(tensors: Iterable[Tensor], size: int) -> None:
    """Replace tensors by their means over `size` processes, the same bits on all, in place."""
    with report_lost_process():
        sent = [(bucket, *_send(bucket, size)) for bucket in _buckets(tensors)]
        for bucket, flat, work in sent:
            work.wait()
            torch._foreach_copy_(bucket, unflatten(flat, bucket))


def sum_over_processes(flat: Tensor) -> Tensor:
    """Sum over processes, in place."""
    with report_lost_process():
        dist.all_reduce(flat)
    return flat


def max_over_processes(flat: Tensor) -> Tensor:
    """Elementwise maximum over processes, in place."""
    with report_lost_process():
        dist.all_reduce(flat, op=dist.ReduceOp.MAX)
    return flat


def gather(row: Tensor, size: int) -> Tensor:
    """Gather the rows (n,) of all processes: (size, n), in the order of their ranks."""
    rows = torch.empty(size, *row.shape, dtype=row.dtype, device=row.device)
    with report_lost_process():
        dist.all_gather(list(rows.unbind()), row)
    return rows


def unflatten(flat: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Split a tensor that `flatten` made into tensors of the shapes of `like`."""
    parts = torch.split(flat, [each.numel() for each in like])
    return [part.view(each.shape) for part, each in zip(parts, like, strict=True)]


def flatten(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([each.reshape(-1) for each in tensors])


def _buckets(tensors: Iterable[Tensor]) -> list[list[Tensor]]:
    """Group tensors by type and device, in order, up to BUCKET_BYTES a group."""
    buckets: list[list[Tensor]] = []
    open_buckets: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
    for tensor in tensors:
        bucket = open_buckets.get((tensor.dtype, tensor.device))
        if bucket is None or sum(each.nbytes for each in bucket) + tensor.nbytes > BUCKET_BYTES:
            bucket = open_buckets[tensor.dtype, tensor.device] = []
            buckets.append(bucket)
        bucket.append(tensor)
    return buckets


def _send(bucket: Sequence[Tensor], size: int) -> tuple[Tensor, dist.Work]:
    # divided first: the sum of many scaled gradients could be infinite
    flat = flatten(bucket).div_(size)
    work = dist.all_reduce(flat, async_op=True)
    assert work is not None
    return flat, work
