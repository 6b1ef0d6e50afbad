"""A tile: the points of up to 256 series over 168 steps of their cadence, as arrays. No SQL here."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.store.packing import Packed, Plane, pack

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Scores = NDArray[np.float32]

ROWS = 256
COLUMNS = 168
SCORE_NAMES = ("expected", "lower", "upper", "rarity")


@dataclass
class Loose:
    """Points that lie off the grid of their tile, by row and then time.

    `key` (m,) is row x span + seconds since the tile's start; `value` (m,), NaN if known to be missing; `scores`
    (4, m).
    """

    key: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    value: Floats = field(default_factory=lambda: np.empty(0))
    scores: Scores = field(default_factory=lambda: _not_judged(0))

    def with_written(self, key: Ints, value: Floats, scores: Scores) -> Loose:
        """These and those, where the last of a key wins."""
        keys = np.concatenate([self.key, key])
        kept = last_of_each(keys)
        values = np.concatenate([self.value, value])[kept]
        return Loose(keys[kept], values, np.concatenate([self.scores, scores], axis=1)[:, kept])

    def only(self, kept: NDArray[np.bool_]) -> Loose:
        return Loose(self.key[kept], self.value[kept], self.scores[:, kept])


@dataclass
class Tile:
    """Points on the grid as 2-D arrays, a row a series and a column a step; those off the grid listed beside them.

    `values` (rows, 168) float64, NaN where there is no point or it is known to be missing; `missing` (rows, 168) tells
    the two apart; `scores` (4, rows, 168) float32 as judged live, NaN where not judged.
    """

    start: int  # unix seconds of the first column
    cadence: int
    values: Floats
    missing: NDArray[np.bool_]
    scores: Scores | None = None
    loose: Loose = field(default_factory=Loose)

    @classmethod
    def empty(cls, start: int, cadence: int) -> Tile:
        return cls(start, cadence, np.empty((0, COLUMNS)), np.empty((0, COLUMNS), np.bool_))

    @property
    def span(self) -> int:
        return COLUMNS * self.cadence

    def write(self, row: Ints, timestamp: Ints, value: Floats, scores: Scores | None) -> None:
        """Set points, in order: the last of a row and time wins. `scores` is (4, n), None if none was judged."""
        self._grow(int(row.max()) + 1)
        seconds = timestamp - self.start
        column = seconds // self.cadence
        off_grid = column * self.cadence != seconds
        if off_grid.any():
            judged = _not_judged(len(row)) if scores is None else scores
            key = row * self.span + seconds
            self.loose = self.loose.with_written(key[off_grid], value[off_grid], judged[:, off_grid])
            on_grid = ~off_grid
            row, column, value, scores = row[on_grid], column[on_grid], value[on_grid], judged[:, on_grid]
        # numpy keeps the last of a cell that is assigned twice.
        cell = row * COLUMNS + column
        self.values.ravel()[cell] = value
        self.missing.ravel()[cell] = value != value
        self._write_scores(cell, scores)

    def _write_scores(self, cell: Ints, scores: Scores | None) -> None:
        if self.scores is None:
            if scores is None or np.isnan(scores).all():
                return
            self.scores = np.full((len(SCORE_NAMES), *self.values.shape), np.nan, np.float32)
        for number, plane in enumerate(self.scores):
            plane.ravel()[cell] = np.nan if scores is None else scores[number]

    def _grow(self, rows: int) -> None:
        more = rows - len(self.values)
        if more > 0:
            self.values = np.pad(self.values, ((0, more), (0, 0)), constant_values=np.nan)
            self.missing = np.pad(self.missing, ((0, more), (0, 0)))
            if self.scores is not None:
                self.scores = np.pad(self.scores, ((0, 0), (0, more), (0, 0)), constant_values=np.nan)

    def clear(self, rows: Ints) -> None:
        """Forget every point of these rows."""
        rows_here = rows[rows < len(self.values)]
        self.values[rows_here] = np.nan
        self.missing[rows_here] = False
        if self.scores is not None:
            self.scores[:, rows_here] = np.nan
        self.loose = self.loose.only(~np.isin(self.loose.key // self.span, rows))

    def points(self, rows: Ints) -> tuple[Ints, Ints, Floats, Scores]:
        """Row, timestamp, value and scores (4, n) of the points of these rows, in no order."""
        rows = rows[rows < len(self.values)]
        present = ~np.isnan(self.values[rows]) | self.missing[rows]
        at, column = np.nonzero(present)
        row = rows[at]
        scores = _not_judged(len(row)) if self.scores is None else self.scores[:, row, column]
        loose_row, seconds = np.divmod(self.loose.key, self.span)
        wanted = np.isin(loose_row, rows)
        return (
            np.concatenate([row, loose_row[wanted]]),
            self.start + np.concatenate([column * self.cadence, seconds[wanted]]),
            np.concatenate([self.values[row, column], self.loose.value[wanted]]),
            np.concatenate([scores, self.loose.scores[:, wanted]], axis=1),
        )

    def look_up(self, row: Ints, timestamp: Ints) -> tuple[Floats, NDArray[np.bool_]]:
        """The value stored for each row and time, and whether there is a point at all."""
        seconds = timestamp - self.start
        cell = np.minimum(row, len(self.values) - 1) * COLUMNS + seconds // self.cadence
        on_grid = (seconds % self.cadence == 0) & (row < len(self.values))
        value = np.where(on_grid, self.values.ravel()[cell], np.nan)
        exists = on_grid & (~np.isnan(value) | self.missing.ravel()[cell])
        found, at = find_sorted(self.loose.key, row * self.span + seconds)
        value[found] = self.loose.value[at[found]]
        return value, exists | found

    def pack(self) -> tuple[bytes, bytes | None]:
        """The bytes of the values and, apart so that training need not read them, of the scores."""
        planes: dict[str, Plane] = {"values": self.values}
        missing = np.flatnonzero(self.missing)
        if missing.size:
            planes["missing"] = missing.astype(np.uint16)
        if self.loose.key.size:
            planes |= {"loose_key": self.loose.key, "loose_value": self.loose.value}
        return pack(planes), self._pack_scores()

    def _pack_scores(self) -> bytes | None:
        planes = {}
        if self.scores is not None:
            planes = dict(zip(SCORE_NAMES, self.scores, strict=True))
        if not np.isnan(self.loose.scores).all():
            planes |= {f"loose_{name}": plane for name, plane in zip(SCORE_NAMES, self.loose.scores, strict=True)}
        return pack(planes) if planes else None


def unpack(start: int, cadence: int, values: bytes, scores: bytes | None) -> Tile:
    """The tile that `Tile.pack` made these of, to change as one likes."""
    planes = Packed(values)
    grid = planes["values"]
    missing = np.zeros(grid.shape, np.bool_)
    if "missing" in planes:
        missing.ravel()[planes["missing"]] = True
    tile = Tile(start, cadence, _own(grid), missing)
    judged = Packed(scores) if scores is not None else {}
    if SCORE_NAMES[0] in judged:
        tile.scores = np.stack([judged[name] for name in SCORE_NAMES])
    if "loose_key" in planes:
        key = planes["loose_key"]
        loose_scores = _not_judged(len(key))
        if f"loose_{SCORE_NAMES[0]}" in judged:
            loose_scores = np.stack([judged[f"loose_{name}"] for name in SCORE_NAMES])
        tile.loose = Loose(key, planes["loose_value"], loose_scores)
    return tile


def unpack_grid(values: bytes, cadence: int) -> tuple[Floats, NDArray[np.int32] | None]:
    """Only the values (rows, 168), and by how many seconds points lie after their step; None if all are on the grid.

    A point off the grid fills the step it falls in, unless that has a value on the grid or an earlier one.
    """
    planes = Packed(values)
    grid = planes["values"]
    if "loose_key" not in planes:
        return grid, None
    grid, offset = _own(grid), np.zeros(grid.shape, np.int32)
    row, seconds = np.divmod(planes["loose_key"], COLUMNS * cadence)
    cell, first = np.unique(row * COLUMNS + seconds // cadence, return_index=True)
    empty = np.isnan(grid.ravel()[cell])
    cell, first = cell[empty], first[empty]
    grid.ravel()[cell] = planes["loose_value"][first]
    offset.ravel()[cell] = seconds[first] % cadence
    return grid, offset


def last_of_each(keys: Ints) -> Ints:
    """Positions of the last occurrence of every key, by key."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    is_last = np.ones(len(keys), np.bool_)
    is_last[:-1] = ordered[1:] != ordered[:-1]
    return order[is_last]


def find_sorted(keys: Ints, wanted: Ints) -> tuple[NDArray[np.bool_], Ints]:
    """Whether each wanted key is among sorted unique keys, and at which position."""
    at = np.searchsorted(keys, wanted)
    found = at < len(keys)
    found[found] = keys[at[found]] == wanted[found]
    return found, at


def _not_judged(count: int) -> Scores:
    return np.full((len(SCORE_NAMES), count), np.nan, np.float32)


def _own(array: Floats) -> Floats:
    return array if array.flags.writeable else array.copy()
