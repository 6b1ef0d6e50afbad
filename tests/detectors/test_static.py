"""Fixed limits: learned from the extremes, or given by an owner."""

from __future__ import annotations

import numpy as np

from detectors.static import Static, with_limits
from tests.detectors.checks import history, judge, seasonal_values, times

PAST = 5 * 168


def test_the_height_of_a_limit_does_not_depend_on_the_hour() -> None:
    values = seasonal_values(times(PAST + 24), 1)
    judged = judge(Static(), *Static().fit(history(values[:, :PAST])), times(PAST + 24)[PAST:], values[:, PAST:])
    assert len(set(judged.upper[:, 0])) == len(set(judged.lower[:, 0])) == 1


def test_an_owners_limits_stand_above_the_learned_ones() -> None:
    values = seasonal_values(times(PAST + 3), 1)
    values[0, PAST:] = [50.0, 500.0, 700.0]
    baseline, state = Static().fit(history(values[:, :PAST]))
    limited = with_limits(baseline, lower=np.array([np.nan]), upper=np.array([600.0]))
    judged = judge(Static(), limited, state, times(PAST + 3)[PAST:], values[:, PAST:])
    assert (judged.rarity[:, 0] > 1).tolist() == [False, False, True]
    assert judged.upper[0, 0] == 600.0
    assert np.isnan(judged.lower[0, 0])


def test_given_limits_need_no_history() -> None:
    baseline, state = Static().cold(1)
    limited = with_limits(baseline, lower=np.array([1.0]), upper=np.array([np.nan]))
    judged = judge(Static(), limited, state, times(2), np.array([[2.0, 0.5]]))
    assert (judged.rarity[:, 0] > 1).tolist() == [False, True]
    assert judged.direction[1, 0] == -1
