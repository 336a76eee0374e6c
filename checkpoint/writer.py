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

from checkpoint.entry import write_entry
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
        self._buffer, self._filled = io.BytesIO(), 0
        self._free: list[io.BytesIO] = []
        """Used before, so that no new memory has to be asked for."""
        self._entries: list[Entry] = []
        self._files = 0
        self._done: list[DataFile] = []
        self._threads = ThreadPoolExecutor(self._sizes.in_flight, thread_name_prefix="checkpoint")
        self._waiting: deque[tuple[Future[DataFile], io.BytesIO]] = deque()

    def add(self, box: SliceLike, values: Tensor) -> None:
        """Write one box. Its memory is free when this returns.

        Raises ValueError when the values are not of the box's type and size, StoreError when the store fails.
        """
        held = Slice.of(box)
        if tuple(values.shape) != held.sizes or str(values.dtype) != f"torch.{held.dtype}":
            raise ValueError(f"tensor {held.name!r} is {values.dtype} of {tuple(values.shape)}, not as announced.")
        for first, stop in split_rows(held, self._sizes.entry_bytes):
            rows = held.take_rows(first, stop)
            offset = self._filled
            length, payload = write_entry(self._buffer, offset, values[first:stop] if held.sizes else values)
            self._entries.append(Entry(rows, self._files, offset, length, payload))
            self._filled += length
            if self._filled >= self._sizes.file_bytes:
                self._send()

    @property
    def behind(self) -> bool:
        """Whether as many files are under way as may be, so that `add` may have to wait for the store."""
        return sum(not future.done() for future, _ in self._waiting) >= self._sizes.in_flight

    def finish(self) -> PartReceipt:
        """Write what is left and the index; return the receipt. Raises StoreError."""
        place = self._place
        try:
            if self._filled:
                self._send()
            while self._waiting:
                self._wait()
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
        for future, _ in self._waiting:
            future.cancel()
        self._threads.shutdown(wait=True)
        self._waiting.clear()
        self._free.clear()
        self._buffer, self._filled = io.BytesIO(), 0

    def _send(self) -> None:
        """Hand the full file to a thread; wait first while too many are under way."""
        while len(self._waiting) >= self._sizes.in_flight:
            self._wait()
        place = self._place
        path = f"{place.folder}/{data_file(place.part, place.writer, self._files)}"
        work = self._threads.submit(_put, self._store, path, self._buffer, self._filled, self._sizes.block_bytes)
        self._waiting.append((work, self._buffer))
        self._buffer, self._filled = self._free.pop() if self._free else io.BytesIO(), 0
        self._files += 1

    def _wait(self) -> None:
        """For the oldest file that is under way."""
        work, buffer = self._waiting.popleft()
        self._done.append(work.result())
        self._free.append(buffer)


def _put(store: Store, path: str, buffer: io.BytesIO, size: int, block_bytes: int) -> DataFile:
    with buffer.getbuffer() as whole, whole[:size] as view:
        store.put(path, view)
        return DataFile(size, block_digests(view, block_bytes))
