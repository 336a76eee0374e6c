"""The metadata file that makes a stage's folder loadable by plain `torch.distributed.checkpoint`.

It is a pickle, as torch wants it. We write it for others and never read it.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable

from checkpoint.index import PartIndex


def dcp_metadata(indexes: Iterable[PartIndex]) -> bytes:
    """Return torch's metadata of what the indexes describe, all in one folder."""
    import torch
    from torch.distributed.checkpoint.filesystem import _StorageInfo
    from torch.distributed.checkpoint.metadata import (
        ChunkStorageMetadata,
        Metadata,
        MetadataIndex,
        TensorProperties,
        TensorStorageMetadata,
    )

    tensors: dict[str, TensorStorageMetadata] = {}
    places: dict[MetadataIndex, _StorageInfo] = {}
    for index in indexes:
        for entry in index.entries:
            box = entry.slice
            if box.name not in tensors:
                properties = TensorProperties(dtype=getattr(torch, box.dtype))
                tensors[box.name] = TensorStorageMetadata(properties, torch.Size(box.shape), [])
            chunks = tensors[box.name].chunks
            offsets = torch.Size(box.offsets)
            key = MetadataIndex(box.name, offsets, len(chunks))
            chunks.append(ChunkStorageMetadata(offsets=offsets, sizes=torch.Size(box.sizes)))
            places[key] = _StorageInfo(index.file_name(entry.file), entry.offset, entry.length)
    out = io.BytesIO()
    pickle.dump(Metadata(state_dict_metadata=dict(tensors), storage_data=places), out)
    return out.getvalue()
