"""A series that stands at a factor of its season is told from one to which something was added."""

from __future__ import annotations

import numpy as np
import pytest

from app.backtest.replay import Recorded, replay
from detectors.contract import Floats, History
from detectors.seasonal import Seasonal
from detectors.shift import factor_now
from detectors.trial import expected_at
from tests.detectors.checks import HOUR, times

DAY = 24
PAST = 40 * DAY


def orders(hours: int, seed: int = 1) -> Floats:
    """500 on average, 200 at night and 800 by day, and noise of 20."""
    season = 500 + 300 * np.sin(2 * np.pi * np.arange(hours) / DAY)
    return np.asarray(season + np.random.default_rng(seed).normal(0, 20, hours))


def factor_of(values: Floats) -> float:
    usual = 500 + 300 * np.sin(2 * np.pi * np.arange(values.size) / DAY)
    return float(factor_now((values - usual)[None], usual[None], HOUR)[0])


@pytest.mark.parametrize("factor", [0.5, 0.7, 1.4, 3.0])
def test_a_factor_that_holds_for_two_days_is_found(factor: float) -> None:
    values = orders(PAST)
    values[-3 * DAY :] *= factor
    values[-30:-20] = np.nan
    assert factor_of(values) == pytest.approx(factor, rel=0.03)


def test_what_is_not_a_factor_is_left_to_the_level() -> None:
    assert factor_of(orders(PAST)) == 1.0
    added, short, small, away = (orders(PAST) for _ in range(4))
    added[-3 * DAY :] -= 150
    short[-DAY:] *= 0.6
    small[-3 * DAY :] *= 0.95
    away[-3 * DAY :] = np.nan
    for values in (added, short, small, away):
        assert factor_of(values) == 1.0
    assert factor_of(orders(2 * DAY)) == 1.0


def test_below_zero_there_are_no_factors() -> None:
    values, usual = np.full((1, PAST), -40.0), np.full((1, PAST), -20.0)
    assert factor_now(values - usual, usual, HOUR)[0] == 1.0
    assert factor_now(np.ones((1, 99)), np.ones((1, 99)), 7 * DAY * HOUR)[0] == 1.0


@pytest.mark.parametrize("factor", [0.6, 1.5])
def test_a_season_that_moved_by_a_factor_is_expected_where_it_is(factor: float) -> None:
    timestamp, values = times(PAST), orders(PAST)
    values[-3 * DAY :] *= factor
    history = History(values[None], timestamp, timestamp, HOUR)
    baseline, state = Seasonal().fit(history)
    week = np.arange(-7 * DAY, 0) + PAST
    expected, _ = expected_at(Seasonal(), baseline, history, week, np.ones(1), np.ones(1))
    wanted = factor * (500 + 300 * np.sin(2 * np.pi * week / DAY))
    np.testing.assert_allclose(expected[0], wanted, rtol=0.1, atol=15)
    assert abs(state["level"][0] * baseline["unit"][0]) < 40


@pytest.mark.parametrize("factor", [0.6, 1.5])
def test_a_permanent_step_by_a_factor_that_nobody_answers_is_told_for_two_days_and_then_known(factor: float) -> None:
    timestamp, values = times(PAST + 14 * DAY), orders(PAST + 14 * DAY)
    values[PAST:] *= factor
    [judged] = replay([Recorded("orders", timestamp, values)], alerts_per_week=0.25, train_until=int(timestamp[PAST]))
    told = np.flatnonzero(judged.alert) - PAST
    assert told[0] == 0
    assert (told < 3 * DAY).sum() <= 4
    assert (told >= 3 * DAY).sum() <= 1  # by chance; ten and more were told while the season was as before
