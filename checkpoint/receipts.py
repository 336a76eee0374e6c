"""What writers hand to whoever commits: small, JSON, without tensors. The manifest is made of them."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from checkpoint.hashing import DIGEST_BYTES
from checkpoint.index import MAX_FILE_BYTES, MAX_INDEX_BYTES
from checkpoint.names import MAX_FILES, MAX_PARTS, MAX_STAGES, index_file
from checkpoint.strict import Fields, JsonObject, Malformed

_WRITER = re.compile(r"[A-Za-z0-9_-]{1,64}")
MAX_DCP_BYTES = 256 << 20


@dataclass(frozen=True)
class FileRecord:
    """A small file that is hashed whole."""

    size: int
    """In bytes."""
    digest: str
    """BLAKE3, hexadecimal."""


@dataclass(frozen=True)
class PartReceipt:
    """One part of a stage is written."""

    part: int
    """0-based."""
    parts: int
    """In how many parts the stage is written."""
    writer: str
    """Who wrote it; part of the files' names, so that two who write the same part never touch each other's files."""
    index: FileRecord
    files: int
    """Number of data files."""
    data_bytes: int
    """Of all data files."""

    @property
    def index_file(self) -> str:
        """Name of its index in the stage's folder."""
        return index_file(self.part, self.writer)

    def to_json(self) -> JsonObject:
        """Return it as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any, where: str = "the receipt of a part") -> PartReceipt:
        """Read `to_json`'s object. Raises Malformed (a ValueError) for anything else."""
        fields = Fields(value, where)
        receipt = cls(
            part=fields.integer("part", 0, MAX_PARTS),
            parts=fields.integer("parts", 1, MAX_PARTS),
            writer=fields.name("writer", _WRITER),
            index=_record(fields.take("index"), f"{where}, index", MAX_INDEX_BYTES),
            files=fields.integer("files", 0, MAX_FILES),
            data_bytes=fields.integer("data_bytes", 0, MAX_FILE_BYTES),
        )
        fields.done()
        if receipt.part >= receipt.parts:
            raise Malformed(f"{where}: there is no part {receipt.part} of {receipt.parts}")
        return receipt


@dataclass(frozen=True)
class StageReceipt:
    """A stage is written whole: its parts cover every tensor once."""

    stage: int
    tensors: int
    """Number of names."""
    tensor_bytes: int
    """Of the tensors."""
    dcp: FileRecord
    """The metadata for torch.distributed.checkpoint, which we write and never read."""
    parts: tuple[PartReceipt, ...]
    """In order, 0 to parts - 1."""

    def to_json(self) -> JsonObject:
        """Return it as a JSON object."""
        return asdict(self) | {"parts": [part.to_json() for part in self.parts]}

    @classmethod
    def from_json(cls, value: Any, where: str = "the receipt of a stage") -> StageReceipt:
        """Read `to_json`'s object. Raises Malformed (a ValueError) for anything else."""
        fields = Fields(value, where)
        receipt = cls(
            stage=fields.integer("stage", 0, MAX_STAGES),
            tensors=fields.integer("tensors", 0, 1 << 32),
            tensor_bytes=fields.integer("tensor_bytes", 0, 1 << 56),
            dcp=_record(fields.take("dcp"), f"{where}, dcp", MAX_DCP_BYTES),
            parts=fields.items("parts", MAX_PARTS, PartReceipt.from_json),
        )
        fields.done()
        counts = [(part.part, part.parts) for part in receipt.parts]
        if not counts or counts != [(i, len(counts)) for i in range(len(counts))]:
            raise Malformed(f"{where}: the parts are not 0 to {max(0, len(counts) - 1)}")
        return receipt


def _record(value: Any, where: str, limit: int) -> FileRecord:
    fields = Fields(value, where)
    record = FileRecord(fields.integer("size", 1, limit), fields.digest("digest", 2 * DIGEST_BYTES))
    fields.done()
    return record
