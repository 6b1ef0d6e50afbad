"""How the points of each source and metric come in: what is late, missing, silent, or in a gap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from app.partitions.arrivals import COUNTED, DAY, DAYS
from app.partitions.partition import Partition
from app.pipeline.found_gaps import FORGOTTEN
from app.pipeline.ingest import Committer
from app.store import tokens
from app.store.series import Matcher
from detectors import loss
from detectors.contract import Bools, Floats, Ints

IRREGULAR = 0.8
"""A series that sent a smaller share of its points, while it sent any, has no regular cadence."""
LEAST_DUE = 10
P95 = 1.645
MOST_NAMED = 10


Key = tuple[int, str]
"""The id of a token, 0 for none, and a metric."""


@dataclass(frozen=True)
class DataHealth:
    """The series of one metric that one source sends. Times are event times, counts those of a week.

    silent: series that are overdue, the newest of them by id in `silent_ids`. gone: silent for two weeks and no longer
    counted elsewhere. delay_seconds, high_delay_seconds: age of a point when it comes, usually and of one in twenty;
    None where that was never seen. missing: share of the points due in the last week; None where nothing was due.
    """

    source: str | None
    metric: str
    series: int
    gone: int
    silent: int
    silent_ids: Sequence[int]
    irregular: int
    cadence_seconds: int | None
    last_point_at: datetime
    delay_seconds: float | None
    high_delay_seconds: float | None
    missing: float | None
    received: int
    late: int
    corrected: int
    duplicate: int
    open_gaps: Sequence[int]


@dataclass(frozen=True)
class _Columns:
    """What is known of the series of one metric and token; arrays (N,)."""

    series_id: Ints
    first_at: Ints
    last_at: Ints
    cadence: Ints
    point_count: Ints
    arrivals: Ints
    wait: Floats
    delay: Floats
    delay_spread: Floats
    received: Ints
    late: Ints
    corrected: Ints
    duplicate: Ints

    def only(self, rows: Bools) -> _Columns:
        return _Columns(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def data_health(
    committer: Committer, session: Session, matcher: Matcher, now: datetime, *, skip: int, limit: int
) -> tuple[list[DataHealth], bool]:
    """Of the sources and metrics that a matcher's metric selects, by the names of both; and whether more follow."""
    seconds = int(now.timestamp())
    slots = committer.call(lambda: [_slots_by_source(partition, matcher) for partition in committer.partitions])
    keys = {key for those in slots for key in those}
    names = tokens.names_of(session, {token for token, _ in keys})
    page = sorted(keys, key=lambda key: (names.get(key[0], ""), key[1], key[0]))[skip : skip + limit]
    gathered = committer.call(lambda: {key: _gathered(committer, slots, key, seconds) for key in page})
    found = [
        _health(names.get(token), metric, *gathered[token, metric], seconds, committer.listening_since)
        for token, metric in page
    ]
    return found, len(keys) > skip + limit


def _gathered(
    committer: Committer, slots: Sequence[Mapping[Key, Ints]], key: Key, now: int
) -> tuple[_Columns, set[int]]:
    """What is known of a source's series of a metric, and the gaps that they are in."""
    mine = [(p, those[key]) for p, those in zip(committer.partitions, slots, strict=True) if key in those]
    parts = [_columns(partition, where, now) for partition, where in mine]
    joined = {name: np.concatenate([getattr(p, name) for p in parts]) for name in _Columns.__dataclass_fields__}
    return _Columns(**joined), {gap for partition, where in mine for gap in partition.happenings.open_gaps_of(where)}


def _slots_by_source(partition: Partition, matcher: Matcher) -> dict[Key, Ints]:
    column = {name: array[: partition.count] for name, array in partition.columns.items()}
    wanted = np.array([matcher.matches(name, {}) for name in partition.metrics.names], bool)
    slots = np.flatnonzero(column["point_count"] > 0)
    slots = slots[wanted[column["metric"][slots]]] if wanted.size else slots
    if not slots.size:
        return {}
    kinds = np.stack([column["token"][slots], column["metric"][slots]], axis=1)
    found, member = np.unique(kinds, axis=0, return_inverse=True)
    order = np.argsort(member.reshape(-1), kind="stable")
    ends = np.cumsum(np.bincount(member.reshape(-1), minlength=len(found)))[:-1]
    parts = zip(found, np.split(slots[order], ends), strict=True)
    return {(int(token), partition.metrics.names[metric]): those for (token, metric), those in parts}


def _columns(partition: Partition, slots: Ints, now: int) -> _Columns:
    arrivals = partition.arrivals
    known = ("series_id", "first_at", "last_at", "cadence", "point_count")
    columns: dict[str, Any] = {name: partition.columns[name][slots].astype(np.int64) for name in known}
    columns |= {name: arrivals.columns[name][slots] for name in ("arrivals", "wait", "delay", "delay_spread")}
    columns |= {name: arrivals.of_last_days(name, slots, now // DAY) for name in COUNTED}
    return _Columns(**columns)


def _health(
    source: str | None, metric: str, every: _Columns, gaps: set[int], now: int, listening_since: int
) -> DataHealth:
    gone = every.last_at < now - FORGOTTEN.total_seconds()
    here = every.only(~gone)
    paced = here.cadence > 0
    overdue = paced & loss.overdue(now, here.last_at, here.cadence, here.wait, listening_since)
    silent = np.flatnonzero(overdue)
    newest = silent[np.argsort(-here.last_at[silent], kind="stable")][:MOST_NAMED]
    due = _due(here, now)
    told = here.arrivals > 0
    return DataHealth(
        source=source,
        metric=metric,
        series=int(here.series_id.size),
        gone=int(gone.sum()),
        silent=int(silent.size),
        silent_ids=here.series_id[newest].tolist(),
        irregular=int(_irregular(here, now).sum()),
        cadence_seconds=int(np.median(here.cadence[paced])) if paced.any() else None,
        last_point_at=datetime.fromtimestamp(int(every.last_at.max()), UTC),
        delay_seconds=_seconds(here.delay[told]),
        high_delay_seconds=_seconds((here.delay + P95 * np.sqrt(here.delay_spread))[told]),
        missing=max(0.0, 1 - float(here.received[paced].sum()) / int(due.sum())) if due.sum() else None,
        received=int(here.received.sum()),
        late=int(here.late.sum()),
        corrected=int(here.corrected.sum()),
        duplicate=int(here.duplicate.sum()),
        open_gaps=sorted(gaps),
    )


def _due(series: _Columns, now: int) -> Ints:
    """Points that each should have sent since the first of the days that are counted; 0 where no cadence is known."""
    start = np.maximum((now // DAY - DAYS + 1) * DAY, series.first_at)
    steps = np.maximum(now - start, 0) // np.maximum(series.cadence, 1)
    return np.asarray(np.where(series.cadence > 0, steps, 0), np.int64)


def _irregular(series: _Columns, now: int) -> Bools:
    """Those with holes while they sent points, a hole at the end left aside."""
    counted_from = (now // DAY - DAYS + 1) * DAY
    start = np.maximum(counted_from, series.first_at)
    due = np.maximum(series.last_at - start, 0) // np.maximum(series.cadence, 1) + 1
    return np.asarray((series.cadence > 0) & (due >= LEAST_DUE) & (series.received < IRREGULAR * due))


def _seconds(logs: Floats) -> float | None:
    """The median of some series' ages, which are kept as log(1 + seconds)."""
    return round(float(np.expm1(np.median(logs))), 1) if logs.size else None
