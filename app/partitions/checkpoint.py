"""Fields to bytes and back, for the checkpoint of a partition: a msgpack header and the arrays, compressed."""

from __future__ import annotations

import msgspec
import numpy as np
import zstandard

from detectors.contract import Fields


class _Column(msgspec.Struct, array_like=True):
    name: str
    dtype: str
    shape: list[int]


class _Block(msgspec.Struct, array_like=True):
    columns: list[_Column]
    content: bytes


def encode(fields: Fields) -> bytes:
    """Arrays of any dtype and shape, with their names; never a pickle."""
    columns = [_Column(name, array.dtype.str, list(array.shape)) for name, array in fields.items()]
    content = b"".join(np.ascontiguousarray(array).tobytes() for array in fields.values())
    return zstandard.compress(msgspec.msgpack.encode(_Block(columns, content)), 1)


def decode(block: bytes) -> Fields:
    """The arrays that `encode` was given; writable copies."""
    packed = msgspec.msgpack.decode(zstandard.decompress(block), type=_Block)
    fields: Fields = {}
    offset = 0
    for column in packed.columns:
        dtype = np.dtype(column.dtype)
        count = int(np.prod(column.shape, dtype=np.int64))
        array = np.frombuffer(packed.content, dtype, count, offset)
        fields[column.name] = array.reshape(column.shape).copy()
        offset += count * dtype.itemsize
    return fields
