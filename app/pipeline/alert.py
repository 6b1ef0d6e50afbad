"""Write what happened to runs of strange points: anomalies, alerts, and the notifications that tell of them.

Everything is keyed by series and start, so that writing the same thing twice changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog
from sqlalchemy.orm import Session

from app.alerts.message import title_of
from app.alerts.rules import Delivery, Outcome, Severity, outcome_of_untold, severity_of, worse
from app.pipeline.notify import enqueue_all
from app.pipeline.score import Transition
from app.store import alerts as stored
from app.store import series as stored_series
from app.store.tables import Alert, Anomaly, Series
from detectors.training import LEARNING_DAYS

log = structlog.get_logger()

KEPT = ("features", "triage")
"""Of a told run, what triage saw and made of it when it was told, however it goes on."""
UNTOLD_DELIVERIES = (Delivery.SILENT, Delivery.STALE)


@dataclass(frozen=True)
class Recording:
    """What the recorder must know besides the transitions.

    series_id: of a slot. delivery: who is told of a point.
    wall_now: real time, from which deliveries are due.
    """

    series_id: Callable[[int], int]
    delivery: Callable[[Transition], Delivery]
    wall_now: datetime


@dataclass
class Book:
    """The rows that the transitions of one commit are about, and what is to be told of them in which order."""

    session: Session
    recording: Recording
    anomalies: dict[tuple[int, datetime], Anomaly]
    alerts: dict[int, Alert]
    messages: list[tuple[Alert, str]] = field(default_factory=list)

    def key(self, transition: Transition) -> tuple[int, datetime]:
        return self.recording.series_id(transition.slot), as_time(transition.run.opened_at)


def record(session: Session, transitions: Sequence[Transition], recording: Recording) -> int:
    """Bring anomalies and alerts up to date; returns how many messages are due because of it."""
    relevant = without_overtaken_growth(transitions)
    if not relevant:
        return 0
    book = Book(session, recording, {}, {})
    book.anomalies = stored.anomalies_by_start(session, {book.key(each) for each in relevant})
    book.alerts = stored.by_id(session, [a.alert_id for a in book.anomalies.values() if a.alert_id is not None])
    opened = _open_alerts(book, relevant)
    for transition in relevant:
        _follow(book, transition, is_new=book.key(transition) in opened)
    session.flush()
    return tell(book)


def without_overtaken_growth(transitions: Sequence[Transition]) -> list[Transition]:
    """In time order, less those where a run merely grew and something later happened to the same series."""
    ordered = sorted(transitions, key=lambda t: (t.timestamp, t.slot))
    last = {t.slot: t.timestamp for t in ordered}
    return [t for t in ordered if t.changes != {"grew"} or last[t.slot] == t.timestamp]


def as_time(unix_seconds: int) -> datetime:
    return datetime.fromtimestamp(int(unix_seconds), UTC)


def _open_alerts(book: Book, transitions: Sequence[Transition]) -> set[tuple[int, datetime]]:
    """An anomaly for every run that has none, an alert for every one that is told now; returns the keys of these."""
    series = stored_series.get_many(book.session, {book.key(each)[0] for each in transitions})
    opening: dict[tuple[int, datetime], Alert] = {}
    for transition in transitions:
        key = book.key(transition)
        anomaly = book.anomalies.setdefault(key, Anomaly(series_id=key[0], started_at=key[1]))
        if "told" in transition.changes and anomaly.alert_id is None and key not in opening:
            opening[key] = new_alert(series[key[0]], transition, book.recording.delivery(transition))
    book.session.add_all(opening.values())
    book.session.flush()
    for key, alert in opening.items():
        book.anomalies[key].alert_id = alert.id
        book.alerts[alert.id] = alert
        log.info("alert_opened", alert=alert.id, series=key[0], delivery=alert.delivery)
    return set(opening)


def new_alert(series: Series, transition: Transition, delivery: Delivery) -> Alert:
    """An alert that begins with the run as it is at this point."""
    return Alert(
        kind="anomaly",
        status="firing",
        severity=severity_of(transition.run.peak_rarity),
        title=title_of(series.metric, series.dimensions, transition.run.direction),
        started_at=as_time(transition.run.opened_at),
        created_at=as_time(transition.timestamp),
        delivery=delivery,
    )


def _follow(book: Book, transition: Transition, *, is_new: bool) -> None:
    """One step of a run: it begins to be told, goes on, comes back, or is over."""
    anomaly = book.anomalies[book.key(transition)]
    alert = book.alerts.get(anomaly.alert_id or 0)
    if alert is not None and alert.status == "closed":
        return
    describe(anomaly, transition)
    book.session.add(anomaly)
    if alert is None or (alert.status == "withdrawn" and "told" not in transition.changes):
        return
    if alert.status == "withdrawn":  # late points had taken it back, later ones bear it out
        alert.status, alert.ended_at = "firing", None
        book.messages.append((alert, "updated"))
    fresh = book.recording.delivery(transition) is Delivery.LIVE
    if "told" in transition.changes and is_new:
        book.messages.append((alert, "firing"))
    elif alert.delivery in UNTOLD_DELIVERIES and fresh and "ended" not in transition.changes:
        alert.delivery = Delivery.LIVE  # it began in old points that nobody was told of, and it still lasts
        book.messages.append((alert, "firing"))
    alert.severity = worse(Severity(alert.severity), severity_of(transition.run.peak_rarity))
    if "reopened" in transition.changes:
        alert.status, alert.ended_at = "firing", None
        book.messages.append((alert, "updated"))
    if "ended" in transition.changes and alert.status != "resolved":
        alert.status, alert.ended_at = "resolved", as_time(transition.timestamp)
        book.messages.append((alert, "resolved"))


def describe(anomaly: Anomaly, transition: Transition) -> None:
    """Write into the anomaly what its run was after the transition."""
    run = transition.run
    anomaly.last_abnormal_at = as_time(run.last_abnormal_at)
    anomaly.ended_at = as_time(transition.timestamp) if "ended" in transition.changes else None
    anomaly.direction = run.direction
    anomaly.rarity = run.peak_rarity
    anomaly.peak_at = as_time(run.peak_at)
    anomaly.actual = run.peak_value
    anomaly.expected, anomaly.lower, anomaly.upper = (
        none_if_unknown(number) for number in (run.peak_expected, run.peak_lower, run.peak_upper)
    )
    anomaly.impact = run.impact
    anomaly.point_count = run.abnormal_points
    anomaly.threshold = transition.threshold
    anomaly.detector = transition.detector
    kept = transition.kept or {name: anomaly.evidence[name] for name in KEPT if name in (anomaly.evidence or {})}
    anomaly.evidence = dict(run.evidence) | warm_up(transition.days_seen) | kept
    anomaly.outcome = (
        Outcome.TOLD
        if run.told_at
        else outcome_of_untold(
            run.peak_rarity,
            change=abs(run.peak_value - run.peak_expected),
            expected=run.peak_expected,
            direction=run.direction,
            bar=transition.bar,
            may_alert=transition.may_alert,
        )
    )


def none_if_unknown(number: float) -> float | None:
    return None if math.isnan(number) else number


def warm_up(days_seen: int) -> dict[str, dict[str, int]]:
    """What a message says of a series that is told of before it has been learned in full."""
    if days_seen >= LEARNING_DAYS:
        return {}
    return {"warm_up": {"days_seen": days_seen, "days_needed": LEARNING_DAYS}}


def tell(book: Book) -> int:
    """Put the messages of live alerts into the outbox, each alert's in their order; returns how many."""
    waves: list[dict[int, str]] = []
    for alert, reason in book.messages:
        if alert.delivery != Delivery.LIVE:
            log.info("alert_not_told", alert=alert.id, reason=alert.delivery, step=reason)
            continue
        wave = next((wave for wave in waves if alert.id not in wave), None)
        if wave is None:
            wave = {}
            waves.append(wave)
        wave[alert.id] = reason
    for wave in waves:
        for reason in dict.fromkeys(wave.values()):
            of_reason = [alert_id for alert_id, why in wave.items() if why == reason]
            enqueue_all(book.session, of_reason, reason, book.recording.wall_now)
    return sum(len(wave) for wave in waves)
