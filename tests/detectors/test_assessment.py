"""What a history promises before anything is watched."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.assessment import BUDGETS, Advice, Assessment, Season, assess
from detectors.contract import Floats
from detectors.seasonal import Seasonal
from tests.detectors.checks import DAY, HOUR, history, seasonal_values, times

N = 6 * 168


def _assessed(values: Floats, cadence: int = HOUR, budget: float = 1.0) -> Assessment:
    return assess(history(np.atleast_2d(values), cadence), detector=Seasonal(), alerts_per_week=budget)[0]


def _share(one: Assessment, kind: str, points: int) -> float:
    (share,) = [change.share for change in one.smallest if (change.kind, change.within_points) == (kind, points)]
    return np.inf if share is None else share


def test_a_clean_seasonal_series_is_worth_watching() -> None:
    one = _assessed(seasonal_values(times(N), 1)[0])
    assert one.advice is Advice.WATCH
    assert one.season is Season.WEEKLY
    assert one.season_strength > 0.8
    assert one.predictability is not None
    assert one.predictability > 0.6
    assert one.gain_over_fixed_limit is not None
    assert one.gain_over_fixed_limit > 0.3
    assert "%" in one.recommendation


def test_longer_changes_may_be_smaller_and_noisier_series_hide_larger_ones() -> None:
    calm, noisy = (_assessed(seasonal_values(times(N), 1, noise=noise)[0]) for noise in (0.03, 0.1))
    assert _share(calm, "drop", 24) <= _share(calm, "drop", 3) <= _share(calm, "drop", 1) < 0.3
    for kind in ("drop", "spike"):
        assert _share(noisy, kind, 1) > _share(calm, kind, 1)


def test_the_smallest_drop_is_really_seen() -> None:
    """With 5 % noise a drop of 40 % for 3 hours is seen, one of 5 % is not."""
    one = _assessed(seasonal_values(times(N), 1)[0], budget=0.25)
    assert 0.05 < _share(one, "drop", 3) < 0.4


def test_white_noise_is_not_worth_a_model() -> None:
    one = _assessed(np.random.default_rng(3).normal(100, 5, N))
    assert one.advice is Advice.FIXED_LIMIT
    assert "fixed limit" in one.recommendation
    assert one.season is Season.NONE


def test_a_value_that_never_changes_wants_a_fixed_limit() -> None:
    assert _assessed(np.full(N, 7.0)).advice is Advice.FIXED_LIMIT


def test_too_little_history_says_how_much_is_missing() -> None:
    one = _assessed(seasonal_values(times(30), 1)[0])
    assert one.advice is Advice.WAIT
    assert "less than 2 days" in one.recommendation
    assert not one.smallest
    assert not one.alerts
    assert str(one.learning) == "1 of 14 days"


def test_no_values_are_nothing_to_see() -> None:
    assert _assessed(np.full(N, np.nan)).advice is Advice.NOTHING_TO_SEE


def test_alerts_are_expected_for_each_budget_and_rise_with_it() -> None:
    one = _assessed(seasonal_values(times(N), 1)[0])
    counted = [expected.alerts_per_week for expected in one.alerts]
    assert [expected.budget for expected in one.alerts] == list(BUDGETS)
    assert counted == sorted(counted)


def test_gaps_zeros_and_repeats_are_found() -> None:
    values = seasonal_values(times(N), 1)[0]
    values[::4] = np.nan
    values[1::4] = 0
    one = _assessed(values)
    assert one.quality.missing == pytest.approx(0.25, abs=0.01)
    assert one.quality.zero == pytest.approx(1 / 3, abs=0.01)
    assert len(one.quality.findings) == 2


def test_series_are_assessed_together_as_alone() -> None:
    values = np.stack([seasonal_values(times(N), 1)[0], np.random.default_rng(3).normal(100, 5, N)])
    together = assess(history(values), detector=Seasonal())
    assert together == [_assessed(row) for row in values]


@pytest.mark.parametrize("cadence", [300, DAY])
def test_other_cadences_are_assessed(cadence: int) -> None:
    count = 2 * 7 * DAY // cadence if cadence < DAY else 120
    one = _assessed(seasonal_values(times(count, cadence), 1)[0], cadence)
    assert one.advice in set(Advice) - {Advice.WAIT}


@pytest.mark.parametrize("value", [1e300, -1e300, 1e-300, np.nan])
def test_odd_values_are_survived(value: float) -> None:
    values = seasonal_values(times(200), 1)[0]
    values[::3] = value
    _assessed(values)
    _assessed(values[:1])
