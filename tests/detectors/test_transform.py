"""What grows with the level, in its season, its noise and by itself, is judged in shares of its level."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from app.backtest import Recorded, replay
from detectors.contract import Floats, History
from detectors.seasonal import Seasonal
from detectors.transform import as_shares, back, fit_transform, from_shares, transformed
from detectors.trend import FURTHEST_WEEKS, grown_since, weekly_growth

HOUR, DAY, WEEK = 3_600, 86_400, 604_800
MONDAY = 1_767_571_200
WEEKS, JUDGED, SERIES = 5, 5, 16


def times(weeks: int) -> np.ndarray:
    return np.arange(MONDAY, MONDAY + weeks * WEEK, HOUR)


def shape(weeks: int) -> Floats:
    """A daily wave and quieter weekends."""
    timestamp = times(weeks)
    weekend = (timestamp - MONDAY) // DAY % 7 >= 5
    return np.asarray(100 + 30 * np.sin(2 * np.pi * timestamp / DAY) - 15 * weekend)


def noise(weeks: int, series: int = SERIES) -> Floats:
    return np.random.default_rng(5).standard_normal((series, len(times(weeks))))


def grown(by: float, weeks: int) -> Floats:
    return np.asarray((1 + by) ** ((times(weeks) - MONDAY) / WEEK))


def counted(weeks: int) -> Floats:
    return np.random.default_rng(5).poisson(shape(weeks), (SERIES, len(times(weeks)))).astype(np.float64)


def history(values: Floats) -> History:
    timestamp = times(values.shape[1] // 168)
    return History(values, timestamp, timestamp, HOUR)


KINDS: dict[str, tuple[Callable[[int], Floats], bool]] = {
    "noise in per cent": (lambda weeks: shape(weeks) * (1 + 0.05 * noise(weeks)), True),
    "lognormal": (lambda weeks: np.exp(4 + 1.5 * np.sin(2 * np.pi * times(weeks) / DAY) + 0.4 * noise(weeks)), True),
    "5 % more a week": (lambda weeks: shape(weeks) * grown(0.05, weeks) * (1 + 0.05 * noise(weeks)), True),
    "10 % more a week": (lambda weeks: shape(weeks) * grown(0.1, weeks) * (1 + 0.05 * noise(weeks)), True),
    "noise of one size": (lambda weeks: shape(weeks) + 5 * noise(weeks), False),
    "counts": (counted, False),
    "no season": (lambda weeks: 100 + 5 * noise(weeks), False),
    "to zero": (lambda weeks: np.maximum(shape(weeks) * (1 + 0.05 * noise(weeks)) - 60, 0.0), False),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_logarithm_is_taken_where_noise_grows_with_the_level(kind: str) -> None:
    values, multiplicative = KINDS[kind]
    past = history(np.asarray(values(8), np.float64))
    logged = fit_transform(past.values, past)["log_floor"] > 0
    assert logged.mean() > 0.8 if multiplicative else logged.mean() < 0.1


def test_only_what_is_even_in_logarithms_is_judged_in_them() -> None:
    for kind, expected in (("lognormal", True), ("noise in per cent", False)):
        baseline, _ = Seasonal().fit(history(KINDS[kind][0](8)))
        assert (baseline["log_noise"] == expected).mean() > 0.8, kind


def test_transforms_are_taken_back() -> None:
    values, floors = np.array([0.5, 3.0, 1e6, -4.0]), np.array([0.1, 0.1, 0.1, 0.0])
    assert np.allclose(back(transformed(values, floors), floors), values)
    deviation, unit = np.array([-3.0, 0.0, 2.0, 5.0]), np.full(4, 0.3)
    fields = {"log_floor": np.array([1.0, 1.0, 1.0, 0.0]), "log_noise": np.array([False, False, True, False])}
    shares = as_shares(deviation, unit, fields)
    assert shares[0] == pytest.approx((np.exp(-0.9) - 1) / 0.3)
    assert shares[2:].tolist() == [2.0, 5.0]
    assert np.allclose(from_shares(shares, unit, fields), deviation)


@pytest.mark.parametrize("by", [-0.05, 0.05])
def test_growth_is_learned_and_carried_on_for_a_while(by: float) -> None:
    values = shape(10) * grown(by, 10) * (1 + 0.02 * noise(10))
    baseline, _ = Seasonal().fit(history(values[:, : 8 * 168]))
    assert np.allclose(baseline["growth"] * baseline["unit"], np.log1p(by), atol=0.015)
    row = np.arange(SERIES)
    for weeks, carried in ((1.0, 1.0), (2 * FURTHEST_WEEKS, FURTHEST_WEEKS)):
        later = baseline["grown_at"] + int(weeks * WEEK)
        assert np.allclose(grown_since(later, row, baseline), baseline["growth"] * carried)


def test_what_wanders_or_stays_does_not_grow() -> None:
    wandering = np.cumsum(noise(10), axis=1)
    for values in (wandering, shape(10) + 5 * noise(10)):
        growth = weekly_growth(values, history(values))
        assert (growth == 0).mean() > 0.8


@pytest.mark.parametrize("kind", ["noise in per cent", "5 % more a week", "10 % more a week", "lognormal"])
def test_one_alert_a_week_is_about_one_a_week_where_things_grow(kind: str) -> None:
    values = KINDS[kind][0](WEEKS + JUDGED)
    recorded = [Recorded(str(row), times(WEEKS + JUDGED), each) for row, each in enumerate(values)]
    replayed = replay(recorded, alerts_per_week=1.0, train_until=MONDAY + WEEKS * WEEK)
    rate = sum(int(one.alert.sum()) for one in replayed) / (SERIES * JUDGED)
    assert 0.4 < rate < 1.6


@pytest.mark.parametrize(("drop", "hours", "least"), [(0.1, 10, 0.6), (0.15, 24, 0.9), (0.3, 3, 0.95)])
def test_what_is_small_and_lasts_counts_as_well_as_what_is_large_and_short(
    drop: float, hours: int, least: float
) -> None:
    """At one false alarm in four weeks, with 5 % noise."""
    series, begin = 40, WEEKS * 168 + 30
    values = shape(WEEKS + 1) * (1 + 0.05 * noise(WEEKS + 1, series))
    values[:, begin : begin + hours] *= 1 - drop
    recorded = [Recorded(str(row), times(WEEKS + 1), each) for row, each in enumerate(values)]
    replayed = replay(recorded, alerts_per_week=0.25, train_until=MONDAY + WEEKS * WEEK)
    assert np.mean([one.anomalous[begin : begin + hours].any() for one in replayed]) > least


def test_a_drift_that_is_over_is_soon_over() -> None:
    """Fifteen per cent less for a day; twelve hours after it few anomalies are still open."""
    series, begin = 20, WEEKS * 168 + 30
    values = shape(WEEKS + 1) * (1 + 0.05 * noise(WEEKS + 1, series))
    values[:, begin : begin + 24] *= 0.85
    recorded = [Recorded(str(row), times(WEEKS + 1), each) for row, each in enumerate(values)]
    replayed = replay(recorded, alerts_per_week=0.25, train_until=MONDAY + WEEKS * WEEK)
    assert np.mean([one.anomalous[begin + 36] for one in replayed]) < 0.2
