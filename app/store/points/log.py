"""The append log: a row a batch, durable with the commit it is part of, read back in the order written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from app.store.database import is_among
from app.store.packing import Packed
from app.store.points.batch import Ints, PointBatch, StoredPoints, unpack_points
from app.store.tables import Base, LogBatch

ROWS_AT_A_TIME = 500
LOG = Base.metadata.tables[LogBatch.__tablename__]
APPEND = sa.insert(LOG).returning(LOG.c.id)


def append_log(session: Session, *, partition: int, batch_id: str, received_at: datetime, batch: PointBatch) -> int:
    """Add points of one partition's series; returns the log row's id.

    Raises IntegrityError if the log already has this batch id, so that a batch delivered twice is there once.
    """
    row = {"partition": partition, "batch_id": batch_id, "received_at": received_at, **_row(batch.to_stored())}
    # Past the ORM, which would take longer than all else about a small batch.
    return int(session.connection().execute(APPEND, row).scalar_one())


def _row(batch: StoredPoints) -> dict[str, int | bytes]:
    return {
        "point_count": len(batch),
        "first_timestamp": int(batch.timestamp.min()),
        "last_timestamp": int(batch.timestamp.max()),
        "columns": batch.pack(),
    }


def read_log(session: Session, partition: int) -> Iterator[tuple[int, PointBatch]]:
    """Each row of a partition's log, in the order written: its id and its points."""
    query = sa.select(LogBatch.id, LogBatch.columns).where(LogBatch.partition == partition).order_by(LogBatch.id)
    for row_id, columns in session.execute(query.execution_options(yield_per=ROWS_AT_A_TIME)):
        yield row_id, unpack_points(Packed(columns)).to_batch()


def newest_logged(session: Session, partition: int) -> int:
    """Latest time of the points in a partition's log, unix seconds; 0 if it is empty."""
    newest = sa.select(sa.func.max(LogBatch.last_timestamp)).where(LogBatch.partition == partition)
    return session.scalar(newest) or 0


def read_log_rows(session: Session, row_ids: Sequence[int]) -> StoredPoints:
    """The points of these rows, in the order written."""
    query = sa.select(LogBatch.columns).where(is_among(session, LogBatch.id, row_ids)).order_by(LogBatch.id)
    return StoredPoints.joined([unpack_points(Packed(columns)) for columns in session.scalars(query)])


def logged_points(session: Session, series: Ints, start: int, end: int) -> StoredPoints:
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
            found.append(unpack_points(planes).take(wanted))
    return StoredPoints.joined(found)


def keep_in_log(session: Session, is_kept: Callable[[StoredPoints], NDArray[np.bool_]]) -> None:
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
