"""A part's index: which boxes of which tensors its data files hold, where, and the hash of every block.

An entry is what `torch.save` makes of one box, as torch.distributed.checkpoint stores it; `payload` is where in it
the tensor's own bytes begin (C order, little-endian), so a reader needs neither torch.load nor the whole entry.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from checkpoint.hashing import DIGEST_BYTES
from checkpoint.names import MAX_FILES, MAX_PARTS, MAX_STAGES, data_file
from checkpoint.slices import DTYPE_BYTES, Slice
from checkpoint.strict import Fields, JsonObject, Malformed, decode, encode

FORMAT, VERSION = "tessera-checkpoint-part", 1
MAX_INDEX_BYTES = 64 << 20
MAX_FILE_BYTES = 1 << 40
MAX_DIMENSIONS, MAX_SIZE = 8, 1 << 48
_TENSOR = re.compile(r"[A-Za-z0-9_.\-/]{1,256}")
_WRITER = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Entry:
    """One box in a data file."""

    slice: Slice
    file: int
    """Number of the data file within the part."""
    offset: int
    """Where torch.save's bytes begin in it."""
    length: int
    """How many those are."""
    payload: int
    """Where the tensor's own bytes begin in the file; there are slice.nbytes of them."""


@dataclass(frozen=True)
class DataFile:
    """One data file."""

    size: int
    """In bytes."""
    blocks: tuple[str, ...]
    """The hash of every block of the part's block_bytes; the last one may be shorter."""


@dataclass(frozen=True)
class PartIndex:
    """What one writer has written of a stage."""

    stage: int
    part: int
    parts: int
    """In how many parts the stage was written."""
    writer: str
    block_bytes: int
    files: tuple[DataFile, ...]
    entries: tuple[Entry, ...]

    def file_name(self, number: int) -> str:
        """Name of a data file in the stage's folder."""
        return data_file(self.part, self.writer, number)

    def to_bytes(self) -> bytes:
        """Return the file's content."""
        names = list(dict.fromkeys((e.slice.name, e.slice.dtype, e.slice.shape) for e in self.entries))
        numbers = {key: i for i, key in enumerate(names)}
        return encode(
            {
                "format": FORMAT,
                "version": VERSION,
                "stage": self.stage,
                "part": self.part,
                "parts": self.parts,
                "writer": self.writer,
                "block_bytes": self.block_bytes,
                "files": [{"size": file.size, "blocks": "".join(file.blocks)} for file in self.files],
                "tensors": [{"name": n, "dtype": d, "shape": list(s)} for n, d, s in names],
                "entries": [_entry_json(e, numbers[e.slice.name, e.slice.dtype, e.slice.shape]) for e in self.entries],
            }
        )


def parse_index(data: bytes) -> PartIndex:
    """Return the index that `data` spells. Raises Malformed with what is wrong."""
    fields = Fields(decode(data, MAX_INDEX_BYTES), "the index")
    if fields.text("format", 64) != FORMAT:
        raise Malformed("it is not the index of a part")
    version = fields.integer("version", 0, 1 << 31)
    if version != VERSION:
        raise Malformed(f"it has version {version}, and this program reads version {VERSION}")
    stage, part = fields.integer("stage", 0, MAX_STAGES), fields.integer("part", 0, MAX_PARTS)
    parts, writer = fields.integer("parts", 1, MAX_PARTS), fields.name("writer", _WRITER)
    block = fields.integer("block_bytes", 1, 1 << 30)
    files = fields.items("files", MAX_FILES, lambda value, where: _file(value, where, block))
    tensors = fields.items("tensors", 1 << 20, _tensor)
    entries = fields.items("entries", 1 << 22, lambda value, where: _entry(value, where, tensors, files))
    fields.done()
    return PartIndex(stage, part, parts, writer, block, files, entries)


def _entry_json(entry: Entry, number: int) -> JsonObject:
    return {
        "tensor": number,
        "offsets": list(entry.slice.offsets),
        "sizes": list(entry.slice.sizes),
        "at": [entry.file, entry.offset, entry.length, entry.payload],
    }


def _file(value: Any, where: str, block: int) -> DataFile:
    fields = Fields(value, where)
    size = fields.integer("size", 1, MAX_FILE_BYTES)
    digits = 2 * DIGEST_BYTES
    count = -(-size // block)
    if count * digits > MAX_INDEX_BYTES:
        raise Malformed(f"{where}: it cannot have {count} blocks")
    blocks = fields.digest("blocks", count * digits)
    fields.done()
    return DataFile(size, tuple(blocks[at : at + digits] for at in range(0, len(blocks), digits)))


def _tensor(value: Any, where: str) -> tuple[str, str, tuple[int, ...]]:
    fields = Fields(value, where)
    name, dtype = fields.name("name", _TENSOR), fields.text("dtype", 16)
    shape = fields.integers("shape", MAX_DIMENSIONS, MAX_SIZE)
    fields.done()
    if dtype not in DTYPE_BYTES:
        raise Malformed(f"{where}: the type {dtype!r} is not stored")
    if math.prod(shape) > MAX_SIZE:
        raise Malformed(f"{where}: the shape is absurd")
    return name, dtype, shape


def _entry(
    value: Any, where: str, tensors: tuple[tuple[str, str, tuple[int, ...]], ...], files: tuple[DataFile, ...]
) -> Entry:
    fields = Fields(value, where)
    name, dtype, shape = tensors[fields.integer("tensor", 0, len(tensors) - 1)]
    offsets = fields.integers("offsets", MAX_DIMENSIONS, MAX_SIZE)
    sizes = fields.integers("sizes", MAX_DIMENSIONS, MAX_SIZE)
    at = fields.integers("at", 4, MAX_FILE_BYTES)
    fields.done()
    try:
        box = Slice(name, dtype, shape, offsets, sizes)
    except ValueError as error:
        raise Malformed(f"{where}: {str(error).rstrip('.')}") from None
    if len(at) != 4 or at[0] >= len(files):
        raise Malformed(f"{where}: it lies in no file")
    file, offset, length, payload = at
    if offset + length > files[file].size or not offset <= payload or payload + box.nbytes > offset + length:
        raise Malformed(f"{where}: it reaches beyond its file")
    return Entry(box, file, offset, length, payload)
