"""Events from an iCalendar file."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Unprocessable
from app.formats.ical import CalendarEvent, ReadCalendar, read_calendar
from feedback.recurrence import Occurrence, occurrences

NOW = datetime(2026, 3, 1, tzinfo=UTC)
UNTIL = datetime(2027, 1, 1, tzinfo=UTC)
ZONE = """BEGIN:VTIMEZONE
TZID:{name}
BEGIN:STANDARD
DTSTART:16010101T030000
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10
TZOFFSETFROM:{summer}
TZOFFSETTO:{winter}
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:16010101T020000
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3
TZOFFSETFROM:{winter}
TZOFFSETTO:{summer}
END:DAYLIGHT
END:VTIMEZONE
"""


def calendar(*events: str, zone: str = "") -> bytes:
    inside = "".join(f"BEGIN:VEVENT\n{event.strip()}\nEND:VEVENT\n" for event in events)
    return f"BEGIN:VCALENDAR\nVERSION:2.0\n{zone}{inside}END:VCALENDAR\n".encode()


def read(*events: str, zone: str = "") -> ReadCalendar:
    return read_calendar(calendar(*events, zone=zone), "Europe/Berlin", NOW)


def defined(name: str, winter: str, summer: str) -> str:
    return ZONE.format(name=name, winter=winter, summer=summer)


def events_of(*events: str, zone: str = "") -> list[CalendarEvent]:
    found = read(*events, zone=zone)
    assert found.rejected == []
    return found.events


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


def test_a_zone_that_a_file_calls_as_it_likes_is_the_one_of_the_world_that_shows_its_time() -> None:
    name = "(UTC+01:00) Amsterdam, Berlin, Bern"
    (event,) = events_of(
        f'UID:b\nDTSTART;TZID="{name}":20190320T090000\nDURATION:PT1H\nRRULE:FREQ=WEEKLY',
        zone=defined(name, "+0100", "+0200"),
    )
    assert (event.when.timezone, event.when.rrule) == ("Europe/Berlin", "FREQ=WEEKLY")
    (named,) = read_calendar(
        calendar(f'UID:b\nDTSTART;TZID="{name}":20260320T090000\nDURATION:PT1H', zone=defined(name, "+0100", "+0200")),
        "Asia/Tokyo",
        NOW,
    ).events
    assert named.when.timezone == "Europe/Berlin"
    (an_hour_early,) = events_of(
        "UID:b\nDTSTART;TZID=Western/Central Europe:20260320T090000\nDURATION:PT1H",
        zone=defined("Western/Central Europe", "+0100", "+0200").replace("T030000", "T020000"),
    )
    assert an_hour_early.when.timezone == "Europe/Berlin"
    (nepali,) = events_of(
        "UID:b\nDTSTART;TZID=Kathmandu:20260320T090000\nDURATION:PT1H", zone=defined("Kathmandu", "+0545", "+0545")
    )
    assert nepali.when.timezone == "Asia/Katmandu"


def test_a_zone_of_no_place_is_followed_over_clock_changes_while_the_event_ends() -> None:
    event = "UID:b\nSUMMARY:Stand-up\nDTSTART;TZID=Ours:20260320T090000\nDURATION:PT1H\nRRULE:FREQ=WEEKLY"
    first_left_out = "\nEXDATE;TZID=Ours:20260320T090000"
    zone = defined("Ours", "+0330", "+0430")
    (ended,) = events_of(f"{event};UNTIL=20260403T235959Z", zone=zone)
    assert starts(ended) == ["03-20 05:30", "03-27 05:30", "04-03 04:30"]
    (later,) = events_of(f"{event};COUNT=3{first_left_out}", zone=zone)
    assert starts(later) == ["03-27 05:30", "04-03 04:30"]
    (refused,) = read(event, zone=zone).rejected
    assert (refused.name, "without an end in a time zone" in refused.reason) == ("Stand-up", True)


def test_a_zone_is_what_its_own_file_says() -> None:
    event = "UID:b\nDTSTART;TZID=Mine:20260320T090000\nDURATION:PT1H"
    for offset, hour in (("+0330", "05:30"), ("+0545", "03:15")):
        (found,) = events_of(event, zone=defined("Mine", offset, offset))
        assert starts(found) == [f"03-20 {hour}"]


def test_a_zone_that_only_ends_like_one_of_the_world_is_what_its_file_says() -> None:
    (event,) = events_of(
        "UID:b\nDTSTART;TZID=Branch/Cuba:20260320T090000\nDURATION:PT1H", zone=defined("Branch/Cuba", "+0100", "+0200")
    )
    assert starts(event) == ["03-20 08:00"]


def test_a_zone_by_a_maker_s_name_is_the_one_of_the_world() -> None:
    (event,) = events_of(
        "UID:b\nDTSTART;TZID=/freeassociation.sourceforge.net/America/Argentina/Buenos_Aires:20260701T090000\n"
        "DURATION:PT1H"
    )
    assert event.when.timezone == "America/Argentina/Buenos_Aires"


@pytest.mark.parametrize("name", ["Nowhere/Land", "Europe", "../../etc/passwd", "long" * 100, "Broken", "Restless"])
def test_an_event_in_a_zone_that_nobody_knows_is_refused_alone(name: str) -> None:
    event = f"UID:b\nSUMMARY:Sale\nDTSTART;TZID={name}:20260320T090000\nDURATION:PT1H"
    found = read(event, "UID:c\nDTSTART:20260701T090000Z\nDURATION:PT1H", zone=BROKEN_ZONES)
    assert [each.uid for each in found.events] == ["c"]
    assert [(each.name, each.reason[:13]) for each in found.rejected] == [("Sale", "Its time zone")]


BROKEN_ZONES = "BEGIN:VTIMEZONE\nTZID:Broken\nEND:VTIMEZONE\n" + defined("Restless", "+0100", "+0200").replace(
    "YEARLY;BYDAY=-1SU;BYMONTH=3", "SECONDLY"
)


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


def test_exceptions_that_name_only_the_day_leave_out_what_starts_on_it() -> None:
    timed, whole, midnight, utc = events_of(
        """UID:h
DTSTART;TZID=Europe/Berlin:20260706T090000
DURATION:PT1H
RRULE:FREQ=WEEKLY;COUNT=3
EXDATE;VALUE=DATE:20260713""",
        """UID:i
DTSTART;VALUE=DATE:20260706
RRULE:FREQ=WEEKLY;COUNT=3
EXDATE:20260713T000000Z""",
        """UID:j
DTSTART;VALUE=DATE:20260706
RRULE:FREQ=WEEKLY;COUNT=3
EXDATE:20260712T220000Z""",
        """UID:k
DTSTART;TZID=Europe/Berlin:20260706T090000
DURATION:PT1H
RRULE:FREQ=WEEKLY;COUNT=3
EXDATE:20260713T070000Z""",
    )
    assert starts(timed) == starts(utc) == ["07-06 07:00", "07-20 07:00"]
    assert starts(whole) == starts(midnight) == ["07-05 22:00", "07-19 22:00"]


WEEKLY = "UID:k\nSUMMARY:Sale\nDTSTART:20260706T090000Z\nDURATION:PT1H\nRRULE:FREQ=WEEKLY;COUNT=9"
FROM_THE_THIRD_ON = "UID:k\nRECURRENCE-ID;RANGE=THISANDFUTURE:20260720T090000Z"


def test_a_change_of_all_that_follow_is_refused_and_the_event_ends_before_it() -> None:
    found = read(WEEKLY, f"{FROM_THE_THIRD_ON}\nSUMMARY:Later sale\nDTSTART:20260721T100000Z\nDURATION:PT1H")
    assert [starts(each) for each in found.events] == [["07-06 09:00", "07-13 09:00"]]
    assert [(each.index, each.name) for each in found.rejected] == [(1, "Later sale")]
    assert "THISANDFUTURE" in found.rejected[0].reason


def test_what_is_cancelled_from_an_occurrence_on_ends_before_it() -> None:
    (event,) = events_of(WEEKLY, f"{FROM_THE_THIRD_ON}\nDTSTART:20260720T090000Z\nSTATUS:CANCELLED")
    assert starts(event) == ["07-06 09:00", "07-13 09:00"]
    whole = FROM_THE_THIRD_ON.replace("20260720", "20260706")
    assert events_of(WEEKLY, f"{whole}\nDTSTART:20260706T090000Z\nSTATUS:CANCELLED") == []
    past_its_end = FROM_THE_THIRD_ON.replace("2026", "2028")
    (event,) = events_of(WEEKLY, f"{past_its_end}\nDTSTART:20260720T090000Z\nSTATUS:CANCELLED")
    assert len(starts(event)) == 9


def test_a_change_of_all_that_follow_that_says_when_they_are_is_an_event_of_its_own() -> None:
    own = "\nDTSTART:20260721T100000Z\nDURATION:PT1H\nRRULE:FREQ=WEEKLY;COUNT=2"
    before, after = events_of(WEEKLY, FROM_THE_THIRD_ON + own)
    assert starts(before) == ["07-06 09:00", "07-13 09:00"]
    assert starts(after) == ["07-21 10:00", "07-28 10:00"]
    assert before.uid != after.uid


def test_a_further_occurrence_of_another_length_lasts_that_long() -> None:
    event, longer = events_of(
        """UID:l
DTSTART:20260701T090000Z
DURATION:PT1H
RDATE;VALUE=PERIOD:20260801T090000Z/PT3H,20260802T090000Z/20260802T100000Z"""
    )
    assert starts(event) == ["07-01 09:00", "08-02 09:00"]
    assert (longer.when.start.day, longer.when.end.hour) == (1, 12)


def test_a_whole_day_that_ends_on_itself_is_that_day() -> None:
    (day,) = events_of("UID:c\nDTSTART;VALUE=DATE:20260701\nDTEND;VALUE=DATE:20260701")
    assert day.when.end - day.when.start == timedelta(days=1)


def test_lines_are_folded_wherever_a_program_likes() -> None:
    (event,) = events_of("UID:t\nDTSTART;TZID=Europe\n /Berlin:20260706T0\n\n 90000\nDURATION\n\n :PT1H")
    assert starts(event) == ["07-06 07:00"]


def test_a_rule_with_spaces_is_one_without_them() -> None:
    (event,) = events_of("UID:q\nDTSTART:20260706T090000Z\nDURATION:PT1H\nRRULE:FREQ=WEEKLY;COUNT=3;BYDAY=MO, TU")
    assert starts(event) == ["07-06 09:00", "07-07 09:00", "07-13 09:00"]


def test_several_calendars_of_one_file_are_all_read() -> None:
    one, other = (calendar(f"UID:{uid}\nDTSTART:20260706T090000Z\nDURATION:PT1H") for uid in "rs")
    assert [each.uid for each in read_calendar(one + other, "UTC", NOW).events] == ["r", "s"]


def test_hours_of_a_duration_go_by_the_clock_and_days_by_the_calendar() -> None:
    hours, days, repeated = events_of(
        "UID:m\nDTSTART;TZID=Europe/Berlin:20261025T010000\nDURATION:PT3H",
        "UID:n\nDTSTART;TZID=Europe/Berlin:20261025T010000\nDURATION:P1D",
        "UID:o\nDTSTART;TZID=Europe/Berlin:20261025T023000\nDURATION:PT45M",
    )
    assert [f"{each.when.end:%d %H:%M}" for each in (hours, days, repeated)] == ["25 02:00", "26 00:00", "25 01:15"]


AN_HOUR = "DTSTART:20260701T090000Z\nDURATION:PT1H\n"


@pytest.mark.parametrize(
    ("event", "cure"),
    [
        ("DTSTART:20260701T090000Z", "Give it an end"),
        ("DTSTART:20260701T090000Z\nDTEND:20260701T080000Z", "ends before it starts"),
        ("DURATION:PT1H", "no start"),
        ("DTSTART:garbage", "Its DTSTART can't be read"),
        ("DTSTART:20260701T090000Z\nDTSTART:20260702T090000Z", "several DTSTART"),
        ("DTSTART:99991231T230000Z\nDURATION:PT30M", "too far away"),
        ("DTSTART:16010101T090000Z\nDURATION:PT1H", "too far away"),
        (AN_HOUR + "RRULE:FREQ=DAILY\nRRULE:FREQ=WEEKLY", "several rules"),
        (AN_HOUR + "RRULE:FREQ=DAILY\nEXRULE:FREQ=WEEKLY", "EXRULE"),
        (AN_HOUR + "RRULE:FREQ=HOURLY", "daily, weekly"),
        (AN_HOUR + "RRULE:FREQ=OFTEN", "RFC 5545"),
        (AN_HOUR + "RRULE:RSCALE=CHINESE;FREQ=YEARLY", "RFC 5545"),
        (AN_HOUR + "RRULE:FREQ=DAILY\nEXDATE;VALUE=DATE:2026", "Its EXDATE can't be read"),
        (AN_HOUR + "RDATE;VALUE=DATE:20260708", "Give the time"),
        (AN_HOUR + "RECURRENCE-ID:garbage", "Its RECURRENCE-ID can't be read"),
    ],
)
def test_an_event_that_cannot_be_is_refused_alone_by_its_name_with_the_cure(event: str, cure: str) -> None:
    found = read(f"UID:o\n{AN_HOUR}", f"UID:p\nSUMMARY:Call the\\n bank\n{event}")
    assert [each.uid for each in found.events] == ["o"]
    assert [(each.index, each.name) for each in found.rejected] == [(1, "Call the bank")]
    assert cure in found.rejected[0].reason


@given(st.binary(max_size=200))
def test_any_bytes_give_events_or_a_refusal(body: bytes) -> None:
    with contextlib.suppress(Unprocessable):
        assert len(read_calendar(body, "UTC", NOW).events) <= len(body)


def test_a_file_that_is_none_is_refused_with_the_cure() -> None:
    with pytest.raises(Unprocessable, match=r"exports as \.ics"):
        read_calendar(b"nonsense", "UTC", NOW)
