"""Write what happened to runs of strange points: anomalies, alerts, and the notifications that tell of them.

Everything is keyed by series and start, so that writing the same thing twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from sqlalchemy.orm import Session

from app.alerts.rules import Delivery, Outcome, outcome_of_untold, severity_of
from app.pipeline.notify import enqueue
from app.pipeline.score import Transition
from app.store import alerts as stored
from app.store.tables import Alert, Anomaly

log = structlog.get_logger()

UNTOLD_DELIVERIES = (Delivery.SILENT, Delivery.STALE)


@dataclass(frozen=True)
class Recording:
    """What the recorder must know besides the transitions.

    series_id: of a slot. threshold: the budget's rarity, log10 weeks. delivery: who is told of a point.
    title: one line on a series (id) that rose (+1) or fell (-1). wall_now: real time, from which deliveries are due.
    """

    series_id: Callable[[int], int]
    threshold: float
    delivery: Callable[[Transition], Delivery]
    title: Callable[[int, int], str]
    wall_now: datetime


def record(session: Session, transitions: Sequence[Transition], recording: Recording) -> int:
    """Bring anomalies and alerts up to date; returns how many notifications are due because of it."""
    relevant = without_overtaken_growth(transitions)
    if not relevant:
        return 0
    runs = {(recording.series_id(t.slot), as_time(t.run.opened_at)) for t in relevant}
    anomalies = stored.anomalies_by_start(session, runs)
    due = 0
    for transition in relevant:
        due += _record_one(session, transition, recording, anomalies)
    return due


def without_overtaken_growth(transitions: Sequence[Transition]) -> list[Transition]:
    """In time order, less those where a run merely grew and something later happened to the same series."""
    ordered = sorted(transitions, key=lambda t: (t.timestamp, t.slot))
    last = {t.slot: t.timestamp for t in ordered}
    return [t for t in ordered if t.changes != {"grew"} or last[t.slot] == t.timestamp]


def as_time(unix_seconds: int) -> datetime:
    return datetime.fromtimestamp(int(unix_seconds), UTC)


def _record_one(
    session: Session,
    transition: Transition,
    recording: Recording,
    anomalies: dict[tuple[int, datetime], Anomaly],
) -> int:
    series_id = recording.series_id(transition.slot)
    key = (series_id, as_time(transition.run.opened_at))
    anomaly = anomalies.get(key)
    if anomaly is None:
        anomaly = anomalies[key] = Anomaly(series_id=series_id, started_at=key[1])
        session.add(anomaly)
    _describe(anomaly, transition, recording)
    alert = session.get(Alert, anomaly.alert_id) if anomaly.alert_id is not None else None
    if "told" in transition.changes and alert is None:
        return _open_alert(session, anomaly, transition, recording)
    if alert is None or alert.status in ("closed", "withdrawn"):
        return 0
    return _follow(session, alert, transition, recording)


def _describe(anomaly: Anomaly, transition: Transition, recording: Recording) -> None:
    run = transition.run
    anomaly.last_abnormal_at = as_time(run.last_abnormal_at)
    anomaly.ended_at = as_time(transition.timestamp) if "ended" in transition.changes else None
    anomaly.direction = run.direction
    anomaly.rarity = run.peak_rarity
    anomaly.peak_at = as_time(run.peak_at)
    anomaly.actual = run.peak_value
    anomaly.expected, anomaly.lower, anomaly.upper = run.peak_expected, run.peak_lower, run.peak_upper
    anomaly.impact = run.impact
    anomaly.point_count = run.abnormal_points
    anomaly.threshold = transition.threshold
    anomaly.detector = transition.detector
    anomaly.evidence = dict(run.evidence)
    anomaly.outcome = (
        Outcome.TOLD
        if run.told_at
        else outcome_of_untold(run.peak_rarity, threshold=recording.threshold, may_alert=transition.may_alert)
    )


def _open_alert(session: Session, anomaly: Anomaly, transition: Transition, recording: Recording) -> int:
    delivery = recording.delivery(transition)
    alert = Alert(
        kind="anomaly",
        status="firing",
        severity=severity_of(transition.run.peak_rarity),
        title=recording.title(anomaly.series_id, transition.run.direction),
        started_at=anomaly.started_at,
        created_at=as_time(transition.timestamp),
        delivery=delivery,
    )
    session.add(alert)
    session.flush()
    anomaly.alert_id = alert.id
    session.flush()
    log.info("alert_opened", alert=alert.id, series=anomaly.series_id, delivery=str(delivery))
    return _tell(session, alert, "firing", recording)


def _follow(session: Session, alert: Alert, transition: Transition, recording: Recording) -> int:
    """An alert that was opened before: it goes on, comes back, or is over."""
    due = 0
    fresh = recording.delivery(transition) is Delivery.LIVE
    if alert.delivery in UNTOLD_DELIVERIES and fresh and "ended" not in transition.changes:
        alert.delivery = Delivery.LIVE  # it began in old points that nobody was told of, and it still lasts
        due += _tell(session, alert, "firing", recording)
    alert.severity = max(severity_of(transition.run.peak_rarity), alert.severity, key=["warning", "critical"].index)
    if "reopened" in transition.changes:
        alert.status, alert.ended_at = "firing", None
        due += _tell(session, alert, "updated", recording)
    if "ended" in transition.changes:
        alert.status, alert.ended_at = "resolved", as_time(transition.timestamp)
        due += _tell(session, alert, "resolved", recording)
    return due


def _tell(session: Session, alert: Alert, reason: str, recording: Recording) -> int:
    if alert.delivery != Delivery.LIVE:
        log.info("alert_not_told", alert=alert.id, reason=alert.delivery, step=reason)
        return 0
    session.flush()
    enqueue(session, alert.id, reason, recording.wall_now)
    return 1
