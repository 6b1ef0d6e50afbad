"""An anomaly is over when the series is back to normal, whatever a detector remembers of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from app.alerts import life as lives
from detectors import registry
from detectors.contract import Detector, Floats, History, Points

HOUR, WEEK_HOURS = 3_600, 168
THRESHOLD = 0.6


@dataclass(frozen=True)
class Told:
    """Hours at which runs were told, ended and reopened."""

    told: list[int]
    ended: list[int]
    reopened: list[int]


def hourly(weeks: int, seed: int) -> Floats:
    hours = np.arange(weeks * WEEK_HOURS)
    weekend = np.where(hours // 24 % 7 >= 5, 0.8, 1.0)
    noise = np.random.default_rng(seed).normal(0, 3, hours.size)
    return np.asarray((100 + 40 * np.sin(2 * np.pi * hours / 24)) * weekend + noise)


def live(detector: Detector, values: Floats, history_hours: int) -> Told:
    """Fit on the first hours and follow the others as they come."""
    times = HOUR * np.arange(values.size, dtype=np.int64)
    past = times[:history_hours]
    baseline, state = detector.fit(History(values[None, :history_hours], past, past, HOUR))
    life = lives.newborn(1, len(detector.evidence))
    happened = Told([], [], [])
    one = np.ones(1)
    for hour in range(history_hours, values.size):
        at = times[hour : hour + 1]
        frozen = lives.frozen(life)
        points = Points(
            np.zeros(1, np.int64),
            at,
            at,
            values[hour : hour + 1],
            np.full(1, HOUR),
            frozen,
            one * THRESHOLD,
            one * THRESHOLD,
        )
        scores, state = detector.score(points, baseline, state)
        life, changes = lives.advance(
            life,
            points,
            scores,
            candidate=one * 0.0,
            threshold_up=one * THRESHOLD,
            threshold_down=one * THRESHOLD,
            rules=lives.LifeRules(),
        )
        for name, hours in vars(happened).items():
            if getattr(changes, name)[0] and life["told_at"][0] > 0:
                hours.append(hour)
    return happened


def with_drop(values: Floats, start: int, hours: int, factor: float) -> Floats:
    dropped = values.copy()
    dropped[start : start + hours] *= factor
    return dropped


@pytest.mark.parametrize("name", [d for d in registry.DETECTORS if d in ("seasonal", "basic")])
@pytest.mark.parametrize("seed", range(4))
def test_an_incident_that_is_over_ends_soon_and_is_told_once(name: str, seed: int) -> None:
    start = 5 * WEEK_HOURS + 34
    values = with_drop(hourly(6, seed), start, hours=4, factor=0.4)
    happened = live(registry.get(name), values, 5 * WEEK_HOURS)
    told: Sequence[int] = [hour for hour in happened.told if start <= hour < start + 24]
    assert told == [start]
    assert happened.reopened == []
    assert happened.ended[0] <= start + 4 + 5


@pytest.mark.parametrize(
    ("hours", "factor"), [(14, 0.0), (14, 0.4), (14, 2.5), (20, 0.0), (20, 0.4), (20, 2.5), (34, 0.0), (34, 2.5)]
)
def test_an_outage_is_on_until_it_is_over_or_a_day_old_and_its_way_back_is_no_news(hours: int, factor: float) -> None:
    start, length = 5 * WEEK_HOURS + 34, min(hours, 24)
    for seed in range(3):
        values = with_drop(hourly(6, seed), start, hours, factor)
        happened = live(registry.get("seasonal"), values, 5 * WEEK_HOURS)
        assert [hour for hour in happened.told if start <= hour < start + 96] == [start]
        assert start + length <= min(hour for hour in happened.ended if hour > start) <= start + length + 3
        assert [hour for hour in happened.reopened if start <= hour < start + 96] == []
