"""Events from an iCalendar file (RFC 5545): every recurrence, exceptions and moved occurrences, in any time zone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from icalendar import Calendar

from app.errors import Unprocessable
from app.formats.contract import Rejection
from feedback.recurrence import RecurrenceError, Recurring, read_rule, with_local_until

Component = Any
"""A VEVENT: its properties are of twenty types, and what can't be read of them is refused."""
MOST_EVENTS = 2_000
LONGEST_NAME = 200
LAID_OUT_YEARS = 5
"""How far an event is laid out date by date whose zone the file defines itself."""


@dataclass(frozen=True)
class CalendarEvent:
    """One event of a calendar. uid: its id there, the same each time the calendar is exported."""

    uid: str
    name: str
    when: Recurring


@dataclass(frozen=True)
class ReadCalendar:
    """The events of a file, and which were refused, by their place among them, and why."""

    events: list[CalendarEvent]
    rejected: list[Rejection]


def read_calendar(body: bytes, timezone: str) -> ReadCalendar:
    """All events of an .ics file. `timezone`: of times that name none, and of whole days. Raises Unprocessable."""
    try:
        components = Calendar.from_ical(body).walk("VEVENT")
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise Unprocessable("This is no iCalendar file. Send what a calendar exports as .ics, in UTF-8.") from error
    if len(components) > MOST_EVENTS:
        raise Unprocessable(f"A calendar may hold at most {MOST_EVENTS} events. Export a shorter span.")
    events: list[CalendarEvent] = []
    rejected: list[Rejection] = []
    moved = _moved(components)
    for index, component in enumerate(components):
        if str(component.get("STATUS", "")).upper() == "CANCELLED":
            continue
        try:
            events.append(_read(component, timezone, moved))
        except (ValueError, TypeError, AttributeError, OverflowError, KeyError) as error:
            known = isinstance(error, RecurrenceError)
            rejected.append(Rejection(index, str(error) if known else "its start, end or rule can't be read"))
    return ReadCalendar(events, rejected)


def _moved(components: Iterable[Component]) -> dict[str, list[Any]]:
    """Times of occurrences that are described apart, moved or cancelled, by the id of their event."""
    found: dict[str, list[Any]] = {}
    for component in components:
        apart = component.get("RECURRENCE-ID")
        if apart is not None and hasattr(apart, "dt"):
            found.setdefault(str(component.get("UID", "")), []).append(apart.dt)
    return found


def _read(component: Component, timezone: str, moved: dict[str, list[Any]]) -> CalendarEvent:
    uid, apart = str(component.get("UID", "")), component.get("RECURRENCE-ID")
    start = component["DTSTART"].dt
    zone = _zone_of(start, timezone)
    first, last = _aware(start, zone), _end(component, start, zone)
    name = " ".join(str(component.get("SUMMARY", "")).split())[:LONGEST_NAME] or "event"
    when = Recurring(first, last, getattr(zone, "key", "UTC"))
    if apart is not None:
        return CalendarEvent(f"{uid}/{_aware(apart.dt, zone).astimezone(UTC):%Y%m%dT%H%M%SZ}", name, when)
    left_out = [*_dates(component, "EXDATE"), *moved.get(uid, [])]
    when = replace(
        when,
        rrule=component["RRULE"].to_ical().decode() if component.get("RRULE") is not None else None,
        also_on=[_local(each, zone) for each in _dates(component, "RDATE")],
        not_on=[_local(each, zone) for each in left_out],
    )
    if when.rrule:
        read_rule(with_local_until(when.rrule, zone), _local(first, zone))
    return CalendarEvent(uid, name, when if isinstance(zone, ZoneInfo) else _laid_out(when, zone))


def _zone_of(start: date, timezone: str) -> tzinfo:
    zone = start.tzinfo if isinstance(start, datetime) else None
    return zone or ZoneInfo(timezone)


def _aware(moment: date, zone: tzinfo) -> datetime:
    """A time in its zone; one without, and the midnight that begins a whole day, in the given one."""
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def _local(moment: date, zone: tzinfo) -> datetime:
    return _aware(moment, zone).astimezone(zone).replace(tzinfo=None)


def _end(component: Component, start: date, zone: tzinfo) -> datetime:
    if component.get("DTEND") is not None:
        return _aware(component["DTEND"].dt, zone)
    local = _local(start, zone)
    whole_day = not isinstance(start, datetime)
    lasts = component["DURATION"].dt if component.get("DURATION") is not None else timedelta(days=int(whole_day))
    return (local + lasts).replace(tzinfo=zone)


def _dates(component: Component, name: str) -> Iterator[date]:
    """The times of EXDATE or RDATE, which may come several times and as periods."""
    found = component.get(name)
    for part in found if isinstance(found, list) else [found] if found is not None else []:
        for each in part.dts:
            yield each.dt[0] if isinstance(each.dt, tuple) else each.dt


def _laid_out(when: Recurring, zone: tzinfo) -> Recurring:
    """Date by date, in UTC: the zone is none of the world's, only the file knows its rules."""
    first = _local(when.start, zone)
    until = first + timedelta(days=366 * LAID_OUT_YEARS)
    starts = {*when.also_on}
    if when.rrule:
        for start in read_rule(with_local_until(when.rrule, zone), first):
            if start >= until:
                break
            starts.add(start)
    in_utc = [
        each.replace(tzinfo=zone).astimezone(UTC).replace(tzinfo=None) for each in sorted(starts - {*when.not_on})
    ]
    return Recurring(when.start.astimezone(UTC), when.end.astimezone(UTC), "UTC", also_on=in_utc)
