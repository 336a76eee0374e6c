"""One box of a tensor as torch.save's bytes, and back from its own bytes. Imports torch when it is used."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from typing import TYPE_CHECKING

from checkpoint.slices import Slice

if TYPE_CHECKING:
    from torch import Tensor


def write_entry(buffer: io.BytesIO, offset: int, values: Tensor) -> tuple[int, int]:
    """Write what `torch.save` makes of a tensor; return its length, and the position of its values in the buffer.

    The same values give the same bytes. The archive's own checksums are left out, as our hashes cover it.
    """
    import torch

    buffer.seek(offset)
    values = values.detach().cpu().contiguous()
    if values.untyped_storage().nbytes() != values.nbytes:
        own = torch.from_numpy(values.reshape(-1).view(torch.uint8).numpy())  # a storage of just these bytes:
        values = own.view(values.dtype).reshape(values.shape)  # torch.save writes the whole storage of a view
    checksums = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(values, buffer)
    finally:
        torch.serialization.set_crc32_options(checksums)
    length = buffer.tell() - offset
    with buffer.getbuffer() as view:
        payload = _payload(view[offset : offset + length], values.nbytes)
    return length, offset + payload


def _payload(entry: memoryview, size: int) -> int:
    """Where in torch.save's archive the tensor's bytes begin; it stores them uncompressed."""
    with zipfile.ZipFile(_Readable(entry)) as archive:
        (info,) = [one for one in archive.infolist() if one.filename.endswith("/data/0")]
        assert info.compress_type == zipfile.ZIP_STORED and info.file_size == size
        header = entry[info.header_offset : info.header_offset + 30]
        names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        return info.header_offset + 30 + names


class _Readable(io.RawIOBase):
    """A file over a memoryview, without a copy."""

    def __init__(self, view: memoryview) -> None:
        super().__init__()
        self._view, self._at = view, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._view)}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        stop = len(self._view) if size is None or size < 0 else min(len(self._view), self._at + size)
        data = bytes(self._view[self._at : stop])
        self._at = max(self._at, stop)
        return data


def empty(box: Slice) -> Tensor:
    """Return a tensor of a box's type and size, without values."""
    import torch

    return torch.empty(box.sizes, dtype=getattr(torch, box.dtype))


def fill(target: Tensor, pieces: Iterable[memoryview]) -> None:
    """Write bytes, piece after piece, into a contiguous tensor of just so many bytes."""
    import numpy as np
    import torch

    flat, at = target.reshape(-1).view(torch.uint8).numpy(), 0
    for piece in pieces:
        flat[at : at + len(piece)] = np.frombuffer(piece, np.uint8)
        at += len(piece)
    assert at == len(flat)
