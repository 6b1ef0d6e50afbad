"""A profile adds patterns where they add up, and scales them where they scale."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.contract import Floats
from detectors.profile import fit_profile
from tests.detectors.checks import DAY, HOUR, START, times

FOUR_WEEKS = 4 * 168
NOISE = 5.0


def usual(weekend_level: float, weekend_swing: float) -> Floats:
    """A daily wave about 100; on weekends its level and its swing are so many times theirs: (168,), from Monday on."""
    timestamp = times(168)
    weekend = (timestamp - START) // DAY >= 5
    wave = 40 * np.sin(2 * np.pi * (timestamp % DAY) / DAY)
    return np.where(weekend, 100 * weekend_level + wave * weekend_swing, 100 + wave)


def error_on_weekends(truth: Floats) -> float:
    """Root mean square of what 20 profiles of noise about this week get wrong on Saturdays and Sundays."""
    noise = NOISE * np.random.default_rng(3).standard_normal((20, FOUR_WEEKS))
    local = times(FOUR_WEEKS)
    hours = fit_profile(np.tile(truth, 4) + noise, local, HOUR).hours[:, local[:168] // HOUR % 168]
    wrong = hours - truth
    return float(np.sqrt(np.mean((wrong[:, 120:] - wrong[:, :120].mean(axis=1)[:, None]) ** 2)))


@pytest.mark.parametrize("share", [0.5, 0.75, 1.5])
def test_a_weekend_of_half_the_size_has_half_the_daily_pattern(share: float) -> None:
    assert error_on_weekends(usual(share, share)) < 0.85 * NOISE


def test_a_weekend_that_is_only_lower_keeps_the_whole_daily_pattern() -> None:
    assert error_on_weekends(usual(0.8, 1.0)) < 0.6 * NOISE


def test_what_was_seen_but_once_at_its_hour_of_the_week_is_no_habit() -> None:
    """Ten days with an outage of five hours on the fifth, whose hours of the week have not come again."""
    days, outage = 10, slice(4 * 24 + 9, 4 * 24 + 14)
    values = NOISE * np.random.default_rng(5).standard_normal((20, days * 24))
    values[:, outage] -= 100
    local = times(days * 24)
    hours = fit_profile(values, local, HOUR).hours[:, local[outage] // HOUR % 168]
    assert np.abs(hours).max() < 2 * NOISE
