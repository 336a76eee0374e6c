"""One part of a stage, written in one go or in steps between other work."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING

from checkpoint.names import PartPlace
from checkpoint.receipts import PartReceipt
from checkpoint.slices import Slice, SliceLike, narrow, part_of
from checkpoint.store import Store
from checkpoint.writer import PartWriter, WriteSizes

if TYPE_CHECKING:
    from torch import Tensor


def write_part(
    store: Store,
    place: PartPlace,
    inventory: Iterable[SliceLike],
    tensors: Iterable[tuple[SliceLike, Tensor]],
    sizes: WriteSizes | None = None,
) -> PartReceipt:
    """Write a part in one go: `write_in_steps` to its end. Waits for the store."""
    steps = write_in_steps(store, place, inventory, tensors, sizes)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            receipt: PartReceipt = end.value
            return receipt


def write_in_steps(
    store: Store,
    place: PartPlace,
    inventory: Iterable[SliceLike],
    tensors: Iterable[tuple[SliceLike, Tensor]],
    sizes: WriteSizes | None = None,
) -> Generator[bool, None, PartReceipt]:
    """Write a part whenever the caller has a moment: of all `tensors`, the rows that are this part's.

    Every `next` takes one tensor, and returns whether the store is behind, so that the following one would wait for
    it. The receipt is the generator's return value; closing it gives up. `part_of` says which names a part needs.

    Args:
        inventory: what the stage holds, the same for all its writers.
        tensors: those boxes with values, one at a time; others than this part's are passed over.

    Raises:
        StoreError: the store fails.
        ValueError: the tensors are not those of the inventory.
    """
    mine: dict[str, list[Slice]] = {}
    for piece in part_of(inventory, place.part, place.parts):
        mine.setdefault(piece.name, []).append(piece)
    out = PartWriter(store, place, sizes)
    try:
        for box, values in tensors:
            held = Slice.of(box)
            for piece in [piece for piece in mine.get(held.name, []) if _inside(piece, held)]:
                out.add(piece, narrow(values, held, piece))
                mine[held.name].remove(piece)
            yield out.behind
        left = [piece.name for pieces in mine.values() for piece in pieces]
        if left:
            raise ValueError(f"{len(left)} tensors of the inventory did not come, the first is {left[0]!r}.")
        return out.finish()
    finally:
        out.abort()


def _inside(piece: Slice, held: Slice) -> bool:
    return piece.overlap(held) == piece or (not piece.elements and piece.sizes[1:] == held.sizes[1:])
