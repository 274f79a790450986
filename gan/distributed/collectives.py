"""Collective operations over the processes of one training.

Every process must call each function, in the same order and with tensors of the same shapes; it
returns when all have called it. None of them waits for a GPU to finish its work.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from gan.errors import GanError


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


def average(tensors: Sequence[Tensor], size: int) -> None:
    """Replace tensors of one type by their means over `size` processes, the same bits on all."""
    # divided first: the sum of many scaled gradients could be infinite
    flat = reduce_in_place(flatten(tensors).div_(size))
    torch._foreach_copy_(list(tensors), unflatten(flat, tensors))


def reduce_in_place(
    flat: Tensor, operation: dist.ReduceOp.RedOpType = dist.ReduceOp.SUM
) -> Tensor:
    """Sum, or another operation, over processes, elementwise and in place."""
    with report_lost_process():
        dist.all_reduce(flat, operation)
    return flat


def gather(row: Tensor, size: int) -> Tensor:
    """Gather the rows (n,) of all processes: (size, n), in the order of their ranks."""
    rows = row.new_empty(size, *row.shape)
    with report_lost_process():
        dist.all_gather(list(rows.unbind()), row)
    return rows


def unflatten(flat: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Split a tensor that `flatten` made into tensors of the shapes of `like`."""
    parts = torch.split(flat, [each.numel() for each in like])
    return [part.view(each.shape) for part, each in zip(parts, like, strict=True)]


def flatten(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([each.reshape(-1) for each in tensors])
