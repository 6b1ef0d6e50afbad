"""When somebody is there to read an alert."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.alerts.hours import ActiveHours
from app.alerts.policy import read_settings

MONDAY_NOON = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "zone", "at", "active"),
    [
        ({"start": "08:00", "end": "18:00"}, "UTC", MONDAY_NOON, True),
        ({"start": "08:00", "end": "12:00"}, "UTC", MONDAY_NOON, False),
        ({"start": "08:00", "end": "12:30"}, "Europe/Berlin", MONDAY_NOON, False),
        ({"start": "08:00", "end": "18:00", "days": ["tue"]}, "UTC", MONDAY_NOON, False),
        ({"start": "22:00", "end": "06:00"}, "UTC", MONDAY_NOON.replace(hour=23), True),
        ({"start": "22:00", "end": "06:00", "days": ["sun"]}, "UTC", MONDAY_NOON.replace(hour=5), True),
        ({"start": "22:00", "end": "06:00", "days": ["mon"]}, "UTC", MONDAY_NOON.replace(hour=5), False),
        ({"start": "00:00", "end": "00:00"}, "UTC", MONDAY_NOON, True),
    ],
)
def test_active_hours_are_by_the_clocks_of_a_zone(
    hours: dict[str, object], zone: str, at: datetime, active: bool
) -> None:
    found = read_settings({"active_hours": hours}).active_hours
    assert found is not None
    assert found.hold(at, zone) is active


@pytest.mark.parametrize(
    ("hours", "zone", "begins"),
    [
        ({"start": "18:00", "end": "20:00"}, "UTC", datetime(2026, 11, 2, 18, tzinfo=UTC)),
        ({"start": "12:00", "end": "20:00"}, "UTC", datetime(2026, 11, 3, 12, tzinfo=UTC)),
        ({"start": "09:00", "end": "17:00"}, "Asia/Tokyo", datetime(2026, 11, 3, 0, tzinfo=UTC)),
        ({"start": "09:00", "end": "17:00"}, "Asia/Kolkata", datetime(2026, 11, 3, 3, 30, tzinfo=UTC)),
        ({"start": "08:00", "end": "18:00", "days": ["mon"]}, "UTC", datetime(2026, 11, 9, 8, tzinfo=UTC)),
    ],
)
def test_hours_begin_again_by_the_clocks_of_a_zone(hours: dict[str, object], zone: str, begins: datetime) -> None:
    found = read_settings({"active_hours": hours}).active_hours
    assert found is not None
    assert found.next_start(MONDAY_NOON, zone) == begins
    assert ActiveHours.read(found.json()) == found


def test_hours_that_a_change_of_the_clocks_skips_or_moves_begin_once_a_day() -> None:
    spring = datetime(2026, 3, 27, 12, tzinfo=UTC)
    starts = []
    for _ in range(3):
        spring = ActiveHours("02:30", "04:00").next_start(spring, "Europe/Berlin")
        starts.append(spring)
    assert [each.day for each in starts] == [28, 29, 30]


@pytest.mark.parametrize(
    "hours",
    [
        {"start": "8", "end": "18:00"},
        {"start": "08:00", "end": "24:00"},
        {"start": "08:00"},
        {"start": "08:00", "end": "09:00", "days": []},
    ],
)
def test_hours_that_are_none_are_refused(hours: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="active_hours"):
        read_settings({"active_hours": hours})
