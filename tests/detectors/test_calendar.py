"""Wall-clock time in a series' zone, over clock changes (guarantee 21)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pytest

from app.backtest import Recorded, replay
from detectors.calendar import (
    DAY,
    HOUR,
    WEEK,
    day_of_week,
    local_seconds,
    local_seconds_of_many,
    zone_changes,
)

ZONES = [
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Lisbon",
    "Atlantic/Azores",
    "Europe/Athens",
    "America/New_York",
    "America/Chicago",
    "America/Los_Angeles",
    "America/St_Johns",
    "America/Havana",
    "America/Santiago",
    "America/Sao_Paulo",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Asia/Beirut",
    "Asia/Jerusalem",
    "Asia/Kathmandu",
    "Australia/Sydney",
    "Australia/Lord_Howe",
    "Pacific/Auckland",
]


def _wall_clock(instant: int, zone: str) -> datetime:
    return datetime.fromtimestamp(instant, UTC).astimezone(ZoneInfo(zone))


@pytest.mark.parametrize("zone", ZONES)
def test_local_seconds_agree_with_the_zone_rules_around_every_change_of_a_year(zone: str) -> None:
    """Guarantee 21."""
    changes = [start for start in zone_changes(zone)[0].tolist() if 1_704_067_200 <= start < 1_767_225_600]
    probes = [1_720_000_000] + [start + shift for start in changes for shift in (-3601, -1, 0, 1, 1800, 3600, 7200)]
    local = local_seconds(np.array(probes), zone)
    for instant, seconds in zip(probes, local.tolist(), strict=True):
        wall = _wall_clock(instant, zone)
        assert datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None) == wall.replace(tzinfo=None)


def test_days_of_23_and_25_hours_have_the_hours_they_have() -> None:
    spring = np.arange(1_711_839_600, 1_711_839_600 + 23 * HOUR, HOUR)  # 31 March 2024 in Berlin
    assert (local_seconds(spring, "Europe/Berlin") // HOUR % 24).tolist() == [0, 1, *range(3, 24)]
    autumn = np.arange(1_729_980_000, 1_729_980_000 + 25 * HOUR, HOUR)  # 27 October 2024 in Berlin
    assert (local_seconds(autumn, "Europe/Berlin") // HOUR % 24).tolist() == [0, 1, 2, 2, *range(3, 24)]


def test_days_of_the_week_are_those_of_the_calendar() -> None:
    instants = [0, 951_782_400, 1_709_210_096, 4_000_000_000, -1]
    weekdays = [_wall_clock(instant, "UTC").weekday() for instant in instants]
    assert day_of_week(np.array(instants)).tolist() == weekdays


def test_each_instant_may_have_its_own_zone() -> None:
    instants = np.array([1_720_000_000] * 3)
    zones = ["Asia/Tokyo", "America/New_York"]
    local = local_seconds_of_many(instants, zones, np.array([0, 1, 0]))
    assert (local - instants).tolist() == [9 * HOUR, -4 * HOUR, 9 * HOUR]


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(ZoneInfoNotFoundError):
        local_seconds(np.array([0]), "Europe/Atlantis")


def _shop(zone: str, middle: int, noise: np.random.Generator) -> Recorded:
    """Six weeks of hourly orders that follow the shop's own wall clock, and three days after its clocks change."""
    timestamp = np.arange(middle - 6 * WEEK, middle + 3 * DAY, HOUR) // HOUR * HOUR
    local = local_seconds(timestamp, zone)
    hour = local // HOUR % 24
    open_now = (hour >= 8) & (hour < 20)
    usual = 200 + 800 * open_now + 100 * np.sin(2 * np.pi * (local % DAY) / DAY)
    return Recorded(f"{zone} {middle}", timestamp, usual * (1 + 0.03 * noise.standard_normal(len(timestamp))))


@pytest.mark.parametrize("zone", ZONES)
def test_a_change_of_clocks_raises_no_alert_on_a_clean_series(zone: str) -> None:
    """Guarantee 21: over both changes of a year; any alert at one in 50 weeks would be due to the clock."""
    changes = [start for start in zone_changes(zone)[0].tolist() if 1_704_067_200 <= start < 1_735_689_600]
    rng = np.random.default_rng(3)
    for middle in changes or [1_711_839_600]:
        shop = _shop(zone, middle, rng)
        (judged,) = replay([shop], alerts_per_week=0.02, timezone=zone, train_until=middle - 2 * DAY)
        around = np.abs(judged.timestamp - middle) < 2 * DAY
        assert np.isfinite(judged.rarity[around]).all()
        assert not judged.alert[around].any()


@pytest.mark.parametrize("zone", ["Europe/London", "Europe/Berlin", "America/New_York"])
def test_days_counted_from_local_midnight_are_expected_as_their_weekday(zone: str) -> None:
    """Guarantee 21: most of a year of daily orders that halve at the weekend, over both changes of the clocks."""
    first = datetime(2025, 1, 6, tzinfo=ZoneInfo(zone))
    days = [first + timedelta(days=day) for day in range(300)]  # wall-clock arithmetic
    timestamp = np.array([int(each.timestamp()) for each in days])
    usual = np.where(np.arange(300) % 7 >= 5, 500.0, 1_000.0)
    value = usual * (1 + 0.03 * np.random.default_rng(5).standard_normal(300))
    (judged,) = replay([Recorded("orders", timestamp, value)], alerts_per_week=0.02, timezone=zone)
    known = np.arange(300) >= 60
    assert np.abs(judged.expected[known] / usual[known] - 1).max() < 0.1
    assert not judged.alert[known].any()
