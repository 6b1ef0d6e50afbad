"""Fold: move what the log holds into tiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.store.database import is_among
from app.store.points.batch import Ints, StoredPoints
from app.store.points.cadence import DEFAULT_CADENCE, estimate_cadences
from app.store.points.log import read_log_rows
from app.store.points.placement import (
    TILES_AT_A_TIME,
    Places,
    Share,
    give_places,
    in_parts,
    load_tiles,
    places_of,
    remove_from_tiles,
    save_tiles,
    shares,
    tile_points,
)
from app.store.points.tiles import Tile
from app.store.tables import LogBatch

POINTS_AT_A_TIME = 2_000_000
ROWS_AT_A_TIME = 20_000
EVER = (-(1 << 62), 1 << 62)


@dataclass(frozen=True)
class FoldReport:
    """What a fold did."""

    log_rows: int = 0
    points: int = 0
    tiles: int = 0  # written, counted again if written again
    series_moved: int = 0  # to tiles of another cadence

    def __add__(self, other: FoldReport) -> FoldReport:
        return FoldReport(
            self.log_rows + other.log_rows,
            self.points + other.points,
            self.tiles + other.tiles,
            self.series_moved + other.series_moved,
        )


def fold(session: Session, partition: int, cadences: Mapping[int, int]) -> FoldReport:
    """Move a partition's log into tiles, in the caller's transaction.

    `cadences`: series id to seconds, where known. A series it does not name keeps the cadence of its tiles; if it has
    none yet, its cadence is estimated from its points here, else an hour. A series whose cadence changes moves with
    all its points.
    """
    report = FoldReport()
    while row_ids := _oldest_rows(session, partition):
        batch = read_log_rows(session, row_ids)
        report += _write(session, partition, batch, cadences) + FoldReport(len(row_ids), len(batch))
        session.execute(sa.delete(LogBatch).where(is_among(session, LogBatch.id, row_ids)))
    return report


def _oldest_rows(session: Session, partition: int) -> list[int]:
    """Ids of the oldest log rows, few enough to hold their points in memory."""
    query = sa.select(LogBatch.id, LogBatch.point_count).where(LogBatch.partition == partition)
    chosen: list[int] = []
    points = 0
    for row_id, count in session.execute(query.order_by(LogBatch.id).limit(ROWS_AT_A_TIME)).all():
        points += count
        if chosen and points > POINTS_AT_A_TIME:
            break
        chosen.append(row_id)
    return chosen


def _write(session: Session, partition: int, batch: StoredPoints, cadences: Mapping[int, int]) -> FoldReport:
    places, moved = _settle(session, partition, batch, cadences)
    batch = StoredPoints.joined([moved, batch]) if len(moved) else batch
    touched = shares(places, batch.series, batch.timestamp)
    for part in in_parts(touched, TILES_AT_A_TIME):
        _write_tiles(session, part, batch)
    return FoldReport(tiles=len(touched), series_moved=len(np.unique(moved.series)))


def _settle(
    session: Session, partition: int, batch: StoredPoints, cadences: Mapping[int, int]
) -> tuple[Places, StoredPoints]:
    """Places for all series of a batch, and the points of those series that had to leave tiles of another cadence."""
    seen = np.zeros(int(batch.series.max()) + 1, np.bool_)
    seen[batch.series] = True
    series = np.flatnonzero(seen)
    places = places_of(session, series)
    told = np.array([cadences.get(series_id, 0) for series_id in places.series.tolist()], np.int64)
    leaves = (told > 0) & (told != places.cadence)
    homeless = np.setdiff1d(series, places.series[~leaves], assume_unique=True)
    if not homeless.size:
        return places, StoredPoints.joined([])
    moved = _take_out(session, places.take(np.flatnonzero(leaves)))
    give_places(session, partition, _cadences_of(homeless, batch, cadences))
    return places_of(session, series), moved


def _take_out(session: Session, places: Places) -> StoredPoints:
    points = tile_points(session, places, *EVER)
    remove_from_tiles(session, places)
    return points


def _cadences_of(series: Ints, batch: StoredPoints, told: Mapping[int, int]) -> dict[int, int]:
    """The cadence of each series: as told, else estimated from its points in the batch, else the usual one."""
    unknown = [series_id for series_id in series.tolist() if not told.get(series_id)]
    estimated = estimate_cadences(batch.take(np.isin(batch.series, unknown))) if unknown else {}
    return {
        series_id: told.get(series_id) or estimated.get(series_id, DEFAULT_CADENCE) for series_id in series.tolist()
    }


def _write_tiles(session: Session, touched: Sequence[Share], batch: StoredPoints) -> None:
    keys = {(share.group, share.start): share.cadence for share in touched}
    written = load_tiles(session, keys)
    for share in touched:
        tile = written.setdefault((share.group, share.start), Tile.empty(share.start, share.cadence))
        mine = share.positions
        judged = None if batch.judgement is None else batch.judgement[mine]
        weight = None if batch.weight is None else batch.weight[mine]
        tile.write(share.row, batch.timestamp[mine], batch.value[mine], judged, weight)
    save_tiles(session, written)
