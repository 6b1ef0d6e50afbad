"""What a series may be trained on yet, and what is done when training fails."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from detectors.basic import Basic
from detectors.calendar import local_seconds
from detectors.contract import Fields, History
from detectors.seasonal import Seasonal
from detectors.training import fit_many, may_alert, on_grid, progress, training_window, usual_cadence
from tests.detectors.checks import DAY, HOUR, START, history, seasonal_values, times


@pytest.mark.parametrize("cadence", [10, 60, 300, 900, 3600, 86_400])
def test_the_usual_cadence_survives_jitter_gaps_and_repeats(cadence: int) -> None:
    rng = np.random.default_rng(2)
    timestamp = times(500, cadence) + rng.integers(-cadence // 20, cadence // 20 + 1, 500)
    kept = np.sort(np.delete(timestamp, rng.choice(500, 100, replace=False)))
    assert usual_cadence(kept) == cadence


def test_an_unusual_cadence_is_kept_as_it_is() -> None:
    assert usual_cadence(times(50, 77)) == 77


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_points_have_no_cadence(count: int) -> None:
    assert usual_cadence(times(count)) == 0


def test_learning_counts_down_the_days() -> None:
    half = progress(points=12 * 24, first=START, last=START + 12 * DAY - HOUR, cadence=HOUR)
    assert str(half) == "12 of 14 days"
    assert half.may_alert
    assert not half.done


def test_no_alert_before_two_days_and_thirty_points() -> None:
    young = progress(points=47, first=START, last=START + 46 * HOUR, cadence=HOUR)
    assert (young.may_alert, young.reason) == (False, "less than 2 days of history")
    sparse = progress(points=20, first=START, last=START + 5 * DAY, cadence=HOUR)
    assert (sparse.may_alert, sparse.reason) == (False, "20 of 30 points")
    assert progress(points=48, first=START, last=START + 47 * HOUR, cadence=HOUR).may_alert


def test_a_daily_series_may_alert_after_fourteen_points() -> None:
    def after(days: int) -> bool:
        return progress(points=days, first=START, last=START + (days - 1) * DAY, cadence=DAY).may_alert

    assert [after(13), after(14)] == [False, True]


def test_a_series_that_bears_its_siblings_out_may_alert_after_a_day() -> None:
    after_a_day = {"points": 25, "first": START, "last": START + 24 * HOUR, "cadence": HOUR}
    assert not progress(**after_a_day).may_alert
    assert progress(**after_a_day, siblings=3).may_alert
    young = progress(points=20, first=START, last=START + 19 * HOUR, cadence=HOUR, siblings=3)
    assert (young.may_alert, young.reason) == (False, "less than a day of history")


def test_many_series_are_asked_at_once_as_each_alone() -> None:
    rng = np.random.default_rng(4)
    points, last = rng.integers(0, 60, 50), START + rng.integers(0, 5 * DAY, 50)
    cadence = rng.choice([60, HOUR, DAY], 50)
    first, siblings = np.full(50, START), rng.choice([0, 3], 50)
    each = [
        progress(points=p, first=START, last=e, cadence=c, siblings=s).may_alert
        for p, e, c, s in zip(*(array.tolist() for array in (points, last, cadence, siblings)), strict=True)
    ]
    known = points > 0
    assert may_alert(points, first, last, cadence, siblings)[known].tolist() == np.array(each)[known].tolist()


def test_points_are_put_on_a_grid_with_gaps_for_what_is_missing() -> None:
    timestamp = np.array([START + 5, START + HOUR + 5, START + 3 * HOUR + 5])
    columns, values = on_grid(timestamp, np.array([1.0, 2.0, 4.0]), HOUR)
    assert columns.tolist() == (START + 5 + np.arange(4) * HOUR).tolist()
    np.testing.assert_array_equal(values, [1.0, 2.0, np.nan, 4.0])


@pytest.mark.parametrize("cadence", [60, 300, HOUR])
def test_a_clock_that_is_a_little_fast_or_slow_tears_no_holes(cadence: int) -> None:
    on_time = START + cadence * np.arange(500)
    off = np.random.default_rng(2).integers(-2, 3, 500)
    columns, values = on_grid(on_time + off, np.arange(500.0), cadence)
    assert values.tolist() == np.arange(500.0).tolist()
    assert np.abs(columns - on_time).max() <= 1


@pytest.mark.parametrize("zone", ["Europe/London", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Asia/Kolkata"])
def test_days_that_begin_at_somebodys_midnight_keep_to_it_when_the_clocks_change(zone: str) -> None:
    first = datetime(2024, 1, 1, tzinfo=ZoneInfo(zone))
    midnights = [first.replace(month=1 + day // 28, day=1 + day % 28) for day in range(12 * 28)]
    timestamp = np.array([int(each.timestamp()) for each in midnights])
    columns, values = on_grid(timestamp, np.arange(timestamp.size, dtype=float), DAY)
    assert np.isfinite(values).sum() == timestamp.size
    assert (local_seconds(columns[np.isfinite(values)], zone) % DAY == 0).all()
    assert columns[np.isfinite(values)].tolist() == timestamp.tolist()


def test_training_looks_back_ten_weeks_at_least_and_two_years_at_most() -> None:
    assert training_window(60) == 70 * DAY
    assert training_window(DAY) == 730 * DAY


class Moody(Seasonal):
    """A detector that fails on series that hold the number 13: a fault as it may occur in any detector."""

    name = "moody"

    def fit(self, history: History) -> tuple[Fields, Fields]:
        if (history.values == 13.0).any():
            raise ZeroDivisionError("no")
        return super().fit(history)


def test_a_series_that_fails_falls_back_and_the_others_are_trained() -> None:
    """Guarantee 10."""
    values = seasonal_values(times(500), 3)
    values[1, 7] = 13.0
    trained = fit_many(Moody(), history(values), fall_back=Basic())
    assert trained.detector == ["moody", "basic", "moody"]
    assert trained.reason == ["", "moody could not be trained: ZeroDivisionError", ""]
    assert trained.baselines["moody"]["trained"].tolist() == [True, False, True]
    assert trained.baselines["basic"]["trained"].tolist() == [False, True, False]


def test_training_together_equals_training_one_by_one() -> None:
    values = seasonal_values(times(500), 3)
    together = fit_many(Seasonal(), history(values), fall_back=Basic()).baselines["seasonal"]
    broken = np.concatenate([values, np.full((1, 500), 13.0)])
    apart = fit_many(Moody(), history(broken), fall_back=Basic()).baselines["moody"]
    for name, array in together.items():
        np.testing.assert_allclose(apart[name][:3], array, rtol=1e-6, atol=1e-9, err_msg=name)


def test_slow_series_learn_as_long_as_it_takes_to_have_enough_points() -> None:
    weekly = progress(points=5, first=START, last=START + 28 * DAY, cadence=7 * DAY)
    assert not weekly.done
    assert str(weekly) == "35 of 98 days"
    assert progress(points=14, first=START, last=START + 13 * DAY, cadence=DAY).done
