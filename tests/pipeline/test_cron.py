"""When a cron is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.errors import Unprocessable
from app.pipeline.cron import Cron

START = datetime(2026, 10, 23, 12, tzinfo=UTC)  # a Friday; in Berlin the clocks go back two nights later


def next_ones(text: str, count: int, *, zone: str = "Europe/Berlin", start: datetime = START) -> list[str]:
    cron, moment, found = Cron(text, zone, now=start), start, []
    for _ in range(count):
        moment = cron.after(moment)
        found.append(f"{moment:%a %d %H:%M}")
    return found


def test_an_hour_that_is_repeated_is_due_once_and_one_that_is_left_out_is_made_up_for() -> None:
    assert next_ones("30 2 * * *", 3) == ["Sat 24 00:30", "Sun 25 00:30", "Mon 26 01:30"]
    spring = datetime(2026, 3, 28, 12, tzinfo=UTC)
    assert next_ones("30 2 * * *", 2, start=spring) == ["Sun 29 01:30", "Mon 30 00:30"]


def test_what_is_due_every_hour_is_due_in_the_repeated_one_too() -> None:
    night = datetime(2026, 10, 24, 23, 45, tzinfo=UTC)
    assert next_ones("0 * * * *", 3, start=night) == ["Sun 25 00:00", "Sun 25 01:00", "Sun 25 02:00"]


@pytest.mark.parametrize(
    ("weekday", "days"),
    [
        ("0", ["Sun"]),
        ("7", ["Sun"]),
        ("1-5", ["Mon", "Tue", "Wed", "Thu", "Fri"]),
        ("mon-fri", ["Mon", "Tue", "Wed", "Thu", "Fri"]),
        ("5,6", ["Fri", "Sat"]),
        ("*/3", ["Sun", "Wed", "Sat"]),
        ("sun", ["Sun"]),
    ],
)
def test_the_days_of_the_week_are_counted_as_cron_counts_them(weekday: str, days: list[str]) -> None:
    """From Sunday, which is both 0 and 7."""
    cron, moment, found = Cron(f"0 12 * * {weekday}", "UTC", now=START), START, set()
    while moment < START + timedelta(days=7):
        moment = cron.after(moment)
        found.add(f"{moment:%a}")
    assert found == set(days)


@pytest.mark.parametrize(
    "text",
    ["", "0 3 * *", "0 3 * * * *", "a b c d e", "0 24 * * *", "0 3 * * 8", "0 3 * * 1-", "0 3 30 2 *", "1 1 1 1 1"],
)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(Unprocessable):
        Cron(text, "UTC", now=START)
