"""Events from an iCalendar file (RFC 5545): every recurrence, exceptions and moved occurrences, in any time zone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from icalendar import Calendar

from app.errors import Unprocessable
from app.formats.ical_zones import ZONE, Zones, without_zones
from feedback.recurrence import (
    DAY,
    FOR_EVER,
    MOST_OCCURRENCES,
    TOO_FAR_AWAY,
    RecurrenceError,
    Recurring,
    check_possible,
    ended_before,
    has_end,
    local,
    local_starts,
    read_rule,
)

Component = Any
"""A VEVENT: its properties are of twenty types, and what can't be read of them is refused."""
MOST_EVENTS = 2_000
LONGEST_NAME = 200
MOST_LOOKED_THROUGH = 50_000
"""Occurrences of one event: those of every day for more than a hundred years."""
UNREADABLE = "Its start, end or rule can't be read. Save it anew in the calendar."


@dataclass(frozen=True)
class CalendarEvent:
    """One event of a calendar. uid: its id there, the same each time the calendar is exported."""

    uid: str
    name: str
    when: Recurring


@dataclass(frozen=True)
class RefusedEvent:
    """An event that can't be. index: its place among those of the file, from 0. reason: why, with the cure."""

    index: int
    name: str
    reason: str


@dataclass(frozen=True)
class ReadCalendar:
    """The events of a file, and those that were refused."""

    events: list[CalendarEvent]
    rejected: list[RefusedEvent]


def read_calendar(body: bytes, timezone: str, now: datetime) -> ReadCalendar:
    """All events of an .ics file. `timezone`: of times that name none, and of whole days. Raises Unprocessable."""
    rest, definitions = without_zones(body)
    components = _components(rest)
    usual = ZoneInfo(timezone)
    reader = _Reader(usual, Zones(definitions, usual, now))
    apart = reader.described_apart(components)
    events: list[CalendarEvent] = []
    rejected: list[RefusedEvent] = []
    for index, component in enumerate(components):
        if _is_cancelled(component):
            continue
        try:
            events += reader.read(component, apart.get(_uid(component), ()))
        except RecurrenceError as error:
            rejected.append(RefusedEvent(index, _name(component), str(error)))
        except OverflowError:
            rejected.append(RefusedEvent(index, _name(component), TOO_FAR_AWAY))
        except (ValueError, TypeError, AttributeError, KeyError):
            rejected.append(RefusedEvent(index, _name(component), UNREADABLE))
    return ReadCalendar(events, rejected)


def _components(body: bytes) -> list[Component]:
    try:
        calendars = Calendar.from_ical(body, multiple=True)
        if not calendars:
            raise ValueError
        components: list[Component] = [each for calendar in calendars for each in calendar.walk("VEVENT")]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise Unprocessable("This is no iCalendar file. Send what a calendar exports as .ics, in UTF-8.") from error
    if len(components) > MOST_EVENTS:
        raise Unprocessable(f"A calendar may hold at most {MOST_EVENTS} events. Export a shorter span.")
    return components


def _uid(component: Component) -> str:
    return str(component.get("UID", ""))


def _name(component: Component) -> str:
    summary = component.get("SUMMARY", "")
    text = str(summary[0] if isinstance(summary, list) else summary)
    return " ".join(text.split())[:LONGEST_NAME] or "event"


def _is_cancelled(component: Component) -> bool:
    return str(component.get("STATUS", "")).upper() == "CANCELLED"


@dataclass(frozen=True)
class _Apart:
    """An occurrence that is described apart, moved or cancelled, alone or with all that follow it."""

    at: date
    and_following: bool


@dataclass(frozen=True)
class _Reader:
    """Reads the events of one file. usual: zone of times that name none."""

    usual: ZoneInfo
    zones: Zones

    def described_apart(self, components: Iterable[Component]) -> Mapping[str, Sequence[_Apart]]:
        """Occurrences that are described apart, by the id of their event."""
        found: dict[str, list[_Apart]] = {}
        for component in components:
            try:
                at = self._only(component, "RECURRENCE-ID")
            except RecurrenceError:
                continue  # refused where it is read
            if at is not None:
                found.setdefault(_uid(component), []).append(_Apart(at, _goes_on(component)))
        return found

    def read(self, component: Component, apart: Sequence[_Apart]) -> list[CalendarEvent]:
        """A component: an event, with further ones for its occurrences of another length. Raises RecurrenceError."""
        start = self._only(component, "DTSTART")
        if start is None:
            raise RecurrenceError("It has no start. Give it one in the calendar.")
        zone = (start.tzinfo if isinstance(start, datetime) else None) or self.usual
        first, last = (each.astimezone(UTC) for each in (_aware(start, zone), self._end(component, start, zone)))
        _refuse_no_time(first, last)
        one = CalendarEvent(_uid(component), _name(component), Recurring(first, last, getattr(zone, "key", "UTC")))
        is_whole_day = not isinstance(start, datetime)
        at = self._only(component, "RECURRENCE-ID")
        if at is None:
            events = self._recurring(component, one, zone, apart, is_whole_day=is_whole_day)
        elif _goes_on(component) and ("RRULE" in component or "RDATE" in component):
            itself = _further(one, _aware(at, zone), first, last)
            events = self._recurring(component, itself, zone, (), is_whole_day=is_whole_day)
        elif _goes_on(component):
            raise RecurrenceError(
                "It changes an occurrence and all that follow (RANGE=THISANDFUTURE), which is not followed: the event "
                "ends before it. Make it an event of its own in the calendar."
            )
        else:
            events = [_further(one, _aware(at, zone), first, last)]
        for each in events:
            check_possible(each.when)
        return events

    def _recurring(
        self, component: Component, one: CalendarEvent, zone: tzinfo, apart: Sequence[_Apart], *, is_whole_day: bool
    ) -> list[CalendarEvent]:
        rule = _rule(component)
        if rule is not None:
            read_rule(rule, local(one.when.start, zone), zone)
        lasts = one.when.end - one.when.start
        added = list(self._all(component, "RDATE"))
        spans = [
            (start, *_span(start, end, zone)) for start, end in (each for each in added if isinstance(each, tuple))
        ]
        periods = [(first, last) for _, first, last in spans if last - first != lasts]
        further = [each for each in added if not isinstance(each, tuple)]
        further += [start for start, first, last in spans if last - first == lasts]
        if not is_whole_day and not all(isinstance(each, datetime) for each in further):
            raise RecurrenceError("It is added on days (RDATE), but it has a time. Give the time in the calendar.")
        end = min((_local(each.at, zone, is_whole_day) for each in apart if each.and_following), default=FOR_EVER)
        also_on = [start for start in (_local(each, zone, is_whole_day) for each in further) if start < end]
        when = _up_to(replace(one.when, rrule=rule, also_on=also_on), zone, end)
        left_out = [*self._all(component, "EXDATE"), *(each.at for each in apart if not each.and_following)]
        when = replace(when, not_on=_left_out(when, zone, left_out, is_whole_day))
        longer = [
            _further(one, first, first, last)
            for first, last in periods
            if local(first, zone) < end and local(first, zone) not in when.not_on
        ]
        if end <= local(one.when.start, zone):
            return longer
        return [replace(one, when=when if isinstance(zone, ZoneInfo) else _laid_out(when, zone)), *longer]

    def _end(self, component: Component, start: date, zone: tzinfo) -> datetime:
        end = self._only(component, "DTEND")
        if end is not None and (end != start or isinstance(start, datetime)):
            return _aware(end, zone)
        lasts = self._only(component, "DURATION")
        if lasts is None:  # some calendars end a whole day on the day itself
            lasts = timedelta() if isinstance(start, datetime) else DAY
        return _after(_aware(start, zone), lasts)

    def _only(self, component: Component, name: str) -> Any:
        """The value of a property that may come once; None where it does not."""
        found = component.get(name)
        if found is None:
            return None
        if not hasattr(found, "params") or isinstance(found, list):
            raise RecurrenceError(f"It has several {name}. Leave one in the calendar.")
        try:
            return self._in_its_zone(found.dt, found)
        except (ValueError, AttributeError) as error:
            if isinstance(error, RecurrenceError):
                raise
            raise RecurrenceError(f"Its {name} can't be read. Give it anew in the calendar.") from error

    def _all(self, component: Component, name: str) -> Iterator[Any]:
        """The times of EXDATE or RDATE, which may come several times, and periods as pairs."""
        found = component.get(name)
        for part in found if isinstance(found, list) else [found] if found is not None else []:
            try:
                dates = [each.dt for each in part.dts]
            except (ValueError, AttributeError) as error:
                raise RecurrenceError(f"Its {name} can't be read. Give it anew in the calendar.") from error
            for each in dates:
                if isinstance(each, tuple):
                    yield tuple(self._in_its_zone(end, part) for end in each)
                else:
                    yield self._in_its_zone(each, part)

    def _in_its_zone(self, value: Any, part: Any) -> Any:
        zone = part.params.get(ZONE)
        return value.replace(tzinfo=self.zones.named(str(zone))) if zone and isinstance(value, datetime) else value


def _goes_on(component: Component) -> bool:
    return str(getattr(component.get("RECURRENCE-ID"), "params", {}).get("RANGE", "")).upper() == "THISANDFUTURE"


def _refuse_no_time(first: datetime, last: datetime) -> None:
    if last == first:
        raise RecurrenceError("It takes up no time, so it explains nothing. Give it an end in the calendar.")
    if last < first:
        raise RecurrenceError("It ends before it starts. Correct that in the calendar.")


def _rule(component: Component) -> str | None:
    if component.get("EXRULE") is not None:
        raise RecurrenceError("It leaves out times by a rule (EXRULE). Leave them out one by one in the calendar.")
    rules = component.rrules
    if len(rules) > 1:
        raise RecurrenceError("It recurs by several rules. Make an event of each in the calendar.")
    if not rules:
        return None
    return str(rules[0]) if isinstance(rules[0], str) else rules[0].to_ical().decode()  # as it stands, if misread


def _further(event: CalendarEvent, at: datetime, start: datetime, end: datetime) -> CalendarEvent:
    """An occurrence that is not as long, or not when, as the others: an event of its own, which takes place once."""
    uid = f"{event.uid}/{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    return replace(event, uid=uid, when=Recurring(start, end, event.when.timezone))


def _span(start: date, end: date | timedelta, zone: tzinfo) -> tuple[datetime, datetime]:
    first = _aware(start, zone)
    last = _after(first, end) if isinstance(end, timedelta) else _aware(end, zone)
    return first.astimezone(UTC), last.astimezone(UTC)


def _after(start: datetime, lasts: timedelta) -> datetime:
    """Days by the calendar, hours by the clock (RFC 5545, 3.3.6)."""
    return (start + timedelta(days=lasts.days)).astimezone(UTC) + timedelta(seconds=lasts.seconds)


def _aware(moment: date, zone: tzinfo) -> datetime:
    """A time in its zone; one without, and the midnight that begins a whole day, in the given one."""
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def _local(moment: date, zone: tzinfo, is_whole_day: bool) -> datetime:
    """By the clock of the event; of a whole day its midnight, which some calendars give in UTC, or call UTC."""
    is_midnight = is_whole_day and (not isinstance(moment, datetime) or moment.time() == time())
    found = datetime.combine(moment, time()) if is_midnight else local(_aware(moment, zone), zone)
    return datetime.combine(found, time()) if is_whole_day else found


def _left_out(when: Recurring, zone: tzinfo, times: Sequence[date], is_whole_day: bool) -> list[datetime]:
    """Local starts. Some calendars name only the day of an event that has a time."""
    days = {each for each in times if not isinstance(each, datetime)}
    if is_whole_day or not days:
        return [_local(each, zone, is_whole_day) for each in times]
    until = datetime.combine(max(days) + DAY, time())
    starts = islice(local_starts(when, zone, until), MOST_LOOKED_THROUGH)
    on_days = [start for start in starts if start.date() in days]
    return [*(_local(each, zone, False) for each in times if isinstance(each, datetime)), *on_days]


def _up_to(when: Recurring, zone: tzinfo, end: datetime) -> Recurring:
    """Without what begins then or later, by the clock of the zone."""
    if when.rrule is None or end == FOR_EVER:
        return when
    starts = islice(local_starts(when, zone), MOST_LOOKED_THROUGH)
    ends_itself = all(each < end for each in starts)
    return when if ends_itself else replace(when, rrule=ended_before(when.rrule, end, zone))


def _laid_out(when: Recurring, zone: tzinfo) -> Recurring:
    """Date by date, in UTC: the zone is none of the world's, only the file knows its rules."""
    if when.rrule and not has_end(when.rrule):
        raise RecurrenceError(
            "It recurs without an end in a time zone that shows the time of no place in the world. Choose one in the "
            "calendar, such as Europe/Berlin, or let it end."
        )
    starts = islice(local_starts(when, zone), MOST_OCCURRENCES)
    in_utc = {local(each.replace(tzinfo=zone), UTC) for each in starts}
    first = local(when.start, UTC)
    not_on = [] if first in in_utc else [first]
    return Recurring(when.start, when.end, also_on=sorted(in_utc - {first}), not_on=not_on)
