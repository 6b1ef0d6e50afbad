"""When events take place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from feedback.recurrence import RecurrenceError, Recurring, occurrences, read_rule

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


@pytest.mark.parametrize(
    ("rule", "cure"),
    [
        ("every monday", "RFC 5545"),
        ("FREQ=HOURLY", "daily, weekly"),
        ("FREQ=SECONDLY", "daily, weekly"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "never comes"),
        ("FREQ=DAILY;BYDAY=XX", "RFC 5545"),
        ("", "RFC 5545"),
        ("FREQ=DAILY\nEXDATE:20260101T000000", "RFC 5545|one rule alone"),
    ],
)
def test_a_rule_that_cannot_be_followed_is_refused_with_the_cure(rule: str, cure: str) -> None:
    with pytest.raises(RecurrenceError, match=cure):
        read_rule(rule, datetime.fromisoformat("2026-01-05T09:00"))
