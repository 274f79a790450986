"""What processes of one group send each other, and what is said when one of them is gone.

All wait for all: each function must be called by every process, in the same order, with tensors of
the same shapes. None of them waits for a GPU to finish its work.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from gan.errors import GanError

BUCKET_BYTES = 32 * 2**20
"""Tensors are sent in pieces of about this size: few calls, and little memory for copies."""


@contextmanager
def together() -> Iterator[None]:
    """Turn the errors of a broken connection into GanError; the one who left tells why."""
    try:
        yield
    except RuntimeError as error:
        raise GanError(f"another process of this training is gone: {first_line(error)}") from None


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def average(tensors: Iterable[Tensor], size: int) -> None:
    """Replace tensors by their means over `size` processes, the same bits on all, in place."""
    with together():
        sent = [(bucket, *_send(bucket, size)) for bucket in _buckets(tensors)]
        for bucket, flat, work in sent:
            work.wait()
            torch._foreach_copy_(bucket, apart(flat, bucket))


def total(flat: Tensor) -> Tensor:
    """The sum over processes, in place."""
    with together():
        dist.all_reduce(flat)
    return flat


def largest(flat: Tensor) -> Tensor:
    """The maximum over processes, number by number, in place."""
    with together():
        dist.all_reduce(flat, op=dist.ReduceOp.MAX)
    return flat


def gathered(row: Tensor, size: int) -> Tensor:
    """The rows (n,) of all processes: (size, n), in the order of their ranks."""
    rows = torch.empty(size, *row.shape, dtype=row.dtype, device=row.device)
    with together():
        dist.all_gather(list(rows.unbind()), row)
    return rows


def apart(flat: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """The pieces of a flat tensor in the shapes of those it was made of."""
    parts = torch.split(flat, [each.numel() for each in like])
    return [part.view(each.shape) for part, each in zip(parts, like, strict=True)]


def flattened(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([each.reshape(-1) for each in tensors])


def _buckets(tensors: Iterable[Tensor]) -> list[list[Tensor]]:
    """Tensors of one type and device together, in order, up to BUCKET_BYTES."""
    buckets: list[list[Tensor]] = []
    newest: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
    for tensor in tensors:
        bucket = newest.get((tensor.dtype, tensor.device))
        if bucket is None or sum(each.nbytes for each in bucket) + tensor.nbytes > BUCKET_BYTES:
            bucket = newest[tensor.dtype, tensor.device] = []
            buckets.append(bucket)
        bucket.append(tensor)
    return buckets


def _send(bucket: Sequence[Tensor], size: int) -> tuple[Tensor, dist.Work]:
    # divided first: the sum of many scaled gradients could be infinite
    flat = flattened(bucket).div_(size)
    work = dist.all_reduce(flat, async_op=True)
    assert work is not None
    return flat, work
