"""When events take place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from feedback.recurrence import (
    Occurrence,
    RecurrenceError,
    Recurring,
    check_possible,
    check_start_by_rule,
    occurrences,
    read_rule,
)

BERLIN = ZoneInfo("Europe/Berlin")


def berlin(month: int, day: int, hour: int = 9, year: int = 2026) -> datetime:
    return datetime(year, month, day, hour, tzinfo=BERLIN)


def test_nine_o_clock_stays_nine_o_clock_over_a_clock_change() -> None:
    weekly = Recurring(berlin(3, 23), berlin(3, 23, 11), "Europe/Berlin", "FREQ=WEEKLY")
    found = occurrences(weekly, berlin(4, 1))
    assert [each.start.astimezone(BERLIN).hour for each in found] == [9, 9]
    assert [each.start.hour for each in found] == [8, 7]
    assert {each.end - each.start for each in found} == {timedelta(hours=2)}


def test_the_first_monday_of_each_month() -> None:
    monthly = Recurring(berlin(1, 5), berlin(1, 5, 18), "Europe/Berlin", "FREQ=MONTHLY;BYDAY=1MO")
    found = occurrences(monthly, berlin(5, 1))
    assert [(each.start.month, each.start.day) for each in found] == [(1, 5), (2, 2), (3, 2), (4, 6)]


def test_dates_are_added_and_left_out() -> None:
    daily = Recurring(
        berlin(6, 1),
        berlin(6, 1, 10),
        "Europe/Berlin",
        "FREQ=DAILY;COUNT=3",
        also_on=[datetime.fromisoformat("2026-06-09T09:00")],
        not_on=[datetime.fromisoformat("2026-06-02T09:00")],
    )
    assert [each.start.day for each in occurrences(daily, berlin(7, 1))] == [1, 3, 9]


def test_a_rule_ends_at_its_until_in_any_zone() -> None:
    rule = "FREQ=DAILY;UNTIL=20260603T070000Z"
    daily = Recurring(berlin(6, 1), berlin(6, 1, 10), "Europe/Berlin", rule)
    assert [each.start.day for each in occurrences(daily, berlin(7, 1))] == [1, 2, 3]


def test_what_happens_once_happens_once() -> None:
    once = Recurring(berlin(6, 1), berlin(6, 3))
    (only,) = occurrences(once, berlin(7, 1))
    assert (only.start, only.end) == (berlin(6, 1).astimezone(UTC), berlin(6, 3).astimezone(UTC))
    assert occurrences(once, berlin(6, 1)) == []


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (utc(2026, 10, 24, 23, 30), utc(2026, 10, 25, 1, 15)),
        (utc(2026, 10, 25, 0, 30), utc(2026, 10, 25, 1, 15)),
        (utc(2026, 10, 25, 1, 15), utc(2026, 10, 25, 3)),
    ],
)
@pytest.mark.parametrize("rule", [None, "FREQ=WEEKLY"])
def test_an_event_in_the_hour_that_autumn_repeats_is_when_it_was_said(
    start: datetime, end: datetime, rule: str | None
) -> None:
    event = Recurring(start, end, "Europe/Berlin", rule)
    assert occurrences(event, utc(2026, 10, 26)) == [Occurrence(start, end)]


def test_an_event_of_the_night_lasts_as_long_as_ever_where_the_clock_would_have_it_last_nothing() -> None:
    nightly = Recurring(utc(2026, 10, 25, 0, 30), utc(2026, 10, 25, 1, 15), "Europe/Berlin", "FREQ=DAILY")
    later = occurrences(nightly, utc(2027, 4, 1))
    assert {each.end - each.start for each in later} == {timedelta(minutes=45)}
    spring = Recurring(utc(2026, 3, 28, 1, 30), utc(2026, 3, 28, 2, 30), "Europe/Berlin", "FREQ=DAILY")
    assert [str(each.start)[:16] for each in occurrences(spring, utc(2026, 3, 31))] == [
        "2026-03-28 01:30",
        "2026-03-29 01:30",  # half past two, which that night does not have: the clock shows half past three
        "2026-03-30 00:30",
    ]
    assert {each.end - each.start for each in occurrences(spring, utc(2026, 3, 31))} == {timedelta(hours=1)}


def test_the_first_start_counts_among_the_rule_s_number_of_times_even_where_the_rule_does_not_have_it() -> None:
    mondays = Recurring(berlin(6, 2), berlin(6, 2, 10), "Europe/Berlin", "FREQ=WEEKLY;BYDAY=MO;COUNT=2")
    assert [each.start.day for each in occurrences(mondays, berlin(8, 1))] == [2, 8]
    with pytest.raises(RecurrenceError, match=r"next one is 2026-06-08T09:00:00\+02:00"):
        check_start_by_rule(mondays)
    tuesdays = Recurring(berlin(6, 2), berlin(6, 2, 10), "Europe/Berlin", "FREQ=WEEKLY;BYDAY=TU;COUNT=2")
    assert [each.start.day for each in occurrences(tuesdays, berlin(8, 1))] == [2, 9]
    check_start_by_rule(tuesdays)


def test_a_day_as_until_is_the_last_day_of_the_rule() -> None:
    daily = Recurring(berlin(3, 7), berlin(3, 7, 10), "Europe/Berlin", "FREQ=DAILY;UNTIL=20260309")
    assert [each.start.day for each in occurrences(daily, berlin(4, 1))] == [7, 8, 9]


def test_what_recurs_and_ends_too_far_away_is_refused() -> None:
    for event in (
        Recurring(berlin(1, 5), utc(9999, 1, 1), rrule="FREQ=MONTHLY"),
        Recurring(utc(9999, 12, 31, 22), utc(9999, 12, 31, 23)),
    ):
        with pytest.raises(RecurrenceError, match="too far away"):
            check_possible(event)


@pytest.mark.parametrize(
    ("rule", "cure"),
    [
        ("every monday", "RFC 5545"),
        ("FREQ=HOURLY", "daily, weekly"),
        ("FREQ=SECONDLY", "daily, weekly"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "never comes"),
        ("FREQ=DAILY;BYDAY=XX", "RFC 5545"),
        ("", "RFC 5545"),
        ("FREQ=DAILY;UNTIL=2026", "like 20270101"),
        ("FREQ=DAILY;UNTIL=20260230", "like 20270101"),
        ("FREQ=DAILY;UNTIL=20270101;COUNT=3", "one of them"),
        ("FREQ=DAILY;BYDAY=MO;BYDAY=TU", "each part of it once"),
        ("FREQ=DAILY\nEXDATE:20260101T000000", "RFC 5545|one rule alone"),
    ],
)
def test_a_rule_that_cannot_be_followed_is_refused_with_the_cure(rule: str, cure: str) -> None:
    with pytest.raises(RecurrenceError, match=cure):
        read_rule(rule, datetime.fromisoformat("2026-01-05T09:00"))
