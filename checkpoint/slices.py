"""Boxes of named tensors: where a piece lies in a tensor of the whole model. Pure arithmetic, no torch.

A box is `offsets` and `sizes` in a tensor of full shape `shape`. A whole tensor is the box at 0 of full size, a
tensor-parallel shard's slice is another one, and rows of either are again boxes: the format knows nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

DTYPE_BYTES = {
    "float64": 8,
    "float32": 4,
    "bfloat16": 2,
    "float16": 2,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
}
"""Types that are stored, by torch's name, and bytes of an element."""


class SliceLike(Protocol):
    """What a caller may describe a box with; `Slice` is ours."""

    @property
    def name(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def offsets(self) -> tuple[int, ...]: ...
    @property
    def sizes(self) -> tuple[int, ...]: ...


@dataclass(frozen=True)
class Slice:
    """A box of a named tensor of the whole model."""

    name: str
    """Global name: the same in every layout."""
    dtype: str
    """A key of DTYPE_BYTES."""
    shape: tuple[int, ...]
    """Of the whole tensor."""
    offsets: tuple[int, ...]
    """First element of the box, in every dimension."""
    sizes: tuple[int, ...]
    """Of the box."""

    def __post_init__(self) -> None:
        if self.dtype not in DTYPE_BYTES:
            raise ValueError(f"tensor {self.name!r} has type {self.dtype!r}, which is not stored.")
        if not len(self.shape) == len(self.offsets) == len(self.sizes):
            raise ValueError(f"the box of tensor {self.name!r} has not as many dimensions as the tensor.")
        if any(o < 0 or s < 0 or o + s > full for o, s, full in zip(self.offsets, self.sizes, self.shape, strict=True)):
            raise ValueError(f"the box of tensor {self.name!r} reaches beyond the tensor.")

    @classmethod
    def of(cls, other: SliceLike) -> Slice:
        """Return the same box as ours. Raises ValueError when it is none."""
        boxes = (tuple(other.shape), tuple(other.offsets), tuple(other.sizes))
        return cls(other.name, other.dtype, *boxes)

    @property
    def elements(self) -> int:
        """Elements of the box."""
        return math.prod(self.sizes)

    @property
    def nbytes(self) -> int:
        """Bytes of the box."""
        return self.elements * DTYPE_BYTES[self.dtype]

    @property
    def rows(self) -> int:
        """Size in the first dimension; a scalar has one row."""
        return self.sizes[0] if self.sizes else 1

    def take_rows(self, first: int, stop: int) -> Slice:
        """Return rows first .. stop - 1 of the box. A scalar's only row is itself."""
        if not self.sizes:
            return self
        offsets = (self.offsets[0] + first, *self.offsets[1:])
        return Slice(self.name, self.dtype, self.shape, offsets, (stop - first, *self.sizes[1:]))

    def overlap(self, other: Slice) -> Slice | None:
        """Return the box that both share; None when they share nothing."""
        low = tuple(max(a, b) for a, b in zip(self.offsets, other.offsets, strict=True))
        ends = zip(self.offsets, self.sizes, other.offsets, other.sizes, strict=True)
        sizes = tuple(min(a + n, b + m) - start for (a, n, b, m), start in zip(ends, low, strict=True))
        return None if any(size <= 0 for size in sizes) else Slice(self.name, self.dtype, self.shape, low, sizes)


def split_rows(one: Slice, most_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield row ranges (first, stop) that cover a box, each of at most `most_bytes`, or of a single row."""
    if not one.rows:
        yield 0, 0
    step = max(1, most_bytes // max(1, one.nbytes // max(1, one.rows)))
    yield from ((first, min(one.rows, first + step)) for first in range(0, one.rows, step))


def part_of(inventory: Iterable[SliceLike], part: int, parts: int) -> tuple[Slice, ...]:
    """Return what writer `part` of `parts` writes of an inventory; the parts cover it, share nothing, and their bytes
    differ by few rows.

    A function of its arguments alone, so all replicas of a stage, who have the same inventory, agree. The inventory's
    bytes are cut in order at multiples of 1/parts, rounded up to a row, so that a part is contiguous.
    """
    slices = [Slice.of(one) for one in inventory]
    total = sum(one.nbytes for one in slices)
    low, high = part * total // parts, (part + 1) * total // parts
    mine, at = [], 0
    for one in slices:
        row = one.nbytes // max(1, one.rows)
        first, stop = (_row(bound - at, row, one.rows) for bound in (low, high))
        if part == parts - 1:
            stop = one.rows
        if not one.nbytes:  # nothing to share out, and yet it must be somewhere
            first, stop = (0, one.rows) if part == 0 else (0, 0)
        if first < stop or (part == 0 and not one.nbytes):
            mine.append(one.take_rows(first, stop))
        at += one.nbytes
    return tuple(mine)


def _row(offset: int, row: int, rows: int) -> int:
    """First row that begins at or after an offset in bytes, within 0 .. rows."""
    return min(rows, max(0, -(-offset // row))) if row else 0


def gap(boxes: Sequence[Slice], target: Slice) -> str:
    """Return what is wrong when boxes of one tensor should fill `target` exactly once; empty when nothing is."""
    inside = [box for box in boxes if box.elements]
    ordered = sorted(inside, key=lambda box: box.offsets)
    for i, box in enumerate(ordered):
        for other in ordered[i + 1 :]:
            if other.offsets and other.offsets[0] >= box.offsets[0] + box.sizes[0]:
                break
            if box.overlap(other):
                return f"has elements of {target.name!r} twice"
    have = sum(part.elements for box in inside if (part := box.overlap(target)))
    return (
        ""
        if have == target.elements
        else f"lacks {target.elements - have} of {target.elements} elements of {target.name!r}"
    )


def narrow(tensor: Any, held: Slice, wanted: Slice) -> Any:
    """Return the view of `tensor`, which is the box `held`, that is the box `wanted` inside it."""
    places = zip(wanted.offsets, held.offsets, wanted.sizes, strict=True)
    return tensor[tuple(slice(start - base, start - base + size) for start, base, size in places)]
