"""When an event takes place: once, or again and again by a rule in its own time zone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from heapq import merge
from itertools import islice
from zoneinfo import ZoneInfo

from dateutil.rrule import rrule, rrulestr

MOST_OCCURRENCES = 2_000
FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
EARLIEST_YEAR, LATEST_YEAR = 1_900, 3_000
"""Of the first start, so that what recurs is soon counted up to now; and, of what recurs, of the first end."""
TOO_FAR_AWAY = (
    f"The event is too far away. Let it start after {EARLIEST_YEAR - 1}, and end by {LATEST_YEAR} if it recurs."
)
DAY = timedelta(days=1)
FOR_EVER = datetime.combine(date.max, time.max)
TIME_OF_UNTIL = re.compile(r"\d{8}(T\d{6}Z?)?")


class RecurrenceError(ValueError):
    """An event that can't take place as it is said; the text says the cure."""


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


def occurrences(event: Recurring, until: datetime) -> list[Occurrence]:
    """Every time it takes place that begins before `until`, in order; of very many, the last ones."""
    zone = ZoneInfo(event.timezone)
    first, last = local(event.start, zone), local(event.end, zone)
    begins_first, ends_first = (each.astimezone(UTC) for each in (event.start, event.end))
    exactly = ends_first - begins_first
    lasts = last - first if last > first else exactly

    def at(start: datetime) -> Occurrence:
        if start == first:  # an hour that the clock shows twice names no moment: these two do
            return Occurrence(begins_first, ends_first)
        begins, ends = (each.replace(tzinfo=zone).astimezone(UTC) for each in (start, start + lasts))
        return Occurrence(begins, ends if ends > begins else begins + exactly)

    found = {at(start) for start in local_starts(event, zone, local(until + DAY, zone))}
    return sorted((each for each in found if each.start < until), key=lambda each: each.start)[-MOST_OCCURRENCES:]


def local_starts(event: Recurring, zone: tzinfo, until: datetime = FOR_EVER) -> Iterator[datetime]:
    """By the clock of a zone, in order, before a local `until`; those that are left out apart. Some come twice."""
    left_out = {*event.not_on}
    for start in merge(_starts_by_rule(event, zone), sorted(event.also_on)):
        if start >= until:
            return
        if start not in left_out:
            yield start


def _starts_by_rule(event: Recurring, zone: tzinfo) -> Iterator[datetime]:
    """The first start always counts as the first of COUNT, whether the rule has it or not (RFC 5545, 3.3.10)."""
    first = local(event.start, zone)
    if event.rrule is None:
        return iter((first,))
    rule = read_rule(event.rrule, first, zone)
    count = _parts(event.rrule, zone).get("COUNT")
    by_rule = iter(rule) if next(iter(rule)) == first else merge((first,), rule)
    return islice(by_rule, int(count)) if count else by_rule


def local(moment: datetime, zone: tzinfo) -> datetime:
    """What the clock on the wall shows there."""
    return moment.astimezone(zone).replace(tzinfo=None)


def read_rule(text: str, start: datetime, zone: tzinfo = UTC) -> rrule:
    """The rule from a local start in a zone on. Raises RecurrenceError where it is none, or one that never comes."""
    parts = _parts(text, zone)
    if "UNTIL" in parts and "COUNT" in parts:
        raise RecurrenceError("A rule ends by COUNT or by UNTIL. Send one of them.")
    try:
        rule = rrulestr(_written(parts), dtstart=start)
    except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        raise RecurrenceError(
            "The rule is not one of RFC 5545. Send one like FREQ=MONTHLY;BYDAY=1MO or FREQ=WEEKLY;COUNT=10."
        ) from error
    if not isinstance(rule, rrule):
        raise RecurrenceError("Send one rule alone, without dates beside it.")
    if parts["FREQ"] not in FREQUENCIES:
        raise RecurrenceError("An event recurs daily, weekly, monthly or yearly. Send such a FREQ.")
    if next(iter(rule), None) is None:
        raise RecurrenceError("This rule never comes to pass. Check BYMONTH, BYMONTHDAY and UNTIL.")
    return rule


def has_end(rule: str) -> bool:
    """Whether it says when it ends, or after how many times."""
    return not _parts(rule, UTC).keys().isdisjoint({"COUNT", "UNTIL"})


def ended_before(rule: str, end: datetime, zone: tzinfo) -> str:
    """The rule, ended before a local time by which it has not ended yet."""
    parts = _parts(rule, zone) | {"UNTIL": f"{end - timedelta(seconds=1):%Y%m%dT%H%M%S}"}
    return _written({name: value for name, value in parts.items() if name != "COUNT"})


def _written(parts: Mapping[str, str]) -> str:
    return ";".join(f"{name}={value}" for name, value in parts.items())


def _parts(text: str, zone: tzinfo) -> dict[str, str]:
    """The parts of a rule by name, UNTIL as a local time."""
    pairs = [part.partition("=") for part in text.upper().replace(" ", "").removeprefix("RRULE:").split(";")]
    parts = {name: value for name, _, value in pairs}
    if len(parts) < len(pairs):
        raise RecurrenceError("The rule says something twice. Send each part of it once.")
    if "UNTIL" in parts:
        parts["UNTIL"] = _local_until(parts["UNTIL"], zone)
    return parts


def _local_until(until: str, zone: tzinfo) -> str:
    """UNTIL comes in UTC beside a start with a zone, or as the last day (RFC 5545, 3.3.10); local starts compare with a
    local time."""
    try:
        if TIME_OF_UNTIL.fullmatch(until) is None:
            raise ValueError
        moment = datetime.fromisoformat(until)
    except ValueError:
        raise RecurrenceError("UNTIL must be a day or a time, like 20270101 or 20270101T000000Z.") from None
    if "T" not in until:
        moment += timedelta(hours=23, minutes=59, seconds=59)
    return f"{local(moment, zone) if moment.tzinfo else moment:%Y%m%dT%H%M%S}"


def check_possible(event: Recurring) -> None:
    """Refuse what can't take place. Raises RecurrenceError."""
    if event.end.astimezone(UTC) <= event.start.astimezone(UTC):
        raise RecurrenceError("The event ends before it starts. Send `start` before `end`.")
    try:
        occurrences(event, event.start + DAY)
        recurs = event.rrule is not None or bool(event.also_on)
        is_too_far = event.start.year < EARLIEST_YEAR or (recurs and event.end.year > LATEST_YEAR)
    except OverflowError:
        is_too_far = True
    if is_too_far:
        raise RecurrenceError(TOO_FAR_AWAY)


def check_start_by_rule(event: Recurring) -> None:
    """Refuse a start that its rule does not have: RFC 5545 leaves open what is meant. Raises RecurrenceError."""
    if event.rrule is None:
        return
    zone = ZoneInfo(event.timezone)
    first = local(event.start, zone)
    following = next(iter(read_rule(event.rrule, first, zone)))
    if following != first:
        raise RecurrenceError(
            f"The rule does not have this start; its next one is {following.replace(tzinfo=zone).isoformat()}. "
            "Send that as `start`, and what takes place before it as an event of its own."
        )
