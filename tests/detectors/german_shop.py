"""A simulated German shop: its days, weeks and holidays, at any cadence."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np

from detectors.calendar import DAY, HOUR, local_seconds
from detectors.contract import Floats, History, Ints, Points
from detectors.days import kinds_of_day

ZONE, COUNTRY = "Europe/Berlin", "DE"
CHRISTMAS = {(12, 24): 0.5, (12, 25): 0.3, (12, 26): 0.5, (12, 31): 0.6}
OTHER_HOLIDAYS = ((1, 1), (5, 1), (10, 3))
SUNDAY = 0.6


def instants(first: str, last: str, cadence: int = HOUR) -> Ints:
    """Unix seconds from the beginning of one UTC day to that of another."""
    start, end = (int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) for day in (first, last))
    return np.arange(start, end, cadence, dtype=np.int64)


def day_of(local: Ints) -> list[date]:
    return [date(1970, 1, 1) + timedelta(days=int(day)) for day in local // DAY]


def sales(timestamp: Ints, *, seed: int, noise: float = 0.05, month_end: float = 1.0, holidays: bool = True) -> Floats:
    """Of one shop. month_end: how many times more it sells on a month's last day."""
    local = local_seconds(timestamp, ZONE)
    hourly = len(timestamp) > 1 and timestamp[1] - timestamp[0] < DAY
    days = day_of(local)
    factor = np.array([_factor(day, month_end, holidays) for day in days])
    wave = 1 + 0.6 * np.sin(2 * np.pi * ((local % DAY) / DAY - 0.3)) if hourly else 1.0
    return np.asarray(1000 * wave * factor * (1 + noise * np.random.default_rng(seed).standard_normal(len(timestamp))))


def _factor(day: date, month_end: float, holidays: bool) -> float:
    closed = holidays and ((day.month, day.day) in OTHER_HOLIDAYS or day in EASTER)
    usual = SUNDAY if day.weekday() == 6 or closed else 0.85 if day.weekday() == 5 else 1.0
    if holidays:
        usual = CHRISTMAS.get((day.month, day.day), usual)
    return usual * (month_end if (day + timedelta(days=1)).day == 1 else 1.0)


EASTER = {
    date.fromisoformat(day)
    for day in (
        *("2023-04-07", "2023-04-10", "2023-05-18", "2023-05-29"),
        *("2024-03-29", "2024-04-01", "2024-05-09", "2024-05-20"),
        *("2025-04-18", "2025-04-21", "2025-05-29", "2025-06-09"),
    )
}


def history(timestamp: Ints, values: Floats, *, country: str | None = COUNTRY, siblings: bool = True) -> History:
    """Of shops (S, N). country: None where nobody tells the kinds of days."""
    local = local_seconds(timestamp, ZONE)
    kinds = None if country is None else kinds_of_day(local, country)
    kin = np.zeros(len(values), np.int64) if siblings else None
    return History(values, timestamp, local, int(timestamp[1] - timestamp[0]), kinds_of_day=kinds, kin=kin)


def points(at: int, value: Floats, cadence: int, *, country: str | None = COUNTRY) -> Points:
    """One point each of all shops, at a budget of one alert in four weeks."""
    count = len(value)
    timestamp = np.full(count, at, np.int64)
    local = local_seconds(timestamp, ZONE)
    threshold = np.full(count, 0.6)
    return Points(
        row=np.arange(count),
        timestamp=timestamp,
        local=local,
        value=value,
        cadence=np.full(count, cadence, np.int64),
        frozen=np.zeros(count, bool),
        threshold_up=threshold,
        threshold_down=threshold,
        kinds_of_day=None if country is None else kinds_of_day(local, country),
    )
