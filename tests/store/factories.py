"""Series and points to store."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import count

import numpy as np
from sqlalchemy.orm import Session

from app.store import series
from app.store.points import PointBatch, append_log

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
PARTITION = 0
_batches = count()

Point = tuple[int, int, float]
"""Series id, unix seconds and value, NaN if known to be missing."""


def new_series(session: Session, number: int) -> list[int]:
    identities = [series.identity("orders", {"n": str(n)}) for n in range(number)]
    found = series.find_or_create(session, identities, partition_count=1, timezone="UTC", token_id=None, now=NOW)
    return [row.id for row in found]


def batch_of(points: Iterable[Point], **scores: list[float]) -> PointBatch:
    ids, times, values = zip(*points, strict=True)
    judged = {name: np.array(plane, np.float32) for name, plane in scores.items()}
    return PointBatch(np.array(ids, np.int64), np.array(times, np.int64), np.array(values, np.float64), **judged)


def append(session: Session, batch: PointBatch) -> int:
    batch_id = f"batch-{next(_batches)}"
    return append_log(session, partition=PARTITION, batch_id=batch_id, received_at=NOW, batch=batch)


def as_dict(batch: PointBatch) -> dict[tuple[int, int], float]:
    """(series id, time) to value, NaN told as None so that equal is equal."""
    keys = zip(batch.series.tolist(), batch.timestamp.tolist(), strict=True)
    return dict(zip(keys, batch.value.tolist(), strict=True))
