"""Bring anomalies and alerts into line with a scoring again: what no longer stands is withdrawn, what is new recorded.

People are told of what changes: an alert that is over after all, that goes on after all, or that was none. A new alert
is told only while it is fresh; older ones are kept for those who look.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy.orm import Session

from app.alerts.rules import Delivery, Outcome, delivery_of, severity_of
from app.pipeline.alert import Book, Recording, as_time, describe, new_alert, tell
from app.pipeline.score import Transition
from app.store import alerts as stored
from app.store import series as stored_series
from app.store.tables import Alert, Anomaly

log = structlog.get_logger()

Run = tuple[int, datetime]
"""A run of strange points: its series and when it opened."""


@dataclass(frozen=True)
class Again:
    """One series that was scored again. after: unix seconds, points up to it were not. silent: nothing comes of it."""

    series_id: int
    after: int
    cadence_seconds: int
    silent: bool


def amend(
    session: Session,
    again: Mapping[int, Again],
    transitions: Sequence[Transition],
    *,
    before: Sequence[Transition],
    now: datetime,
    wall_now: datetime,
    asked: Delivery | None = None,
) -> int:
    """What was found about the slots of `again`, run by run, takes the place of what was known; returns messages due.

    `transitions` are all that the scoring again made; `before` are the runs as they were when it began, which stand
    as such where nothing happens to them. asked: who is told of new alerts, by default everybody of fresh ones.
    """

    def delivery(transition: Transition) -> Delivery:
        ended = "ended" in transition.changes
        at = transition.run.told_at if ended else transition.run.last_abnormal_at
        return delivery_of(asked, as_time(at), now=now, cadence_seconds=again[transition.slot].cadence_seconds)

    recording = Recording(lambda slot: again[slot].series_id, delivery, wall_now)
    book = Book(session, recording, {}, {})
    known = _known(session, again)
    found = _last_of_each_run(book, transitions)
    here = {(row.series_id, row.started_at) for row in known}
    found = {book.key(each): each for each in before if book.key(each) in here} | found
    known += stored.anomalies_by_start(session, found.keys() - here).values()
    book.alerts = stored.by_id(session, [row.alert_id for row in known if row.alert_id is not None])
    kept = _matched(found, known)
    after = {each.series_id: as_time(each.after) for each in again.values()}
    standing = set(map(id, kept.values()))
    for row in known:
        if id(row) not in standing and row.started_at > after[row.series_id]:
            _withdraw(book, row)
    session.flush()
    for run, transition in found.items():
        _stand(book, kept.get(run), run, transition, silent=again[transition.slot].silent)
    session.flush()
    return tell(book)


def _last_of_each_run(book: Book, transitions: Iterable[Transition]) -> dict[Run, Transition]:
    """How each run stands in the end."""
    return {book.key(each): each for each in sorted(transitions, key=lambda t: t.timestamp)}


def _known(session: Session, again: Mapping[int, Again]) -> list[Anomaly]:
    after = {each.series_id: as_time(each.after) for each in again.values()}
    rows = stored.anomalies_since(session, after, min(after.values()))
    return [row for row in rows if row.ended_at is None or max(row.started_at, row.ended_at) > after[row.series_id]]


def _matched(found: Mapping[Run, Transition], known: list[Anomaly]) -> dict[Run, Anomaly]:
    """Which stored anomaly is which run: the same start, else the first that overlaps it in time."""
    by_start = {(row.series_id, row.started_at): row for row in known}
    kept = {run: by_start[run] for run in found if run in by_start}
    free = [row for run, row in by_start.items() if run not in kept]
    for run, transition in found.items():
        last = as_time(transition.run.last_abnormal_at)
        touching = [r for r in free if r.series_id == run[0] and r.started_at <= last and r.last_abnormal_at >= run[1]]
        if run not in kept and touching:
            kept[run] = touching[0]
            free.remove(touching[0])
    return kept


def _withdraw(book: Book, row: Anomaly) -> None:
    """The points that were strange are not, now that all of them are there."""
    alert = book.alerts.get(row.alert_id or 0)
    if alert is None:
        book.session.delete(row)
        return
    if alert.status == "closed":  # somebody has said what it was
        return
    row.outcome = Outcome.WITHDRAWN
    row.ended_at = row.ended_at or row.last_abnormal_at
    _withdraw_alert(book, alert, row)


def _withdraw_alert(book: Book, alert: Alert, row: Anomaly) -> None:
    if alert.status == "withdrawn":
        return
    alert.status, alert.ended_at = "withdrawn", row.last_abnormal_at
    book.messages.append((alert, "withdrawn"))
    log.info("alert_withdrawn", alert=alert.id, series=row.series_id, reason="late or corrected points")


def _stand(book: Book, row: Anomaly | None, run: Run, transition: Transition, *, silent: bool) -> None:
    """A run that stands, known before or not."""
    if row is None:
        row = Anomaly(series_id=run[0])
        book.session.add(row)
    alert = book.alerts.get(row.alert_id or 0)
    if alert is not None and alert.status == "closed":
        return
    over_before = row.ended_at
    row.started_at = run[1]
    describe(row, transition)
    if silent and row.ended_at is None:
        row.ended_at = over_before
    if alert is not None and transition.run.told_at:
        _follow(book, alert, row)
    elif alert is not None:
        _withdraw_alert(book, alert, row)
    elif transition.run.told_at:
        _open(book, row, transition)


def _open(book: Book, row: Anomaly, transition: Transition) -> None:
    series = stored_series.get_many(book.session, [row.series_id])[row.series_id]
    alert = new_alert(series, transition, book.recording.delivery(transition))
    book.session.add(alert)
    book.session.flush()
    row.alert_id = alert.id
    book.messages.append((alert, "firing"))
    log.info("alert_opened", alert=alert.id, series=row.series_id, delivery=alert.delivery, reason="late points")
    if row.ended_at is not None:
        alert.status, alert.ended_at = "resolved", row.ended_at
        book.messages.append((alert, "resolved"))


def _follow(book: Book, alert: Alert, row: Anomaly) -> None:
    """An alert goes on being one, maybe of another span, maybe in another status."""
    before = alert.status
    alert.started_at, alert.severity = row.started_at, severity_of(row.rarity)
    alert.status, alert.ended_at = ("firing", None) if row.ended_at is None else ("resolved", row.ended_at)
    if alert.status != before:
        book.messages.append((alert, "resolved" if (before, alert.status) == ("firing", "resolved") else "updated"))
