"""The codec that changes nothing: the tensor's own bits, in the type that travels."""

from __future__ import annotations

import dataclasses
import gc
import weakref

import numpy as np
import pytest
import torch

from sharding.codecs.raw import RawCodec, share_memory
from sharding.codecs.registry import build_codec
from tests.sharding.engines import TINY


def test_fp32_travels_as_it_is() -> None:
    tensor = torch.tensor([[1.0, -0.0]])
    (array,) = RawCodec(torch.float32).encode(tensor)
    assert array.dtype == np.float32 and array.tobytes() == np.array([[1.0, -0.0]], np.float32).tobytes()
    assert RawCodec(torch.float32).wire_spec((2, 3)) == (("float32", (2, 3)),)


def test_bf16_travels_as_sixteen_bits() -> None:
    # 1 is sign 0, exponent 127, mantissa 0: 0x3F80. -2 is sign 1, exponent 128: 0xC000.
    codec = RawCodec(torch.bfloat16)
    (array,) = codec.encode(torch.tensor([1.0, -2.0], dtype=torch.bfloat16))
    assert array.dtype == np.uint16 and array.tolist() == [0x3F80, 0xC000]
    assert codec.decode((array,)).tolist() == [1.0, -2.0]
    assert codec.wire_spec((1,)) == (("uint16", (1,)),)


def test_what_is_sent_is_contiguous_and_of_the_codec_s_type() -> None:
    turned = torch.arange(6.0).reshape(2, 3).t()
    (array,) = RawCodec(torch.float32).encode(turned)
    assert array.flags.c_contiguous and array.tolist() == [[0, 3], [1, 4], [2, 5]]
    (array,) = RawCodec(torch.bfloat16).encode(torch.tensor([1.0]))
    assert array.tolist() == [0x3F80]


def test_encoding_needs_no_gradient_and_no_copy() -> None:
    tensor = torch.ones(3, requires_grad=True)
    (array,) = RawCodec(torch.float32).encode(tensor)
    with torch.no_grad():
        tensor[0] = 5.0
    assert array[0] == 5.0, "the same memory"


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ((), "expects one float32 array, and got nothing"),
        ((np.zeros(2, np.float64),), "expects one float32 array, and got float64"),
        ((np.zeros(2, np.float32), np.zeros(2, np.int8)), "expects one float32 array, and got float32, int8"),
    ],
)
def test_what_cannot_be_the_codec_s_is_refused(arrays: tuple[np.ndarray, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        RawCodec(torch.float32).decode(arrays)


def test_read_only_memory_is_opened_without_a_copy() -> None:
    array = np.arange(4, dtype=np.float32)
    array.flags.writeable = False
    tensor = share_memory((array,))
    assert tensor.data_ptr() == array.__array_interface__["data"][0]
    writable = np.zeros(2, np.float32)
    assert share_memory((writable,)).data_ptr() == writable.__array_interface__["data"][0]
    turned = np.arange(6, dtype=np.float32).reshape(2, 3).T
    assert share_memory((turned,)).tolist() == [[0, 3], [1, 4], [2, 5]]
    empty = np.zeros((2, 0), np.float32)
    empty.flags.writeable = False
    assert share_memory((empty,)).shape == (2, 0)


def test_memory_lives_as_long_as_the_tensor_over_it() -> None:
    array = np.arange(4, dtype=np.float32)
    array.flags.writeable = False
    kept, tensor = weakref.ref(array), share_memory((array,))
    del array
    gc.collect()
    assert kept() is not None and tensor.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(("dtype", "torch_type"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_a_model_s_codec_has_its_type(dtype: str, torch_type: torch.dtype) -> None:
    codec = build_codec("raw", dataclasses.replace(TINY, dtype=dtype))
    assert isinstance(codec, RawCodec) and codec.dtype == torch_type


def test_unknown_codecs_and_types_are_named() -> None:
    with pytest.raises(ValueError, match="Codec 'zip' is unknown; use one of raw"):
        build_codec("zip", TINY)
    with pytest.raises(ValueError, match=r"cannot send torch\.float16; use fp32 or bf16"):
        RawCodec(torch.float16)
