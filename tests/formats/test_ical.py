"""Events from an iCalendar file."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Unprocessable
from app.formats.ical import CalendarEvent, read_calendar
from feedback.recurrence import Occurrence, occurrences

UNTIL = datetime(2027, 1, 1, tzinfo=UTC)
OUR_ZONE = """BEGIN:VTIMEZONE
TZID:Our Zone
BEGIN:STANDARD
DTSTART:19701025T030000
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:19700329T020000
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
END:DAYLIGHT
END:VTIMEZONE
"""


def events_of(*events: str, zone: str = "") -> list[CalendarEvent]:
    inside = "".join(f"BEGIN:VEVENT\n{event.strip()}\nEND:VEVENT\n" for event in events)
    read = read_calendar(f"BEGIN:VCALENDAR\nVERSION:2.0\n{zone}{inside}END:VCALENDAR\n".encode(), "Europe/Berlin")
    assert read.rejected == []
    return read.events


def starts(event: CalendarEvent) -> list[str]:
    return [f"{each.start:%m-%d %H:%M}" for each in occurrences(event.when, UNTIL)]


def test_exceptions_additions_and_moved_occurrences_are_followed() -> None:
    weekly, moved = events_of(
        """UID:a
SUMMARY:Weekly  sale
DTSTART;TZID=Europe/Berlin:20260316T090000
DTEND;TZID=Europe/Berlin:20260316T110000
RRULE:FREQ=WEEKLY;COUNT=4
EXDATE;TZID=Europe/Berlin:20260323T090000
RDATE;TZID=Europe/Berlin:20260318T090000""",
        """UID:a
RECURRENCE-ID;TZID=Europe/Berlin:20260406T090000
DTSTART;TZID=Europe/Berlin:20260407T120000
DURATION:PT1H""",
    )
    assert weekly.name == "Weekly sale"
    assert starts(weekly) == ["03-16 08:00", "03-18 08:00", "03-30 07:00"]
    assert starts(moved) == ["04-07 10:00"]
    assert moved.uid != weekly.uid


def test_a_zone_that_the_file_defines_itself_is_followed_over_clock_changes() -> None:
    (event,) = events_of(
        """UID:b
DTSTART;TZID=Our Zone:20260320T090000
DTEND;TZID=Our Zone:20260320T100000
RRULE:FREQ=WEEKLY;UNTIL=20260403T235959Z""",
        zone=OUR_ZONE,
    )
    assert starts(event) == ["03-20 08:00", "03-27 08:00", "04-03 07:00"]


def test_an_all_day_event_is_the_whole_local_day() -> None:
    single, longer = events_of(
        "UID:c\nDTSTART;VALUE=DATE:20260329", "UID:d\nDTSTART;VALUE=DATE:20261224\nDTEND;VALUE=DATE:20261227"
    )
    (short_day,) = occurrences(single.when, UNTIL)
    assert short_day.end - short_day.start == timedelta(hours=23)
    assert occurrences(longer.when, UNTIL) == [
        Occurrence(datetime(2026, 12, 23, 23, tzinfo=UTC), datetime(2026, 12, 26, 23, tzinfo=UTC))
    ]


def test_times_of_no_zone_are_local_and_those_of_windows_are_known() -> None:
    floating, windows = events_of(
        "UID:e\nDTSTART:20260701T090000\nDURATION:PT1H",
        "UID:f\nDTSTART;TZID=W. Europe Standard Time:20260701T090000\nDURATION:PT1H",
    )
    assert starts(floating) == starts(windows) == ["07-01 07:00"]


def test_a_cancelled_event_does_not_happen() -> None:
    assert events_of("UID:g\nSTATUS:CANCELLED\nDTSTART:20260701T090000\nDURATION:PT1H") == []


def test_an_event_that_cannot_be_read_is_refused_alone() -> None:
    body = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:garbage\nEND:VEVENT\nBEGIN:VEVENT\nDTSTART:20260701T090000Z\n"
    read = read_calendar(f"{body}END:VEVENT\nEND:VCALENDAR\n".encode(), "UTC")
    assert ([each.index for each in read.rejected], len(read.events)) == ([0], 1)


@given(st.binary(max_size=200))
def test_any_bytes_give_events_or_a_refusal(body: bytes) -> None:
    with contextlib.suppress(Unprocessable):
        assert len(read_calendar(body, "UTC").events) <= len(body)


def test_a_file_that_is_none_is_refused_with_the_cure() -> None:
    with pytest.raises(Unprocessable, match=r"exports as \.ics"):
        read_calendar(b"nonsense", "UTC")
