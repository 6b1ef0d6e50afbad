"""Cold start: the histories that a training learns from, those of young series with a past borrowed from siblings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import structlog
from sqlalchemy.orm import Session

from app.partitions.partition import Partition
from app.store import points
from detectors.calendar import local_seconds
from detectors.contract import Floats, History, Ints
from detectors.days import kinds_of_day
from detectors.siblings import (
    BORROWS_UNTIL_DAYS,
    LENDS_FROM_DAYS,
    MOST_LENDERS,
    borrow,
    borrowed_columns,
)
from detectors.training import DAY
from feedback.training_mask import Exclusions, learnable

log = structlog.get_logger()


@dataclass(frozen=True)
class Lesson:
    """Some rows of a grid, and the history to train them on.

    siblings: int64, how many siblings' shape each row's own days bear out; 0 where it learns alone.
    """

    rows: Ints
    history: History
    siblings: Ints


def lessons(
    session: Session,
    partitions: Sequence[Partition],
    partition: Partition,
    slots: Ints,
    history: History,
    excluded: Exclusions,
) -> Iterator[Lesson]:
    """The rows of a grid's history, the settled as they are, the young of each metric with a borrowed past."""
    column = partition.columns
    age = column["last_at"][slots] - column["first_at"][slots]
    is_young = (age < BORROWS_UNTIL_DAYS * DAY) & (column["cadence"][slots] == history.cadence)
    settled = np.flatnonzero(~is_young)
    if settled.size:
        yield _alone(settled, history)
    for metric in np.unique(column["metric"][slots[is_young]]).tolist():
        rows = np.flatnonzero(is_young & (column["metric"][slots] == metric))
        yield _with_siblings(session, partitions, partition, slots, rows, history, excluded)


def _alone(rows: Ints, history: History) -> Lesson:
    return Lesson(rows, history.of_series(rows), np.zeros(rows.size, np.int64))


def _with_siblings(
    session: Session,
    partitions: Sequence[Partition],
    partition: Partition,
    slots: Ints,
    rows: Ints,
    history: History,
    excluded: Exclusions,
) -> Lesson:
    known = np.flatnonzero(np.isfinite(history.values[rows]).any(axis=0))
    lenders = _lenders(partitions, partition, int(slots[rows[0]]), history.cadence)
    if not known.size or not lenders:
        return _alone(rows, history)
    first = int(known[0])
    own = history.of_series(rows).within(slice(first, None))
    zone = partition.zones.names[partition.columns["zone"][slots[rows[0]]]]
    country = partition.settings(int(slots[rows[0]])).country or ""
    borrowed = borrow(own, _siblings(session, lenders, own, zone, country, excluded))
    for slot, lent in zip(slots[rows].tolist(), borrowed.lenders.tolist(), strict=True):
        if lent:
            log.info("past_borrowed", series=int(partition.columns["series_id"][slot]), siblings=lent)
    return Lesson(rows, borrowed.history, np.where(borrowed.borne_out, borrowed.lenders, 0))


def _lenders(partitions: Sequence[Partition], partition: Partition, slot: int, cadence: int) -> list[int]:
    """Ids of the siblings with the longest history: same metric, policy, zone and cadence, and still going."""
    metric = partition.metrics.names[partition.columns["metric"][slot]]
    zone = partition.zones.names[partition.columns["zone"][slot]]
    policy = partition.settings(slot)
    found: list[tuple[int, int]] = []
    for each in partitions:
        column = {name: array[: each.count] for name, array in each.columns.items()}
        span = column["last_at"] - column["first_at"]
        is_sibling = (
            np.isin(column["metric"], [code for code, name in enumerate(each.metrics.names) if name == metric])
            & np.isin(
                column["regime"],
                [code for code in set(column["regime"].tolist()) if each.regimes.settings(code) == policy],
            )
            & np.isin(column["zone"], [code for code, name in enumerate(each.zones.names) if name == zone])
            & (column["cadence"] == cadence)
            & (span >= LENDS_FROM_DAYS * DAY)
            & (column["last_at"] > partition.columns["first_at"][slot])
        )
        found += zip((-span[is_sibling]).tolist(), column["series_id"][is_sibling].tolist(), strict=True)
    return [series_id for _, series_id in sorted(found)[:MOST_LENDERS]]


def _siblings(
    session: Session, lenders: Sequence[int], own: History, zone: str, country: str, excluded: Exclusions
) -> History:
    """What may be learned of the lenders' past, up to the end of the borrowers' own."""
    before = borrowed_columns(0.0, own.cadence)
    timestamp = np.concatenate([own.timestamp[0] + np.arange(-before, 0) * own.cadence, own.timestamp])
    ids = np.array(sorted(lenders), np.int64)
    stored = points.read_points(session, ids, int(timestamp[0]), int(timestamp[-1]) + own.cadence)
    values: Floats = np.full((ids.size, timestamp.size), np.nan)
    values[np.searchsorted(ids, stored.series), (stored.timestamp - timestamp[0]) // own.cadence] = stored.value
    local = local_seconds(timestamp, zone)
    history = History(values, timestamp, local, own.cadence, kinds_of_day=kinds_of_day(local, country))
    return learnable(history, ids, excluded)
