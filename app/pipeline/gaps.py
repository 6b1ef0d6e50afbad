"""Gaps: spans of lost, late or wrong data. One data alert takes the place of all alerts that they cause.

While a gap lasts its points are taken for missing: they teach nothing and open nothing. Once the late points are in,
the span is judged by them as if they had come in time.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
import structlog
from sqlalchemy.orm import Session

from app.alerts.rules import Delivery, Outcome
from app.clock import wall_now
from app.errors import NotFound, Unprocessable
from app.partitions.partition import UNKNOWN, Partition
from app.pipeline.happenings import Changed
from app.pipeline.ingest import Committer
from app.pipeline.notify import enqueue
from app.pipeline.rescore import score_again
from app.pipeline.train import train
from app.store import alerts as stored_alerts
from app.store import happenings as stored
from app.store import points
from app.store.tables import Alert, Gap
from detectors.contract import Ints

log = structlog.get_logger()

FILLED = 0.9
"""Share of a gap's points that must be there for it to count as filled."""


def declare(committer: Committer, gap: Gap, now: datetime) -> Gap:
    """Say that data are lost. Alerts that began in it are withdrawn, and one tells of it. Raises Unprocessable."""
    if gap.ended_at is not None and gap.ended_at <= gap.started_at:
        raise Unprocessable("The gap ends before it starts. Send `start` before `end`.")
    gap.known_points = _known_points(committer, gap, now)[0]

    def store() -> Changed:
        with committer.database.writing() as session:
            session.add(gap)
            session.flush()
            ids = stored.series_ids_of(session, gap, gap.token_id)
            released = _withdraw_caused(session, gap, ids)
            if gap.ended_at is None or gap.ended_at > now:
                _tell(session, gap, ids.size, now)
            return Changed(released, ids, int(gap.started_at.timestamp()))

    committer.rejudge(store)
    score_again(committer, now)
    log.info("gap_declared", gap=gap.id, origin=gap.origin, author=gap.author)
    return gap


def end(committer: Committer, gap_id: int, *, at: datetime, now: datetime) -> Gap:
    """The data are back. Points from then on count again; those of the span when they have been sent late."""

    def store() -> Changed:
        with committer.database.writing() as session:
            gap = existing(session, gap_id)
            if at <= gap.started_at:
                raise Unprocessable("The gap ends before it starts. Send an `end` after its `start`.")
            gap.ended_at = at
            _resolve(session, gap, at)
            ids = stored.series_ids_of(session, gap, gap.token_id)
            return Changed([], ids, int(gap.started_at.timestamp()))

    committer.rejudge(store)
    score_again(committer, now)
    with committer.database.reading() as session:
        return session.get_one(Gap, gap_id)


def take_back(committer: Committer, gap_id: int, *, by: str, now: datetime) -> Gap:
    """There was no gap: its points count, and alerts that were withdrawn for it are told again where they stand."""

    def store() -> Changed:
        with committer.database.writing() as session:
            gap = existing(session, gap_id)
            gap.revoked_at, gap.revoked_by = now, by
            _resolve(session, gap, now)
            for alert in stored_alerts.caused_by_gap(session, gap_id):
                alert.gap_id = None
            ids = stored.series_ids_of(session, gap, gap.token_id)
            return Changed([], ids, int(gap.started_at.timestamp()))

    committer.rejudge(store)
    score_again(committer, now)
    with committer.database.reading() as session:
        return session.get_one(Gap, gap_id)


def existing(session: Session, gap_id: int) -> Gap:
    gap = stored.get(session, Gap, gap_id)
    if gap is None or gap.revoked_at is not None:
        raise NotFound("There is no such gap. List them with GET /v1/gaps.")
    return gap


def fill_what_came(committer: Committer, now: datetime) -> int:
    """Let gaps go whose late points have come, judge their spans by them, and retrain where asked; returns how many."""
    with committer.database.reading() as session:
        ended = [g for g in stored.standing(session, Gap) if g.filled_at is None and g.ended_at and g.ended_at <= now]
    filled = [gap for gap in ended if _has_come(committer, gap, now)]
    for gap in filled:
        fill(committer, gap.id, now=now)
    return len(filled)


def fill(committer: Committer, gap_id: int, *, now: datetime) -> Gap:
    """The points of the gap are complete and right now: judge by them, and retrain where the gap asks for it."""

    def store() -> Changed:
        with committer.database.writing() as session:
            gap = existing(session, gap_id)
            gap.filled_at = now
            gap.ended_at = gap.ended_at or now
            _resolve(session, gap, gap.ended_at)
            ids = stored.series_ids_of(session, gap, gap.token_id)
            return Changed([], ids, int(gap.started_at.timestamp()))

    committer.rejudge(store)
    score_again(committer, now)
    with committer.database.reading() as session:
        gap = session.get_one(Gap, gap_id)
        ids = stored.series_ids_of(session, gap, gap.token_id)
    log.info("gap_filled", gap=gap_id)
    if gap.retrain_when_backfilled and gap.retrained_at is None:
        train(committer, now=now, reason=f"gap {gap_id} is filled", wanted=lambda partition: _slots(partition, ids))
        with committer.database.writing() as session:
            gap = session.get_one(Gap, gap_id)
            gap.retrained_at = now
    return gap


def _slots(partition: Partition, ids: Ints) -> Ints:
    slots = partition.slots_of(ids)
    return np.asarray(slots[slots != UNKNOWN])


def _has_come(committer: Committer, gap: Gap, now: datetime) -> bool:
    """Whether nearly all of its points are there, and were not when it was declared."""
    known, due = _known_points(committer, gap, now)
    return due > 0 and known >= FILLED * due and gap.known_points < FILLED * due


def _known_points(committer: Committer, gap: Gap, now: datetime) -> tuple[int, int]:
    """How many points of its span are stored with a value, and how many there should be."""
    start, stop = int(gap.started_at.timestamp()), int(min(gap.ended_at or now, now).timestamp())
    with committer.database.reading() as session:
        ids = stored.series_ids_of(session, gap, gap.token_id)
        batch = points.read_points(session, ids.tolist(), start, stop)
    due = 0
    for partition in committer.partitions:
        cadence = partition.columns["cadence"][_slots(partition, ids)]
        due += int((max(stop - start, 0) // cadence[cadence > 0]).sum())
    return int(np.isfinite(batch.value).sum()), due


def _withdraw_caused(session: Session, gap: Gap, ids: Ints) -> list[int]:
    """Take back the alerts of series that began in the gap; returns the ids of series whose run is let go."""
    told = stored_alerts.told_of_series(session, ids, since=gap.started_at, before=gap.created_at)
    released: list[int] = []
    for alert, runs in told:
        if gap.ended_at is not None and any(run.started_at >= gap.ended_at for run in runs):
            continue
        alert.gap_id = gap.id
        released += [run.series_id for run in stored_alerts.latest_of_their_series(session, runs)]
        if alert.status in ("closed", "withdrawn"):
            continue
        for run in runs:
            run.outcome, run.ended_at = Outcome.WITHDRAWN, run.ended_at or run.last_abnormal_at
        alert.status, alert.ended_at = "withdrawn", max(run.last_abnormal_at for run in runs)
        log.info("alert_withdrawn", alert=alert.id, reason="gap", gap=gap.id)
        session.flush()
        if alert.delivery == Delivery.LIVE:
            enqueue(session, alert.id, "withdrawn", wall_now())
    return released


def _tell(session: Session, gap: Gap, series: int, now: datetime) -> None:
    """One alert for all the series of the gap."""
    count = "1 series" if series == 1 else f"{series:,} series"
    alert = Alert(
        kind="data",
        status="firing",
        severity="warning",
        title=f"Data of {count} of {gap.metric} are lost or wrong since {gap.started_at:%d %b %H:%M} UTC: {gap.reason}",
        started_at=gap.started_at,
        created_at=now,
        delivery=Delivery.LIVE,
        gap_id=gap.id,
    )
    session.add(alert)
    session.flush()
    enqueue(session, alert.id, "firing", wall_now())


def _resolve(session: Session, gap: Gap, at: datetime) -> None:
    """What tells of the gap is over."""
    for alert in stored_alerts.caused_by_gap(session, gap.id):
        if alert.kind == "data" and alert.status == "firing":
            alert.status, alert.ended_at = "resolved", at
            session.flush()
            enqueue(session, alert.id, "resolved", wall_now())
