"""How small and how fast one tile of values is packed: pcodec beside zstd, on counts, money, ratios and latencies."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

import numpy as np
import zstandard
from numpy.typing import NDArray
from pcodec import ChunkConfig, standalone
from rich.console import Console
from rich.table import Table

from app.store.points.tiles import COLUMNS, ROWS
from benchmarks.store import simulated_values

Floats = NDArray[np.float64]
KINDS = ("counts", "money", "ratios", "latencies")
REPEATS = 10
T = TypeVar("T")


def main() -> None:
    """One row a codec: bytes a point of each kind, then million points a CPU second packed and unpacked."""
    by_kind = simulated_values(ROWS * len(KINDS), COLUMNS).T.reshape(ROWS, len(KINDS), COLUMNS)
    tiles = [np.ascontiguousarray(by_kind[:, kind]) for kind in range(len(KINDS))]
    table = Table("codec", *KINDS, "pack M/s", "unpack M/s", title="bytes a point of a tile, and speed")
    for name, (packed, unpacked) in codecs().items():
        blobs = [packed(tile) for tile in tiles]
        for tile, blob in zip(tiles, blobs, strict=True):
            assert np.array_equal(unpacked(blob).ravel(), tile.ravel())
        sizes = (f"{len(blob) / tile.size:.2f}" for blob, tile in zip(blobs, tiles, strict=True))
        speeds = (rate(packed, tiles), rate(unpacked, blobs))
        table.add_row(name, *sizes, *(f"{speed / 1e6:.0f}" for speed in speeds))
    Console().print(table)


def codecs() -> Mapping[str, tuple[Callable[[Floats], bytes], Callable[[bytes], Floats]]]:
    pcodecs = {
        f"pcodec {level}": (partial(pcodec_packed, level=level), standalone.simple_decompress) for level in (2, 4, 6, 8)
    }
    zstds = {f"zstd {level}, shuffled": (partial(zstd_packed, level=level), zstd_unpacked) for level in (1, 3)}
    return pcodecs | zstds


def pcodec_packed(tile: Floats, *, level: int) -> bytes:
    packed: bytes = standalone.simple_compress(tile.ravel(), ChunkConfig(compression_level=level))
    return packed


def zstd_packed(tile: Floats, *, level: int) -> bytes:
    return zstandard.compress(np.ascontiguousarray(tile.view(np.uint8).reshape(-1, 8).T).tobytes(), level)


def zstd_unpacked(packed: bytes) -> Floats:
    shuffled = np.frombuffer(zstandard.decompress(packed), np.uint8).reshape(8, -1)
    return np.ascontiguousarray(shuffled.T).view(np.float64)


def rate(work: Callable[[T], object], inputs: list[T]) -> float:
    """Points a CPU second, over all kinds of tile."""
    begun = time.process_time()
    for _ in range(REPEATS):
        for each in inputs:
            work(each)
    return REPEATS * len(inputs) * ROWS * COLUMNS / (time.process_time() - begun)


if __name__ == "__main__":
    main()
