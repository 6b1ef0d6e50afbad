"""The append log: a row a batch, durable with the commit it is part of, read back in the order written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from app.store.packing import Packed, Plane, pack
from app.store.points.batch import PointBatch
from app.store.points.tiles import SCORE_NAMES, Ints
from app.store.tables import LogBatch

ROWS_AT_A_TIME = 500


def append_log(session: Session, *, partition: int, batch_id: str, received_at: datetime, batch: PointBatch) -> int:
    """Add points of one partition's series; returns the log row's id.

    Raises IntegrityError if the log already has this batch id, so that a batch delivered twice is there once.
    """
    row = {"partition": partition, "batch_id": batch_id, "received_at": received_at, **_row(batch)}
    return int(session.execute(sa.insert(LogBatch).returning(LogBatch.id), row).scalar_one())


def _row(batch: PointBatch) -> dict[str, int | bytes]:
    return {
        "point_count": len(batch),
        "first_timestamp": int(batch.timestamp.min()),
        "last_timestamp": int(batch.timestamp.max()),
        "columns": _columns(batch),
    }


def _columns(batch: PointBatch) -> bytes:
    planes: dict[str, Plane] = {
        "series": batch.series.astype(np.int64, copy=False),
        "timestamp": batch.timestamp.astype(np.int64, copy=False),
        "value": batch.value.astype(np.float64, copy=False),
    }
    for name in SCORE_NAMES:
        plane = getattr(batch, name)
        if not np.isnan(plane).all():
            planes[name] = plane.astype(np.float32, copy=False)
    return pack(planes)


def read_log(session: Session, partition: int) -> Iterator[tuple[int, PointBatch]]:
    """Each row of a partition's log, in the order written: its id and its points."""
    query = sa.select(LogBatch.id, LogBatch.columns).where(LogBatch.partition == partition).order_by(LogBatch.id)
    for row_id, columns in session.execute(query.execution_options(yield_per=ROWS_AT_A_TIME)):
        yield row_id, _batch(Packed(columns))


def read_log_rows(session: Session, row_ids: list[int]) -> PointBatch:
    """The points of these rows, in the order written."""
    query = sa.select(LogBatch.columns).where(LogBatch.id.in_(row_ids)).order_by(LogBatch.id)
    return PointBatch.joined([_batch(Packed(columns)) for columns in session.scalars(query)])


def logged_points(session: Session, series: Ints, start: int, end: int) -> PointBatch:
    """What the log holds of these series (ids, sorted) from start until before end, in the order written."""
    query = (
        sa.select(LogBatch.columns)
        .where(LogBatch.last_timestamp >= start, LogBatch.first_timestamp < end)
        .order_by(LogBatch.id)
        .execution_options(yield_per=ROWS_AT_A_TIME)
    )
    found = []
    for columns in session.scalars(query):
        planes = Packed(columns)
        wanted = np.flatnonzero(_wanted(planes, series, start, end))
        if wanted.size:
            found.append(_batch(planes).take(wanted))
    return PointBatch.joined(found)


def keep_in_log(session: Session, is_kept: Callable[[PointBatch], NDArray[np.bool_]]) -> None:
    """Take out of every log row the points of which this is not true."""
    for row_id in session.scalars(sa.select(LogBatch.id).order_by(LogBatch.id)).all():
        batch = read_log_rows(session, [row_id])
        kept = is_kept(batch)
        mine = LogBatch.id == row_id
        if not kept.any():
            session.execute(sa.delete(LogBatch).where(mine))
        elif not kept.all():
            session.execute(sa.update(LogBatch).where(mine).values(_row(batch.take(kept))))


def _wanted(planes: Packed, series: Ints, start: int, end: int) -> NDArray[np.bool_]:
    timestamp = planes["timestamp"]
    in_time = (timestamp >= start) & (timestamp < end)
    return in_time & np.isin(planes["series"], series) if in_time.any() else in_time


def _batch(planes: Packed) -> PointBatch:
    return PointBatch(**dict(planes))
