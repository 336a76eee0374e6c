"""An entry is what torch.save makes of a box, with the tensor's own bytes at a known place in it."""

from __future__ import annotations

import io
import itertools

import pytest
import torch
from torch import Tensor

from checkpoint.entry import empty, fill, write_entry
from checkpoint.slices import Slice

TENSORS = {
    "matrix": torch.arange(6.0).reshape(2, 3),
    "scalar": torch.tensor(7.0),
    "bf16": torch.tensor([1.0, -2.0], dtype=torch.bfloat16),
    "integers": torch.tensor([1, -2, 3]),
    "flags": torch.tensor([True, False]),
    "nothing": torch.zeros(0, 3),
    "rows of more": torch.arange(20.0).reshape(4, 5)[1:3],
    "columns of more": torch.arange(20.0).reshape(4, 5)[:, 1:3],
    "turned": torch.arange(6.0).reshape(2, 3).t(),
}


@pytest.mark.parametrize("name", list(TENSORS))
@pytest.mark.parametrize("offset", [0, 37])
def test_torch_loads_what_is_written_and_its_bytes_are_where_they_are_said_to_be(name: str, offset: int) -> None:
    tensor, buffer = TENSORS[name], io.BytesIO(b"?" * offset)
    length, payload = write_entry(buffer, offset, tensor)
    written = buffer.getvalue()
    assert len(written) == offset + length and written[:offset] == b"?" * offset
    loaded = torch.load(io.BytesIO(written[offset:]), weights_only=True)
    assert loaded.dtype == tensor.dtype and torch.equal(loaded, tensor)
    own = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    assert written[payload : payload + len(own)] == own
    assert offset <= payload and payload + len(own) <= offset + length


def test_a_view_takes_its_own_bytes_with_it_and_not_the_whole_memory() -> None:
    large, buffer = torch.zeros(100_000), io.BytesIO()
    length, _ = write_entry(buffer, 0, large[5:7])
    assert length < 4000


def test_the_same_values_give_the_same_bytes() -> None:
    one, other = io.BytesIO(), io.BytesIO()
    assert write_entry(one, 0, torch.arange(4.0)) == write_entry(other, 0, torch.arange(8.0)[:4])
    assert one.getvalue() == other.getvalue()


@pytest.mark.parametrize("before", [True, False])
def test_torch_s_own_checksums_are_as_they_were(before: bool) -> None:
    kept = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(before)
    try:
        write_entry(io.BytesIO(), 0, torch.zeros(1))
        assert torch.serialization.get_crc32_options() is before
    finally:
        torch.serialization.set_crc32_options(kept)


def test_writing_over_a_used_buffer_leaves_the_new_entry() -> None:
    buffer = io.BytesIO()
    write_entry(buffer, 0, torch.ones(500))
    length, payload = write_entry(buffer, 0, torch.tensor([3.0]))
    assert torch.load(io.BytesIO(buffer.getvalue()[:length]), weights_only=True).tolist() == [3.0]
    assert buffer.getvalue()[payload : payload + 4] == torch.tensor([3.0]).numpy().tobytes()


@pytest.mark.parametrize("cuts", [[], [3], [1, 2, 9], [0, 12]])
def test_bytes_fill_a_tensor_piece_after_piece(cuts: list[int]) -> None:
    values = torch.tensor([[1.5, -2.0], [0.25, 8.0], [3.0, 4.0]])
    data = values.numpy().tobytes()
    ends = [0, *cuts, len(data)]
    target = empty(Slice("t", "float32", (3, 2), (0, 0), (3, 2)))
    fill(target, [memoryview(data)[a:b] for a, b in itertools.pairwise(ends)])
    assert torch.equal(target, values)


@pytest.mark.parametrize("size", [20, 28])
def test_too_few_or_too_many_bytes_are_a_fault(size: int) -> None:
    with pytest.raises((AssertionError, ValueError)):
        fill(torch.zeros(3, 2), [memoryview(bytes(size))])


@pytest.mark.parametrize(("dtype", "sizes"), [("float32", (2, 3)), ("bfloat16", ()), ("int64", (0,))])
def test_an_empty_tensor_has_the_box_s_type_and_size(dtype: str, sizes: tuple[int, ...]) -> None:
    made: Tensor = empty(Slice("t", dtype, sizes, (0,) * len(sizes), sizes))
    assert (made.dtype, tuple(made.shape)) == (getattr(torch, dtype), sizes)
