"""Reading points: some series for people, whole grids for training, single ones to tell a repeat from a correction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from app.store.points.batch import Floats, Ints, PointBatch, StoredPoints
from app.store.points.log import logged_points
from app.store.points.placement import (
    TILES_AT_A_TIME,
    Places,
    in_parts,
    load_tiles,
    places_of,
    shares,
    tile_points,
)
from app.store.points.tiles import COLUMNS, find_sorted, last_of_each, unpack_grid, unpack_weights
from app.store.tables import Tile as TileRow
from app.store.tables import TileGroup, TileMember
from detectors.training import HOUR, after_their_steps, steps_of


def read_points(session: Session, series_ids: Iterable[int], start: int, end: int) -> PointBatch:
    """The points of these series from start until before end (unix seconds), by series and then time."""
    series = np.unique(np.fromiter(series_ids, np.int64))
    stored = tile_points(session, places_of(session, series), start, end)
    points = StoredPoints.joined([stored, logged_points(session, series, start, end)])
    order = np.lexsort((points.timestamp, points.series))
    ordered = points.take(order)
    is_last = np.ones(len(ordered), np.bool_)
    is_last[:-1] = (np.diff(ordered.series) != 0) | (np.diff(ordered.timestamp) != 0)
    return ordered.take(is_last).to_batch()


def stored_values(session: Session, series: Ints, timestamp: Ints) -> tuple[Floats, NDArray[np.bool_]]:
    """What is stored for each series id and time (n,): the value, NaN if known to be missing, and whether it exists."""
    value, exists = np.full(len(series), np.nan), np.zeros(len(series), np.bool_)
    if not len(series):
        return value, exists
    ids = np.unique(series)
    _look_up_in_tiles(session, places_of(session, ids), series, timestamp, value, exists)
    _look_up_in_log(session, ids, series, timestamp, value, exists)
    return value, exists


def _look_up_in_tiles(
    session: Session, places: Places, series: Ints, timestamp: Ints, value: Floats, exists: NDArray[np.bool_]
) -> None:
    placed = np.flatnonzero(find_sorted(places.series, series)[0])
    if not placed.size:
        return
    for part in in_parts(shares(places, series[placed], timestamp[placed]), TILES_AT_A_TIME):
        tiles = load_tiles(session, {(share.group, share.start): share.cadence for share in part}, judged=False)
        for share in part:
            if (share.group, share.start) in tiles:
                mine = placed[share.positions]
                tile = tiles[share.group, share.start]
                value[mine], exists[mine] = tile.look_up(share.row, timestamp[mine])


def _look_up_in_log(
    session: Session, ids: Ints, series: Ints, timestamp: Ints, value: Floats, exists: NDArray[np.bool_]
) -> None:
    first, last = int(timestamp.min()), int(timestamp.max())
    logged = logged_points(session, ids, first, last + 1)

    def key(some_series: Ints, some_timestamp: Ints) -> Ints:
        return np.searchsorted(ids, some_series) * (last - first + 1) + (some_timestamp - first)

    keys = key(logged.series, logged.timestamp)
    latest = last_of_each(keys)
    found, at = find_sorted(keys[latest], key(series, timestamp))
    value[found] = logged.value[latest[at[found]]]
    exists |= found


@dataclass(frozen=True)
class Grid:
    """Points of up to 256 series of one cadence on a common grid, as training wants them.

    `series_ids` (S,), ascending; `timestamp` (N,) unix seconds of the steps; `values` (S, N), NaN where absent or known
    to be missing; `offset` (S, N) seconds by which a point lies after its step (before it, if less than none), or None
    if all lie on the grid; `weights` (S, N) float64, NaN where not given, or None if none was.
    """

    series_ids: Ints
    timestamp: Ints
    values: Floats
    cadence: int
    offset: NDArray[np.int32] | None
    weights: Floats | None = None

    def overlaid(self, batches: Iterable[PointBatch]) -> Grid:
        """The grid with what these hold of its series and steps laid over it, one after the other."""
        values = self.values.copy()
        offset = None if self.offset is None else self.offset.copy()
        weights = None if self.weights is None else self.weights.copy()
        first = self.timestamp[0] // self.cadence
        for batch in batches:
            mine = batch.of_series(self.series_ids)
            column = steps_of(mine.timestamp, self.cadence) - first
            inside = np.flatnonzero((column >= 0) & (column < self.timestamp.size))
            at = np.searchsorted(self.series_ids, mine.series[inside]), column[inside]
            values[at] = mine.value[inside]
            after, weight = after_their_steps(mine.timestamp[inside], self.cadence), mine.weight[inside]
            if offset is None and after.any():
                offset = np.zeros(values.shape, np.int32)
            if offset is not None:
                offset[at] = after
            if weights is None and not np.isnan(weight).all():
                weights = np.full(values.shape, np.nan)
            if weights is not None:
                weights[at] = weight
        return replace(self, values=values, offset=offset, weights=weights)


def read_grids(
    session: Session, partition: int, start: int, end: int, *, series_ids: Iterable[int] | None = None
) -> Iterator[Grid]:
    """All folded points of a partition's series (or only of some) from start until before end, group by group.

    What is still in the log is left out: lay it over. Of several points in one step, the one on the grid counts, else
    the earliest.
    """
    wanted = None if series_ids is None else np.fromiter(series_ids, np.int64)
    groups = sa.select(TileGroup.id, TileGroup.cadence_seconds).where(TileGroup.partition == partition)
    for group, cadence in session.execute(groups.order_by(TileGroup.id)).all():
        members = sa.select(TileMember.row, TileMember.series_id).where(TileMember.group_id == group)
        row, series = np.array(session.execute(members.order_by(TileMember.series_id)).all(), np.int64).reshape(-1, 2).T
        if wanted is not None:
            chosen = np.isin(series, wanted)
            row, series = row[chosen], series[chosen]
        if len(series):
            places = Places(series, np.full_like(row, group), row, np.full_like(row, cadence))
            yield from _alike(_read_grid(session, places, start, end))


def _alike(grid: Grid) -> Iterator[Grid]:
    """The grid in parts, each of series whose points lie in the same quarter of their steps: at the same hours."""
    if grid.offset is None or grid.cadence < HOUR:
        yield grid
        return
    known = np.isfinite(grid.values)
    after = np.where(known, grid.offset, 0).sum(1) / np.maximum(known.sum(1), 1)
    quarter = np.rint(4 * after / grid.cadence)
    for each in np.unique(quarter):
        rows = np.flatnonzero(quarter == each)
        weights = None if grid.weights is None else grid.weights[rows]
        yield replace(
            grid,
            series_ids=grid.series_ids[rows],
            values=grid.values[rows],
            offset=grid.offset[rows],
            weights=weights,
        )


def _read_grid(session: Session, members: Places, start: int, end: int) -> Grid:
    group, cadence = int(members.group[0]), int(members.cadence[0])
    first, stop = start // cadence, -(-end // cadence)
    values = np.full((int(members.row.max()) + 1, stop - first), np.nan)
    offset, weights = None, None
    query = sa.select(TileRow.start, TileRow.values).where(
        TileRow.group_id == group, TileRow.start > start - COLUMNS * cadence, TileRow.start < end
    )
    for tile_start, packed in session.execute(query.execution_options(yield_per=TILES_AT_A_TIME)):
        grid, tile_offset = unpack_grid(packed, cadence)
        at = tile_start // cadence - first
        inside = slice(max(0, -at), min(COLUMNS, stop - first - at))
        to = slice(at + inside.start, at + inside.stop)
        rows = min(len(grid), len(values))
        values[:rows, to] = grid[:rows, inside]
        if tile_offset is not None:
            offset = np.zeros(values.shape, np.int32) if offset is None else offset
            offset[:rows, to] = tile_offset[:rows, inside]
        tile_weights = unpack_weights(packed, cadence)
        if tile_weights is not None:
            weights = np.full(values.shape, np.nan) if weights is None else weights
            weights[:rows, to] = tile_weights[:rows, inside]
    in_order = np.array_equal(members.row, np.arange(len(members.row)))
    wanted = slice(len(members.row)) if in_order else members.row
    return Grid(
        members.series,
        np.arange(first, stop) * cadence,
        values[wanted],
        cadence,
        None if offset is None else offset[wanted],
        None if weights is None else weights[wanted],
    )
