"""Arrays to bytes and back, compressed plane by plane so that a reader pays only for the planes it asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import numpy as np
import zstandard
from numpy.typing import NDArray
from pcodec import ChunkConfig, standalone

Plane = NDArray[Any]

RAW_UP_TO_BYTES = 128
# Smallest over all kinds of values, and faster than the default 8 on most (decision 0011).
PCODEC = ChunkConfig(compression_level=6)
PCODEC_KINDS = {"float16", "float32", "float64", "int16", "int32", "int64", "uint16", "uint32", "uint64"}
ZSTD_LEVEL = 1


class _Entry(msgspec.Struct, array_like=True):
    """Where a plane lies in the bytes after the contents table, and how it is written."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    codec: str
    length: int
    mask_length: int  # of the bits that say which elements are NaN and so left out; 0: none


_contents_encoder = msgspec.msgpack.Encoder()
_contents_decoder = msgspec.msgpack.Decoder(list[_Entry])


def pack(planes: Mapping[str, Plane]) -> bytes:
    """Named arrays of any shape as bytes. Every bit comes back, except that all NaN come back as the one of numpy."""
    entries, parts = [], []
    for name, plane in planes.items():
        codec, mask, body = _encode(plane.ravel())
        entries.append(_Entry(name, plane.dtype.str, plane.shape, codec, len(body), len(mask)))
        parts += [mask, body]
    contents = _contents_encoder.encode(entries)
    return b"".join([len(contents).to_bytes(4, "little"), contents, *parts])


class Packed(Mapping[str, Plane]):
    """What `pack` made; a plane is decoded when it is asked for. Its arrays may be read-only."""

    def __init__(self, packed: bytes) -> None:
        contents_end = 4 + int.from_bytes(packed[:4], "little")
        self._packed = packed
        self._entries: dict[str, tuple[_Entry, int]] = {}
        position = contents_end
        for entry in _contents_decoder.decode(self._packed[4:contents_end]):
            self._entries[entry.name] = (entry, position)
            position += entry.mask_length + entry.length

    def __getitem__(self, name: str) -> Plane:
        entry, position = self._entries[name]
        body_at = position + entry.mask_length
        mask, body = self._packed[position:body_at], self._packed[body_at : body_at + entry.length]
        dtype, size = np.dtype(entry.dtype), int(np.prod(entry.shape))
        if not mask:
            return _decode(entry.codec, body, dtype, size).reshape(entry.shape)
        present = np.unpackbits(np.frombuffer(zstandard.decompress(mask), np.uint8), count=size).view(np.bool_)
        plane = np.full(size, np.nan, dtype)
        plane[present] = _decode(entry.codec, body, dtype, int(np.count_nonzero(present)))
        return plane.reshape(entry.shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def _encode(flat: Plane) -> tuple[str, bytes, bytes]:
    """How the elements are written, the bits that say which are there (none: all), and those that are."""
    if flat.nbytes <= RAW_UP_TO_BYTES:
        return "raw", b"", flat.tobytes()
    if _all_same(flat):
        return "same", b"", flat[:1].tobytes()
    if flat.dtype.name not in PCODEC_KINDS:
        return "zstd", b"", zstandard.compress(flat.tobytes(), ZSTD_LEVEL)
    present = flat == flat
    if present.all():
        return "pcodec", b"", standalone.simple_compress(np.ascontiguousarray(flat), PCODEC)
    # NaN among the numbers would hide from pcodec that they are integers or decimals.
    mask = zstandard.compress(np.packbits(present).tobytes(), ZSTD_LEVEL)
    return "pcodec", mask, standalone.simple_compress(flat[present], PCODEC)


def _all_same(flat: Plane) -> bool:
    bits = flat.view(f"u{flat.dtype.itemsize}")  # -0.0 equals 0.0, but is not the same
    return bool(bits[0] == bits[-1]) and bool((bits == bits[0]).all())


def _decode(codec: str, body: bytes, dtype: np.dtype[Any], size: int) -> Plane:
    if codec == "raw":
        return np.frombuffer(body, dtype)
    if codec == "same":
        return np.full(size, np.frombuffer(body, dtype)[0])
    if codec == "pcodec":
        plane: Plane = standalone.simple_decompress(body)
        return plane
    return np.frombuffer(zstandard.decompress(body), dtype)
