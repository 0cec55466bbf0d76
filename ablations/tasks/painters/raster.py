"""Shapes as runs of pixels: a shape covers one run in each row, and rows are copied into place."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ablations.tasks.painters.randomness import is_on_cpu

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Run = tuple["Tensor", "Tensor"]
"""Of each row the first and the last column, counted from a shape's centre, (..., 2 M + 1) whole
numbers; where the last comes before the first the row is empty."""


class Painted(NamedTuple):
    """What a painter makes: greys from 0 to 255, and what they show.

    - `image`: (N, 1, S, S) whole numbers.
    - `ground`: the grey that contrast is measured from, a number or (N, 1, 1, 1).
    - `target`: as `Batch.target`.
    """

    image: Tensor
    ground: Tensor | int
    target: Tensor


def centred(half: Tensor, where: Tensor | None = None) -> Run:
    """From `-half` to `half` in the rows `where`, and nothing where it is negative."""
    half = half if where is None else half.where(where, -1)
    return -half, half


def disc(down: Tensor, squared: Tensor) -> Run:
    """The pixels whose squared distance from the centre is at most `squared`."""
    rest = squared - down**2
    # Whole numbers below 2^53 have exact squares in double, and so exact roots when cut off.
    return centred(rest.clamp_min(0).double().sqrt().long(), rest >= 0)


def pixels(run: Run, row: Tensor, column: Tensor, size: int) -> Tensor:
    """Zeros and ones (..., S, S), uint8: which pixels each object covers.

    Runs are (..., 2 M + 1), in the rows about their centres (...).
    """
    if not is_on_cpu(row):
        return _copied(run, row, column, size)
    import torch

    first, last = (end.expand(*row.shape, -1).reshape(-1, 1, end.shape[-1]) for end in run)
    one = torch.ones(1, dtype=torch.uint8)
    masks = _covered((first, last), row.reshape(-1, 1), column.reshape(-1, 1), one, size)
    return masks.view(*row.shape, size, size)


def topmost(run: Run, row: Tensor, column: Tensor, size: int) -> Tensor:
    """(N, S, S), uint8: which of the objects covers a pixel, the last from 1 to K, or 0 for none.

    Runs are (N, K, 2 M + 1), in the rows about their centres (N, K).
    """
    import torch

    order = torch.arange(1, 1 + row.shape[1], dtype=torch.uint8, device=row.device)
    if not is_on_cpu(row):
        return _copied(run, row, column, size).mul_(order.view(-1, 1, 1)).amax(dim=1)
    first, last = (end.expand(*row.shape, -1) for end in run)
    return _covered((first, last), row, column, order, size)


def _covered(run: Run, row: Tensor, column: Tensor, value: Tensor, size: int) -> Tensor:
    """Objects (N, K) one over another, each in its value: images (N, S, S), uint8, on a CPU."""
    import torch

    from ablations.tasks.painters.compiled import cover

    images = torch.empty(len(row), size, size, dtype=torch.uint8)
    first, last = (end.numpy() for end in run)
    cover((first, last), row.numpy(), column.numpy(), value.numpy(), images.numpy())
    return images


def _copied(run: Run, row: Tensor, column: Tensor, size: int) -> Tensor:
    """`pixels` by operations on whole tensors.

    A row of the table has ones before a column, so a run is the difference of two; they are
    copied to where they belong, several pixels as one word. To compare every pixel with both
    ends of its run takes several times as long, and most rows of most objects are empty.
    """
    import torch

    device, rows = row.device, run[0].shape[-1]
    first, last = (end + column[..., None] for end in run)
    start = first.clamp(0, size)
    end = (last + 1).clamp(0, size).maximum(start)
    columns = torch.arange(size, device=device)
    ahead = (columns < torch.arange(size + 1, device=device)[:, None]).byte().view(_word(size))
    painted = ahead.index_select(0, end.flatten())
    painted ^= ahead.index_select(0, start.flatten())

    # With a margin above and below, where rows end that lie outside of the image.
    margin, high = rows // 2, size + rows - 1
    canvas = ahead.new_zeros(row.numel() * high, ahead.shape[1])
    top = row.flatten() + high * torch.arange(row.numel(), device=device)
    place = top[:, None] + torch.arange(rows, device=device)
    canvas.index_copy_(0, place.flatten(), painted)
    return canvas.view(torch.uint8).view(*row.shape, high, size)[..., margin : margin + size, :]


def _word(size: int) -> torch.dtype:
    """The widest integer that a row of so many bytes is made of."""
    import torch

    words = {8: torch.int64, 4: torch.int32, 2: torch.int16, 1: torch.uint8}
    return next(word for bytes_, word in words.items() if size % bytes_ == 0)


def rows_about(reach: int, device: torch.device) -> Tensor:
    """(2 reach + 1,): how far each row that an object may cover lies below its centre."""
    import torch

    return torch.arange(-reach, reach + 1, device=device)
