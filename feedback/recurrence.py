"""When an event takes place: once, or again and again by a rule in its own time zone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from dateutil.rrule import rrule, rruleset, rrulestr

MOST_OCCURRENCES = 2_000
FREQUENCIES = {f"FREQ={each}" for each in ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")}


class RecurrenceError(ValueError):
    """A recurrence rule that can't be followed; the text says the cure."""


@dataclass(frozen=True)
class Recurring:
    """When an event takes place. Local times count in its zone, so that 9 o'clock stays 9 o'clock over clock changes.

    start, end: of the first occurrence, aware; each occurrence lasts as long, by the clock on the wall. rrule: RFC 5545
    without its name, such as FREQ=MONTHLY;BYDAY=1MO. also_on, not_on: local starts that are added and left out.
    """

    start: datetime
    end: datetime
    timezone: str = "UTC"
    rrule: str | None = None
    also_on: Sequence[datetime] = ()
    not_on: Sequence[datetime] = ()


@dataclass(frozen=True)
class Occurrence:
    """One time that an event takes place, from start until before end, aware in UTC."""

    start: datetime
    end: datetime


def read_rule(text: str, start: datetime) -> rrule:
    """The rule from a local start on. Raises RecurrenceError where it is none, or one that never comes."""
    try:
        rule = rrulestr(text.removeprefix("RRULE:"), dtstart=start)
    except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        raise RecurrenceError(
            "The rule is not one of RFC 5545. Send one like FREQ=MONTHLY;BYDAY=1MO or FREQ=WEEKLY;COUNT=10."
        ) from error
    if not isinstance(rule, rrule):
        raise RecurrenceError("Send one rule alone, without dates beside it.")
    if not FREQUENCIES & set(text.upper().replace("RRULE:", "").split(";")):
        raise RecurrenceError("An event recurs daily, weekly, monthly or yearly. Send such a FREQ.")
    if next(iter(rule), None) is None:
        raise RecurrenceError("This rule never comes to pass. Check BYMONTH, BYMONTHDAY and UNTIL.")
    return rule


def occurrences(event: Recurring, until: datetime) -> list[Occurrence]:
    """Every time it takes place that begins before `until`, in order; of very many, the last ones."""
    zone = ZoneInfo(event.timezone)
    first, last = (each.astimezone(zone).replace(tzinfo=None) for each in (event.start, event.end))
    lasts = last - first
    found = [_Local(start, start + lasts).occurrence(zone) for start in _starts(event, first, until)]
    return sorted(set(found), key=lambda each: each.start)[-MOST_OCCURRENCES:]


def _starts(event: Recurring, first: datetime, until: datetime) -> Iterator[datetime]:
    """Local starts, those that are left out apart."""
    rules = rruleset()
    rules.rdate(first)
    if event.rrule:
        rules.rrule(read_rule(with_local_until(event.rrule, ZoneInfo(event.timezone)), first))
    for also in event.also_on:
        rules.rdate(also)
    for left_out in event.not_on:
        rules.exdate(left_out)
    end = until.astimezone(ZoneInfo(event.timezone)).replace(tzinfo=None)
    for start in rules:
        if start >= end:
            return
        yield start


def with_local_until(rule: str, zone: tzinfo) -> str:
    """UNTIL comes in UTC beside a start with a zone (RFC 5545, 3.3.10); local starts compare with a local one."""
    parts = []
    for part in rule.removeprefix("RRULE:").split(";"):
        name, _, value = part.partition("=")
        if name.upper() == "UNTIL" and value.upper().endswith("Z"):
            try:
                moment = datetime.strptime(value.upper(), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            except ValueError:
                raise RecurrenceError("UNTIL must be a time like 20270101T000000Z.") from None
            part = f"UNTIL={moment.astimezone(zone):%Y%m%dT%H%M%S}"
        parts.append(part)
    return ";".join(parts)


@dataclass(frozen=True)
class _Local:
    """An occurrence by the clock on the wall."""

    start: datetime
    end: datetime

    def occurrence(self, zone: ZoneInfo) -> Occurrence:
        start, end = (each.replace(tzinfo=zone).astimezone(UTC) for each in (self.start, self.end))
        return Occurrence(start, max(end, start + timedelta(seconds=1)))
