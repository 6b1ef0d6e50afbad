"""Events: declared, changed, taken back. They explain alerts of the past, and their effect is learned as they recur."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import structlog
from sqlalchemy.orm import Session

from app.errors import NotFound, Unprocessable
from app.partitions.partition import UNKNOWN, Partition
from app.pipeline.creations import ToCome
from app.pipeline.happenings import Changed, packed, unpacked
from app.pipeline.ingest import Committer
from app.pipeline.rescore import score_again
from app.pipeline.settle import began_within, settle
from app.pipeline.train import grids, history_of, portions
from app.store import alerts as stored_alerts
from app.store import happenings as stored
from app.store import points
from app.store.tables import Alert, Anomaly, Event
from detectors.contract import Floats, Ints
from detectors.robust import median
from feedback.events import MOST_PARTS, Effect, Explained, Seen, learned_effect, widened
from feedback.receipt import Band
from feedback.recurrence import Occurrence, RecurrenceError, check_possible, check_start_by_rule, occurrences

log = structlog.get_logger()

DAY, WEEK = timedelta(days=1), timedelta(days=7)
HORIZON = timedelta(days=400)
WEEKS_BEFORE = 4
DAYS_BEFORE = 7
MOST_LEARNED = 6
"""Occurrences that an effect is learned from, the last ones."""
MOST_LEARNED_SERIES = 1_000
"""Series whose own effect is learned; further ones get that of their siblings."""
WHEN = ("started_at", "ended_at", "timezone", "rrule", "also_on", "not_on", "metric", "dimensions", "series_id")
"""Fields of an event that say when it is and what it is about."""
NOT_IN_CALENDAR = "its calendar"
"""Takes back what a calendar no longer has, or has otherwise."""


def declare(committer: Committer, events: Iterable[Event], now: datetime) -> list[Event]:
    """Make events. What they explain is closed at once; what they did before is learned. Raises Unprocessable."""
    wanted = list(events)
    for event in wanted:
        check(event)
        _learn(committer, event, now)

    def store() -> Changed:
        with committer.database.writing() as session:
            session.add_all(wanted)
            session.flush()
            return joined([_settle(session, event, now) for event in wanted])

    _rejudge(committer, store, now)
    for event in wanted:
        log.info("event_declared", declared=event.id, recurs=event.rrule is not None, author=event.author)
    return wanted


def change(committer: Committer, event_id: int, fields: Mapping[str, Any], now: datetime) -> Event:
    """Change some fields of a standing event; the past follows. Raises NotFound, Unprocessable."""
    with committer.database.reading() as session:
        event = existing(session, event_id)
        before = {name: getattr(event, name) for name in WHEN}
        trial = Event(**{c.key: getattr(event, c.key) for c in Event.__table__.columns} | dict(fields))
    check(trial)
    if not {"started_at", "timezone", "rrule"}.isdisjoint(fields):
        check_start(trial)
    moved = any(getattr(trial, name) != before[name] for name in WHEN)
    if moved:
        _learn(committer, trial, now)

    def store() -> Changed:
        with committer.database.writing() as session:
            event = existing(session, event_id)
            old = _reach(session, event, now)
            for name, value in fields.items():
                setattr(event, name, value)
            if not moved:
                return Changed()
            event.created_at, event.learned, event.learned_until = now, trial.learned, trial.learned_until
            return joined([old, _settle(session, event, now)])

    _rejudge(committer, store, now)
    with committer.database.reading() as session:
        return existing(session, event_id)


def take_back(committer: Committer, event_id: int, *, by: str, now: datetime) -> Event:
    """End an event as if it had never been: it explains nothing any more, and its spans are learned again."""

    def store() -> Changed:
        with committer.database.writing() as session:
            event = existing(session, event_id)
            event.revoked_at, event.revoked_by = now, by
            return _settle(session, event, now)

    _rejudge(committer, store, now)
    log.info("event_taken_back", declared=event_id, by=by)
    with committer.database.reading() as session:
        return session.get_one(Event, event_id)


def _rejudge(committer: Committer, store: Callable[[], Changed], now: datetime) -> None:
    """Commit a change and score again what it concerns at once, before further points are judged by a wrong level."""
    committer.rejudge(store)
    score_again(committer, now)


def existing(session: Session, event_id: int) -> Event:
    event = stored.get(session, Event, event_id)
    if event is None or event.revoked_at is not None:
        raise NotFound("There is no such event. List them with GET /v1/events.")
    return event


def check(event: Event) -> None:
    """Refuse what can't take place. Raises Unprocessable."""
    with _refused():
        check_possible(stored.recurring(event))


def check_start(event: Event) -> None:
    """Refuse a start that is said beside a rule and not one of its. Raises Unprocessable."""
    with _refused():
        check_start_by_rule(stored.recurring(event))


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except RecurrenceError as error:
        raise Unprocessable(str(error)) from None


def learn_what_ended(committer: Committer, now: datetime) -> int:
    """Learn the effect of events of which an occurrence has ended since it was last learned; returns how many."""
    with committer.database.reading() as session:
        due = [event for event in stored.standing(session, Event) if _has_news(event, now)]
    for event in due:
        _learn(committer, event, now)

        def store(learned: Event = event) -> Changed:
            with committer.database.writing() as session:
                kept = session.get_one(Event, learned.id)
                kept.learned, kept.learned_until = learned.learned, learned.learned_until
            return Changed()

        committer.rejudge(store)
        log.info("event_learned", declared=event.id)
    return len(due)


def _has_news(event: Event, now: datetime) -> bool:
    last = event.learned_until or event.started_at
    return any(last < each.end <= now for each in occurrences(stored.recurring(event), now))


@dataclass(frozen=True)
class _Past:
    """Occurrences of the past: those that are over, and the one that has begun, as far as it had come."""

    over: list[Occurrence]
    begun: Occurrence | None


def _past(event: Event, now: datetime) -> _Past:
    every = occurrences(stored.recurring(event), now)
    over = [each for each in every if each.end <= now]
    begun = [each for each in every if each.start < min(event.created_at, now) < each.end]
    return _Past(over[-MOST_LEARNED:], begun[-1] if begun else None)


def _learn(committer: Committer, event: Event, now: datetime) -> None:
    """Set on the event what its past occurrences did to its series."""
    past = _past(event, now)
    event.learned_until = now
    if not past.over and past.begun is None:
        event.learned = None
        return
    ids, seen, begun = _witnessed(committer, event, past, now)
    effect = learned_effect(ids, seen) if ids.size else None
    if begun is not None:
        effect = widened(effect, ids, begun)
    event.learned = packed(effect)


def _witnessed(committer: Committer, event: Event, past: _Past, now: datetime) -> tuple[Ints, list[Seen], Seen | None]:
    """What the series of the event saw of its past, series ascending."""
    with committer.database.reading() as session:
        ids = stored.series_ids_of(session, event)[:MOST_LEARNED_SERIES]
    spans = [*past.over, *([past.begun] if past.begun else [])]
    until = min(now, event.created_at) if past.begun else now
    parts: dict[int, list[Seen]] = {}
    for partition in committer.partitions:
        slots = partition.slots_of(ids)
        slots = slots[slots != UNKNOWN]
        coarsest = int(partition.columns["cadence"][slots].max(initial=1))
        shortest = min((each.end - each.start).total_seconds() for each in spans)
        number = int(np.clip(shortest // max(coarsest, 1), 1, MOST_PARTS))
        for portion in portions(committer, partition.number, slots):
            parts |= _witnessed_by(committer, partition, portion, spans, until, number)
    found = np.array(sorted(parts), np.int64)
    if not found.size:
        return found, [], None
    every = [_together([parts[each][k] for each in found.tolist()]) for k in range(len(spans))]
    return found, every[: len(past.over)], every[-1] if past.begun else None


def _witnessed_by(
    committer: Committer, partition: Partition, slots: Ints, spans: list[Occurrence], until: datetime, number: int
) -> dict[int, list[Seen]]:
    """By series id: each occurrence in so many parts, as the series saw it before `until`."""
    first = int((min(each.start for each in spans) - (WEEKS_BEFORE + 1) * WEEK).timestamp())
    last = int(max(each.end for each in spans).timestamp())
    found: dict[int, list[Seen]] = {}
    with committer.database.reading() as session:
        excluded = stored.exclusions(session, until)
        for grid in grids(session, partition, slots, first, last):
            clean = history_of(partition, grid, excluded).values
            seen = [_seen(clean, grid, span, until, number) for span in spans]
            for row, series_id in enumerate(grid.series_ids.tolist()):
                found[series_id] = [Seen(each.value[row], each.usual[row]) for each in seen]
    return found


def _seen(clean: Floats, grid: points.Grid, span: Occurrence, until: datetime, number: int) -> Seen:
    start, end = int(span.start.timestamp()), int(span.end.timestamp())
    columns = np.flatnonzero((grid.timestamp >= start) & (grid.timestamp < min(end, until.timestamp())))
    into = (grid.timestamp[columns] - start) / (end - start)
    return Seen.of(grid.values[:, columns], _usual(clean, columns, grid.cadence), into, number)


def _together(of_series: list[Seen]) -> Seen:
    return Seen(np.stack([each.value for each in of_series]), np.stack([each.usual for each in of_series]))


def _usual(clean: Floats, columns: Ints, cadence: int) -> Floats:
    """What would have come in these columns: the median of the same time in the weeks before, else the days before."""
    weekly = _medians(clean, columns, max(1, round(WEEK.total_seconds() / cadence)), WEEKS_BEFORE)
    daily = _medians(clean, columns, max(1, round(DAY.total_seconds() / cadence)), DAYS_BEFORE)
    return np.where(np.isnan(weekly), daily, weekly)


def _medians(clean: Floats, columns: Ints, step: int, times: int) -> Floats:
    """Median of the columns so many steps before, (S, N), NaN where none of them is known."""
    before = columns[None, :] - step * np.arange(1, times + 1)[:, None]
    values = np.where(before >= 0, clean[:, np.maximum(before, 0)], np.nan)
    return median(values, 1)


def _settle(session: Session, event: Event, now: datetime) -> Changed:
    """Bring the alerts of the past in line with an event that stands, or does no longer."""
    reach = _reach(session, event, now)
    told = explained(session, event, now) if event.revoked_at is None else []
    before = stored_alerts.explained_or_caused_by(session, Event, [event.id])
    released = settle(session, {alert.id for alert in [*before, *(alert for alert, _ in told)]}, now)
    return Changed(released, reach.again, reach.since)


def explained(
    session: Session, event: Event, now: datetime, further: Collection[int] = ()
) -> list[tuple[Alert, list[Anomaly]]]:
    """Alerts of the past that began within occurrences of an event, all their anomalies did, with these.

    further: ids of other series that one is about which is not stored yet.
    """
    ids, spans = _reach(session, event, now).again, occurrences(stored.recurring(event), now)
    ids = stored.with_further(ids, event, further)
    told = stored_alerts.told_of_series(session, ids, since=event.started_at, before=event.created_at)
    return [(alert, runs) for alert, runs in told if began_within(spans, runs)]


def to_come(committer: Committer, event: Event, ids: Ints, now: datetime) -> ToCome:
    """What an event that is not declared yet, and is about these series, will explain; its effect is learned."""
    _learn(committer, event, now)
    every = occurrences(stored.recurring(event), max(now + HORIZON, event.started_at + DAY))
    return ToCome(*stored.as_seconds(every), ids, unpacked(event.learned) or Effect.unknown())


def band_during(event: Event, series_id: int) -> Callable[[Band], Band]:
    """What becomes of a series' band by what is learned of an event, where the next point lies in it."""
    effect = unpacked(event.learned) or Effect.unknown()

    def during(band: Band) -> Band:
        spans = occurrences(stored.recurring(event), band.timestamp + timedelta(seconds=1))
        now_on = [each for each in spans if each.start <= band.timestamp < each.end]
        if not now_on:
            return band
        into = np.array([(band.timestamp - now_on[0].start) / (now_on[0].end - now_on[0].start)])
        with_it = Explained.nothing(1).and_by(np.array([0]), effect, np.array([series_id]), into)
        edges = with_it.with_event(*(np.array([each]) for each in (band.expected, band.lower, band.upper)))
        return Band(band.timestamp, *(float(each[0]) for each in edges))

    return during


def _reach(session: Session, event: Event, now: datetime) -> Changed:
    """The series of an event, to be scored again from its first occurrence on if that is past."""
    if event.started_at > now:
        return Changed()
    return Changed([], stored.series_ids_of(session, event), int(event.started_at.timestamp()))


def joined(changes: list[Changed]) -> Changed:
    since = min((each.since for each in changes if each.again.size), default=0)
    again = np.unique(np.concatenate([np.zeros(0, np.int64), *(each.again for each in changes)]))
    return Changed([series for each in changes for series in each.released], again, since)


def import_calendar(committer: Committer, calendar: Sequence[Event], name: str, *, by: str, now: datetime) -> Exchange:
    """Let a calendar's events of now, which can all be, take the place of those it had; returns what was done.

    What is the same stays, and so does what is over and only no longer exported. What somebody deleted here comes back
    only once the calendar has it otherwise.
    """
    with committer.database.reading() as session:
        deleted = {_identity(event) for event in stored.deleted_by_hand(session, name, but_for=NOT_IN_CALENDAR)}
        wanted = [event for event in calendar if _identity(event) not in deleted]
        exchange = replace(exchange_of(session, wanted, name, now), stay_deleted=len(calendar) - len(wanted))
    exchange.learn(committer, now)

    def store() -> Changed:
        with committer.database.writing() as session:
            return exchange.carry_out(session, by, now)

    if exchange.new or exchange.gone:
        _rejudge(committer, store, now)
    return exchange


@dataclass(frozen=True)
class Exchange:
    """Events of a calendar that take the place of others. Those that are the same are in neither list.

    stay_deleted: how many it has that stay deleted.
    """

    new: list[Event]
    gone: list[Event]
    stay_deleted: int = 0

    def learn(self, committer: Committer, now: datetime) -> None:
        """Let the new ones know what they did before."""
        for event in self.new:
            _learn(committer, event, now)

    def carry_out(self, session: Session, by: str, now: datetime) -> Changed:
        """In the caller's transaction; returns what it means for the series concerned."""
        changes = []
        for event in self.gone:
            kept = session.get_one(Event, event.id)
            kept.revoked_at, kept.revoked_by = now, NOT_IN_CALENDAR
            changes.append(_settle(session, kept, now))
        session.add_all(self.new)
        session.flush()
        changes += [_settle(session, event, now) for event in self.new]
        log.info("events_exchanged", new=len(self.new), gone=len(self.gone), by=by)
        return joined(changes)


def exchange_of(session: Session, calendar: Sequence[Event], name: str, now: datetime) -> Exchange:
    """What is to be done for a calendar to hold these events. What is over and only no longer exported stays."""
    known = [event for event in stored.standing(session, Event) if event.calendar == name]
    same = {_identity(event) for event in known} & {_identity(event) for event in calendar}
    new = [event for event in calendar if _identity(event) not in same]
    uids = {event.uid for event in new}
    gone = [e for e in known if _identity(e) not in same and (e.uid in uids or _goes_on(e, now))]
    return Exchange(new, gone)


def _goes_on(event: Event, now: datetime) -> bool:
    far = now + HORIZON
    return event.started_at > now or any(each.end > now for each in occurrences(stored.recurring(event), far))


def _identity(event: Event) -> tuple[str, ...]:
    """What makes an imported event this one."""
    values = (getattr(event, name) for name in ("uid", "name", *WHEN))
    return tuple(str(value.timestamp() if isinstance(value, datetime) else value) for value in values)
