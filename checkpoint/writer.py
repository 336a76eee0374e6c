"""Writes one part of a stage: tensors come one at a time, files of bounded size go out behind them.

Memory is bounded whatever the size of the part: one file that is being filled and at most `in_flight` that are being
hashed and put by other threads. A file goes out whole or not at all, and the index, which names all of them with
their hashes, goes out last.
"""

from __future__ import annotations

import io
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from checkpoint.entry import append_entry
from checkpoint.errors import CheckpointError
from checkpoint.hashing import block_digests, digest
from checkpoint.index import DataFile, Entry, PartIndex
from checkpoint.names import PartPlace, data_file, index_file
from checkpoint.receipts import FileRecord, PartReceipt
from checkpoint.slices import Slice, SliceLike, split_rows
from checkpoint.store import Store

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class WriteSizes:
    """How a part is cut; readers take it from the index."""

    file_bytes: int = 16 << 20
    """A data file is closed when it has so many. Larger: fewer requests. Smaller: less memory."""
    entry_bytes: int = 4 << 20
    """Tensors are cut into rows of at most so many bytes."""
    block_bytes: int = 256 << 10
    """A hash for every so many bytes. Smaller: readers of ranges read less beyond them; the index grows."""
    in_flight: int = 2
    """Files that may wait for the store. More: more memory, more throughput where the store is far."""


class PartWriter:
    """Writes part `part` of `parts` of a stage. `add` tensors, then `finish`; or `abort`.

    Not thread-safe, but the calls may come from different threads one after the other, and with anything in between:
    a shard may add a tensor whenever it has a moment. Whoever takes over a part makes a writer of its own.

    Args:
        store: where to.
        place: which part.
        sizes: how it is cut.
    """

    def __init__(self, store: Store, place: PartPlace, sizes: WriteSizes | None = None) -> None:
        self._store, self._place = store, place
        if store.exists(place.id.manifest):
            raise CheckpointError(f"checkpoint {place.id.folder} is complete; its files are not written again.")
        self._sizes = sizes or WriteSizes()
        self._buffer = io.BytesIO()
        self._entries: list[Entry] = []
        self._files = 0
        self._done: list[DataFile] = []
        self._threads = ThreadPoolExecutor(self._sizes.in_flight, thread_name_prefix="checkpoint")
        self._waiting: deque[Future[DataFile]] = deque()

    def add(self, box: SliceLike, values: Tensor) -> None:
        """Write one box. Its memory is free when this returns.

        Raises ValueError when the values are not of the box's type and size, StoreError when the store fails.
        """
        held = Slice.of(box)
        if tuple(values.shape) != held.sizes or str(values.dtype) != f"torch.{held.dtype}":
            raise ValueError(f"tensor {held.name!r} is {values.dtype} of {tuple(values.shape)}, not as announced.")
        for first, stop in split_rows(held, self._sizes.entry_bytes):
            rows = held.take_rows(first, stop)
            at = append_entry(self._buffer, values[first:stop] if held.sizes else values)
            self._entries.append(Entry(rows, self._files, *at))
            if self._buffer.tell() >= self._sizes.file_bytes:
                self._send()

    @property
    def behind(self) -> bool:
        """Whether as many files are under way as may be, so that `add` may have to wait for the store."""
        return sum(not future.done() for future in self._waiting) >= self._sizes.in_flight

    def finish(self) -> PartReceipt:
        """Write what is left and the index; return the receipt. Raises StoreError."""
        place = self._place
        try:
            if self._buffer.tell():
                self._send()
            while self._waiting:
                self._done.append(self._waiting.popleft().result())
        finally:
            self.abort()
        index = PartIndex(
            place.stage,
            place.part,
            place.parts,
            place.writer,
            self._sizes.block_bytes,
            tuple(self._done),
            tuple(self._entries),
        ).to_bytes()
        self._store.put(f"{place.folder}/{index_file(place.part, place.writer)}", index)
        record = FileRecord(len(index), digest(index))
        size = sum(file.size for file in self._done)
        return PartReceipt(place.part, place.parts, place.writer, record, len(self._done), size)

    def abort(self) -> None:
        """Give up; what was written stays and does no harm. Also after `finish`."""
        for future in self._waiting:
            future.cancel()
        self._threads.shutdown(wait=True)
        self._waiting.clear()
        self._buffer = io.BytesIO()

    def _send(self) -> None:
        """Hand the full file to a thread; wait first while too many are under way."""
        while len(self._waiting) >= self._sizes.in_flight:
            self._done.append(self._waiting.popleft().result())
        place = self._place
        path = f"{place.folder}/{data_file(place.part, place.writer, self._files)}"
        self._waiting.append(self._threads.submit(_put, self._store, path, self._buffer, self._sizes.block_bytes))
        self._buffer = io.BytesIO()
        self._files += 1


def _put(store: Store, path: str, buffer: io.BytesIO, block_bytes: int) -> DataFile:
    with buffer.getbuffer() as view:
        store.put(path, view)
        return DataFile(len(view), block_digests(view, block_bytes))
