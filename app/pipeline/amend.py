"""Bring anomalies and alerts into line with a scoring again: what no longer stands is withdrawn, what is new recorded.

People are told of what changes: an alert that is over after all, that goes on after all, or that was none. A new alert
is told only while it is fresh; older ones are kept for those who look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy.orm import Session

from app.alerts.policy import Resolved
from app.alerts.rules import Delivery, Outcome, delivery_of
from app.pipeline.alert import (
    Book,
    Recording,
    as_time,
    bring_in_line,
    describe,
    describe_alert,
    give_alerts,
    meet,
    tell,
)
from app.pipeline.score import Transition
from app.pipeline.settle import about, become, end_runs, settled_as_scored
from app.pipeline.silenced import silencings
from app.store import alerts as stored
from app.store import series as stored_series
from app.store.tables import Anomaly

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
    policy: Callable[[int], Resolved],
    now: datetime,
    wall_now: datetime,
    asked: Delivery | None = None,
) -> int:
    """What was found about the slots of `again`, run by run, takes the place of what was known; returns messages due.

    `transitions` are all that the scoring again made; `before` are the runs as they were when it began, which stand
    as such where nothing happens to them. policy: what holds for the series of a slot. asked: who is told of new
    alerts, by default everybody of fresh ones.
    """

    def delivery(transition: Transition) -> Delivery:
        ended = "ended" in transition.changes
        at = transition.run.told_at if ended else transition.run.last_abnormal_at
        return delivery_of(asked, as_time(at), now=now, cadence_seconds=again[transition.slot].cadence_seconds)

    recording = Recording(
        lambda slot: again[slot].series_id,
        delivery,
        wall_now,
        now,
        policy,
        silencings(session, now),
        may_wait=asked is None,
    )
    book = Book(session, recording, {}, {})
    known = _known(session, again)
    found = _last_of_each_run(book, transitions)
    here = {(row.series_id, row.started_at) for row in known}
    found = {book.key(each): each for each in before if book.key(each) in here} | found
    known += stored.anomalies_by_start(session, found.keys() - here).values()
    book.alerts = stored.by_id(session, [row.alert_id for row in known if row.alert_id is not None], to_change=True)
    kept = _matched(found, known)
    after = {each.series_id: as_time(each.after) for each in again.values()}
    standing = set(map(id, kept.values()))
    for row in known:
        if id(row) not in standing and row.started_at > after[row.series_id]:
            _withdraw(book, row)
    session.flush()
    opening = []
    for run, transition in found.items():
        told = _stand(book, kept.get(run), run, transition, silent=again[transition.slot].silent)
        if told is not None:
            opening.append((told, transition))
    session.flush()
    _align(book, known)
    _open(book, opening)
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
    elif alert.status != "closed" and row.outcome == Outcome.TOLD:  # else somebody has said what it was
        row.outcome = Outcome.WITHDRAWN
        row.ended_at = row.ended_at or row.last_abnormal_at


def _stand(book: Book, row: Anomaly | None, run: Run, transition: Transition, *, silent: bool) -> Anomaly | None:
    """A run that stands, known before or not; returned where people are to be told of it and were not."""
    if row is None:
        row = Anomaly(series_id=run[0])
        book.session.add(row)
    alert = book.alerts.get(row.alert_id or 0)
    if alert is not None and alert.status == "closed":
        return None
    over_before, why = row.ended_at, row.end_reason
    row.started_at = run[1]
    describe(row, transition)
    if silent and row.ended_at is None:
        row.ended_at, row.end_reason = over_before, why
    return row if alert is None and transition.run.told_at else None


def _align(book: Book, known: Sequence[Anomaly]) -> None:
    """Alerts as those of their anomalies make them that people are still told of; without any they are withdrawn."""
    touched = {
        row.alert_id for row in known if row.alert_id is not None and book.alerts[row.alert_id].status != "closed"
    }
    anomalies = stored.anomalies_of(book.session, touched)
    series = stored_series.get_many(book.session, {row.series_id for those in anomalies.values() for row in those})
    slots = {row.alert_id: series[row.series_id].slot for row in known if row.alert_id in touched}
    scored_again = set(map(id, known))
    around = about(book.session, [book.alerts[each] for each in anomalies], anomalies)
    for alert_id, those in sorted(anomalies.items()):
        alert = book.alerts[alert_id]
        gone = [row for row in those if row.outcome != Outcome.TOLD and id(row) in scored_again]
        left = set(map(id, gone))
        standing = [row for row in those if id(row) not in left and row.outcome != Outcome.WITHDRAWN]
        for row in gone if standing else []:
            if row.outcome != Outcome.WITHDRAWN:
                row.alert_id = None  # it happened, and was no news
        if standing:
            describe_alert(alert, standing, series, book.recording.policy(slots[alert_id]))
        rows = standing or those
        after = settled_as_scored(alert, rows, around[alert_id])
        end_runs(alert, rows, around[alert_id], after, book.recording.now)
        if reason := become(alert, rows, after):
            book.messages.append((alert, reason))


def _open(book: Book, opening: Sequence[tuple[Anomaly, Transition]]) -> None:
    """People are told of what late points brought to light, in the alert of its cause if there is one."""
    if not opening:
        return
    give_alerts(book, opening)
    for row, _ in opening:
        meet(book, book.alerts[row.alert_id or 0])
    book.session.flush()
    bring_in_line(book)
