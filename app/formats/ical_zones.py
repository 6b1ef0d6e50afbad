"""Time zones as calendars name them: those of the world and of Windows, and those that a file defines itself."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from operator import itemgetter
from typing import Any
from zoneinfo import ZoneInfo

from icalendar import Timezone
from icalendar.cal import Component
from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

from detectors.calendar import zone_names
from feedback.recurrence import RecurrenceError

OF_A_TIME = re.compile(
    rb"^((?:DTSTART|DTEND|RECURRENCE-ID|EXDATE|RDATE);(?:[^:\r\n]*;)?)TZID=", re.IGNORECASE | re.MULTILINE
)
FOLD = re.compile(rb"(?:(?<!\n)\r\n|(?<![\r\n])\n)(?:\r?\n)*[ \t]")
NEWLINE = re.compile(rb"\r?\n")
ZONE = "X-ZONE"
MINUTE, HALF_DAY, DAY, YEAR = timedelta(minutes=1), timedelta(hours=12), timedelta(days=1), timedelta(days=365)
YEARS_COMPARED = (-1, 3)
"""From and to, counted from now, in which a zone of the world must show the same time as one that a file defines."""
MOST_DEFINED = 100


@dataclass(frozen=True)
class _Defined:
    """A zone as a file defines it. changes: moments at which its clock changes, ascending, with what it shows then."""

    zone: tzinfo
    changes: list[tuple[datetime, timedelta]]

    def shows(self, moment: datetime) -> timedelta:
        """Its offset; before the first change, that after it."""
        return self.changes[max(0, bisect_right(self.changes, moment, key=itemgetter(0)) - 1)][1]


class Zones:
    """The zones of one file, by name."""

    def __init__(self, definitions: Sequence[bytes], usual: ZoneInfo, now: datetime) -> None:
        """usual: preferred of the zones of the world that show the same time; then those of places in the name."""
        self._defined = _defined(definitions)
        self._usual = usual
        self._now = now
        self._known: dict[str, tzinfo] = {}

    def named(self, name: str) -> tzinfo:
        """A zone of the world wherever there is one. Raises RecurrenceError where the file does not say what it is."""
        if name not in self._known:
            self._known[name] = _of_the_world(name) or self._own(name)
        return self._known[name]

    def _own(self, name: str) -> tzinfo:
        defined = self._defined.get(name)
        if defined is None:
            raise RecurrenceError(
                "Its time zone is none of the world's, and the file does not define it. Choose one in the calendar, "
                "such as Europe/Berlin."
            )
        named_first = sorted(WINDOWS_TO_OLSON.values(), key=lambda each: each.rpartition("/")[2] not in name)
        candidates = [self._usual, *map(ZoneInfo, named_first)]
        return _same_time(defined, candidates, self._now) or defined.zone


def without_zones(body: bytes) -> tuple[bytes, list[bytes]]:
    """A calendar whose times name their zones by ZONE, and the definitions of zones that it had.

    The library would look the names up as files, and keep the first definition of each for every calendar to come.
    """
    rest: list[bytes] = []
    definitions: list[list[bytes]] = []
    lines = rest
    for line in NEWLINE.split(FOLD.sub(b"", body)):
        if line.upper() == b"BEGIN:VTIMEZONE":
            definitions.append(lines := [])
        lines.append(line)
        if line.upper() == b"END:VTIMEZONE":
            lines = rest
    return OF_A_TIME.sub(rb"\1" + ZONE.encode() + b"=", b"\n".join(rest)), [b"\n".join(each) for each in definitions]


def _defined(definitions: Sequence[bytes]) -> Mapping[str, _Defined]:
    """Zones by name. One that can't be read is left out."""
    found: dict[str, _Defined] = {}
    for definition in definitions[:MOST_DEFINED]:
        try:
            zone = Timezone.from_ical(definition)
            if isinstance(zone, Timezone) and all(map(_is_yearly, zone.subcomponents)):
                times, shown = zone.get_transitions()
                changes = [(time.replace(tzinfo=UTC), offset) for time, (offset, *_) in zip(times, shown, strict=True)]
                found[str(zone["TZID"])] = _Defined(zone.to_tz(lookup_tzid=False), changes)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError):
            continue
    return found


def _is_yearly(changes: Component) -> bool:
    """To follow any other rule for centuries takes for ever."""
    rules: list[Any] = getattr(changes, "rrules", [])
    return all(rule["FREQ"] == ["YEARLY"] for rule in rules)


def _of_the_world(name: str) -> ZoneInfo | None:
    """By its name, that of Windows, or behind a maker's prefix: /freeassociation.sourceforge.net/Europe/Berlin."""
    parts = name.split("/") if name.startswith("/") else []
    for known in (name, WINDOWS_TO_OLSON.get(name, ""), *("/".join(parts[count:]) for count in range(1, len(parts)))):
        if known in zone_names():
            return ZoneInfo(known)
    return None


def _same_time(defined: _Defined, candidates: Sequence[ZoneInfo], now: datetime) -> ZoneInfo | None:
    """The first that shows the same time these years, or does but for some hours around the changes of its clock.

    Calendars call the zones of the world what they like, and some mistake the hour of the change.
    """
    for around in (MINUTE, HALF_DAY):
        shown = [(moment, defined.shows(moment)) for moment in _telling(defined, now, around)]
        for candidate in candidates:
            if all(moment.astimezone(candidate).utcoffset() == offset for moment, offset in shown):
                return candidate
    return None


def _telling(defined: _Defined, now: datetime, around: timedelta) -> Iterator[datetime]:
    """Each tenth day, and so long before and after each change of the clock."""
    start, end = (now + years * YEAR for years in YEARS_COMPARED)
    changes = [change for change, _ in defined.changes if start < change < end]
    yield from (moment for change in changes for moment in (change - around, change + around))
    for day in (start + days * DAY for days in range(0, (end - start).days, 10)):
        if all(abs(day - change) >= around for change in changes):
            yield day
