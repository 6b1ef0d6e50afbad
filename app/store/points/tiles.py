"""A tile: the points of up to 256 series over 168 steps of their cadence, as arrays. No SQL here."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.store.packing import Packed, Plane, pack
from app.store.points.batch import (
    Floats,
    Ints,
    Weights,
    joined_judgements,
    joined_weights,
    judgement_planes,
    unpack_judgements,
)
from app.store.points.judgement import JUDGEMENT, NOT_JUDGED, Judgements
from detectors.training import steps_of

ROWS = 256
COLUMNS = 168


@dataclass
class Loose:
    """Points that lie off the grid of their tile, by row and then time, each array (m,).

    `key` is row x span + seconds since the tile's start; `value` is NaN if known to be missing; `judged` is None if
    none was, `weight` if none has one.
    """

    key: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    value: Floats = field(default_factory=lambda: np.empty(0))
    judged: Judgements | None = None
    weight: Weights | None = None

    def with_written(self, key: Ints, value: Floats, judged: Judgements | None, weight: Weights | None) -> Loose:
        """These and those, where the last of a key wins."""
        both = Loose(
            np.concatenate([self.key, key]),
            np.concatenate([self.value, value]),
            joined_judgements([(self.judged, len(self.key)), (judged, len(key))]),
            joined_weights([(self.weight, len(self.key)), (weight, len(key))]),
        )
        return both.take(last_of_each(both.key))

    def take(self, chosen: Ints | NDArray[np.bool_]) -> Loose:
        weight = None if self.weight is None else self.weight[chosen]
        return Loose(self.key[chosen], self.value[chosen], _chosen(self.judged, chosen), weight)


@dataclass
class Tile:
    """Points on the grid as 2-D arrays, a row a series and a column a step; those off the grid listed beside them.

    `values` (rows, 168) float64, NaN where there is no point or it is known to be missing; `missing` (rows, 168) tells
    the two apart; `judged` (rows, 168) as judged live, None if nothing was; `weights` (rows, 168), None if there
    are none.
    """

    start: int  # unix seconds of the first column
    cadence: int
    values: Floats
    missing: NDArray[np.bool_]
    judged: Judgements | None = None
    loose: Loose = field(default_factory=Loose)
    weights: Weights | None = None

    @classmethod
    def empty(cls, start: int, cadence: int) -> Tile:
        return cls(start, cadence, np.empty((0, COLUMNS)), np.empty((0, COLUMNS), np.bool_))

    @property
    def span(self) -> int:
        return COLUMNS * self.cadence

    def write(
        self, row: Ints, timestamp: Ints, value: Floats, judged: Judgements | None, weight: Weights | None = None
    ) -> None:
        """Set points, each array (n,), in order: the last of a row and time wins."""
        self._grow(int(row.max()) + 1)
        seconds = timestamp - self.start
        column = seconds // self.cadence
        off_grid = column * self.cadence != seconds
        if off_grid.any():
            key = row * self.span + seconds
            loose_weight = None if weight is None else weight[off_grid]
            self.loose = self.loose.with_written(
                key[off_grid], value[off_grid], _chosen(judged, off_grid), loose_weight
            )
            on_grid = ~off_grid
            row, column, value, judged = row[on_grid], column[on_grid], value[on_grid], _chosen(judged, on_grid)
            weight = None if weight is None else weight[on_grid]
        # numpy keeps the last of a cell that is assigned twice.
        cell = row * COLUMNS + column
        self.values.ravel()[cell] = value
        self.missing.ravel()[cell] = value != value
        if self.judged is None and judged is not None:
            self.judged = np.zeros(self.values.shape, JUDGEMENT)
        if self.judged is not None:
            self.judged.ravel()[cell] = NOT_JUDGED if judged is None else judged
        if self.weights is None and weight is not None:
            self.weights = np.full(self.values.shape, np.nan, np.float32)
        if self.weights is not None:
            self.weights.ravel()[cell] = np.nan if weight is None else weight

    def _grow(self, rows: int) -> None:
        more = (rows - len(self.values), COLUMNS)
        if more[0] > 0:
            self.values = np.concatenate([self.values, np.full(more, np.nan)])
            self.missing = np.concatenate([self.missing, np.zeros(more, np.bool_)])
            if self.judged is not None:
                self.judged = np.concatenate([self.judged, np.zeros(more, JUDGEMENT)])
            if self.weights is not None:
                self.weights = np.concatenate([self.weights, np.full(more, np.nan, np.float32)])

    def clear(self, rows: Ints) -> None:
        """Forget every point of these rows."""
        rows_here = rows[rows < len(self.values)]
        self.values[rows_here] = np.nan
        self.missing[rows_here] = False
        if self.judged is not None:
            self.judged[rows_here] = NOT_JUDGED
        if self.weights is not None:
            self.weights[rows_here] = np.nan
        self.loose = self.loose.take(~np.isin(self.loose.key // self.span, rows))

    def points(self, rows: Ints) -> tuple[Ints, Ints, Floats, Judgements | None, Weights | None]:
        """Row, timestamp, value, judgement and weight of the points of these rows, each (n,), in no order."""
        rows = rows[rows < len(self.values)]
        at, column = np.nonzero(~np.isnan(self.values[rows]) | self.missing[rows])
        row = rows[at]
        loose = self.loose.take(np.isin(self.loose.key // self.span, rows))
        loose_row, seconds = np.divmod(loose.key, self.span)
        judged = None if self.judged is None else self.judged[row, column]
        weight = None if self.weights is None else self.weights[row, column]
        return (
            np.concatenate([row, loose_row]),
            self.start + np.concatenate([column * self.cadence, seconds]),
            np.concatenate([self.values[row, column], loose.value]),
            joined_judgements([(judged, len(row)), (loose.judged, len(loose_row))]),
            joined_weights([(weight, len(row)), (loose.weight, len(loose_row))]),
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
        """The bytes of the values and, apart so that training need not read them, of the judgements."""
        planes: dict[str, Plane] = {"values": self.values}
        missing = np.flatnonzero(self.missing)
        if missing.size:
            planes["missing"] = missing.astype(np.uint16)
        if self.loose.key.size:
            planes |= {"loose_key": self.loose.key, "loose_value": self.loose.value}
        if self.weights is not None:
            planes["weights"] = self.weights
        if self.loose.weight is not None:
            planes["loose_weight"] = self.loose.weight
        judged = judgement_planes(self.judged) | judgement_planes(self.loose.judged, "loose_")
        return pack(planes), pack(judged) if judged else None


def unpack_tile(start: int, cadence: int, values: bytes, judgements: bytes | None) -> Tile:
    """The tile that `Tile.pack` made these of, to change as one likes."""
    planes = Packed(values)
    grid = planes["values"]
    tile = Tile(start, cadence, _own(grid), np.zeros(grid.shape, np.bool_))
    if "missing" in planes:
        tile.missing.ravel()[planes["missing"]] = True
    if "loose_key" in planes:
        tile.loose = Loose(planes["loose_key"], planes["loose_value"], weight=planes.get("loose_weight"))
    if "weights" in planes:
        tile.weights = planes["weights"].copy()
    if judgements is not None:
        judged = Packed(judgements)
        tile.judged, tile.loose.judged = unpack_judgements(judged), unpack_judgements(judged, "loose_")
    return tile


def unpack_grid(values: bytes, cadence: int) -> tuple[Floats, NDArray[np.int32] | None]:
    """Only the values (rows, 168), and by how many seconds points lie after their step; None if all are on the grid.

    A point off the grid fills the step that it belongs to (`steps_of`), unless that has a value on the grid or an
    earlier one.
    """
    planes = Packed(values)
    grid = planes["values"]
    if "loose_key" not in planes:
        return grid, None
    grid, offset = _own(grid), np.zeros(grid.shape, np.int32)
    cell, first, after = _loose_cells(planes, cadence, grid)
    grid.ravel()[cell] = planes["loose_value"][first]
    offset.ravel()[cell] = after
    return grid, offset


def unpack_weights(values: bytes, cadence: int) -> Weights | None:
    """The weights (rows, 168) of what `unpack_grid` gives; None if there are none."""
    planes = Packed(values)
    if "weights" not in planes and "loose_weight" not in planes:
        return None
    grid = planes["values"]
    weights = planes["weights"].copy() if "weights" in planes else np.full(grid.shape, np.nan, np.float32)
    if "loose_weight" in planes:
        cell, first, _ = _loose_cells(planes, cadence, grid)
        weights.ravel()[cell] = planes["loose_weight"][first]
    return weights


def _loose_cells(planes: Packed, cadence: int, grid: Floats) -> tuple[Ints, Ints, Ints]:
    """Empty cells of a flat grid that points off it fill, which points, and how many seconds after their steps."""
    row, seconds = np.divmod(planes["loose_key"], COLUMNS * cadence)
    column = np.minimum(steps_of(seconds, cadence), COLUMNS - 1)
    cell, first = np.unique(row * COLUMNS + column, return_index=True)
    empty = np.isnan(grid.ravel()[cell])
    cell, first = cell[empty], first[empty]
    return cell, first, seconds[first] - column[first] * cadence


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


def _chosen(judged: Judgements | None, chosen: Ints | NDArray[np.bool_]) -> Judgements | None:
    return None if judged is None else judged[chosen]


def _own(array: Floats) -> Floats:
    return array if array.flags.writeable else array.copy()
