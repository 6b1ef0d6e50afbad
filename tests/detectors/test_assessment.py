"""What a history promises before anything is watched."""

from __future__ import annotations

import numpy as np
import pytest

from app.pipeline.assess import LIVE
from detectors.advice import Advice
from detectors.assessment import Assessment, Season, assess
from detectors.bars import Bar, Bars
from detectors.contract import Floats, History
from detectors.injection import BUDGETS
from detectors.quality import Arrival, Quality, arrival_of, qualities_of
from detectors.seasonal import Seasonal
from detectors.special_days import special_days
from tests.detectors import german_shop
from tests.detectors.checks import DAY, HOUR, history, judge, seasonal_values, times

N = 6 * 168


def _assess(past: History, budget: float = 1.0, bar: Bar | None = None) -> list[Assessment]:
    bars = Bars.of([bar or Bar()] * len(past.values))
    return assess(past, detector=Seasonal(), life=LIVE, bars=bars, alerts_per_week=budget)


def _assessed(values: Floats, cadence: int = HOUR, budget: float = 1.0, bar: Bar | None = None) -> Assessment:
    return _assess(history(np.atleast_2d(values), cadence), budget, bar)[0]


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
    together = _assess(history(values))
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


@pytest.mark.parametrize("kind", ["drop", "spike"])
@pytest.mark.parametrize("points", [1, 3])
def test_the_smallest_change_is_told_nine_times_of_ten_by_a_replay(kind: str, points: int) -> None:
    """Live-like: trained on the same past, at starts of other seeds' days that the assessment has never seen."""
    past = seasonal_values(times(N), 1)[0]
    share = _share(_assessed(past), kind, points)
    series, first = 60, N
    after = seasonal_values(times(N + 14 * 24), series, seed=9)[:, first:]
    starts = np.random.default_rng(2).integers(24, 14 * 24 - points, series)
    for row, start in enumerate(starts.tolist()):
        after[row, start : start + points] *= 1 - share if kind == "drop" else 1 + share
    baseline, state = Seasonal().fit(history(past[None, :]))
    told = 0
    for row, start in enumerate(starts.tolist()):
        one = judge(Seasonal(), baseline, state, times(N + 14 * 24)[first:][: start + points], after[row : row + 1])
        told += bool((one.rarity[start:, 0] >= 0).any())
    assert told / series >= 0.75


def _quality(values: Floats, arrival: Arrival | None = None) -> Quality:
    return qualities_of(history(values[None, :]), [arrival] if arrival else ())[0]


def test_frozen_values_and_outliers_are_found_and_told_with_an_example() -> None:
    values = seasonal_values(times(N), 1)[0]
    clean = _quality(values)
    assert (clean.frozen, clean.outliers, clean.findings) == (0, 0, ())
    values[300:330] = values[300]
    values[700] = 99_999.0
    found = _quality(values)
    assert (found.frozen, found.outliers) == (30, 1)
    assert found.findings == (
        f"it was stuck at {values[300]:g} for 30 points",
        "one value is far from all others: 99999",
    )


def test_counts_that_repeat_by_chance_are_not_frozen() -> None:
    assert _quality(np.random.default_rng(1).poisson(1.0, N).astype(float)).frozen == 0


def test_what_came_twice_or_late_is_told() -> None:
    found = _quality(seasonal_values(times(N), 1)[0], Arrival(duplicates=2, late=1)).findings
    assert found == ("2 points came twice for one time: the last one counts", "1 point came after a later one")


def test_a_history_written_newest_first_is_not_late() -> None:
    assert arrival_of(times(50)[::-1]) == Arrival(duplicates=0, late=0)
    assert arrival_of(times(50)[[0, 1, 3, 2, 4, 4]]) == Arrival(duplicates=1, late=1)


def test_events_that_are_nearly_always_absent_want_a_fixed_limit() -> None:
    rng = np.random.default_rng(1)
    one = _assessed(np.where(rng.random(N) < 0.02, rng.integers(1, 4, N), 0).astype(float))
    assert one.advice is Advice.FIXED_LIMIT


def test_what_never_varies_has_no_season() -> None:
    one = _assessed(np.full(N, 7.0))
    assert (one.season, one.season_strength) == (Season.NONE, 0.0)


def test_a_larger_budget_never_promises_fewer_alerts() -> None:
    """At daily cadence, where all alerts of a week join into one run."""
    counted = [each.alerts_per_week for each in _assessed(seasonal_values(times(400, DAY), 1)[0], DAY).alerts]
    assert counted == sorted(counted)


@pytest.mark.parametrize("bar", [Bar(relative=0.05), Bar(relative=0.2), Bar(absolute=10.0)])
def test_nothing_below_the_floor_is_promised(bar: Bar) -> None:
    """A quiet series, of which changes of 2 % would be rare enough."""
    values = seasonal_values(times(N), 1, noise=0.004)[0]
    for kind in ("drop", "spike"):
        assert _share(_assessed(values), kind, 3) < 0.05
        least = max(bar.relative, bar.absolute / np.median(values))
        assert least <= _share(_assessed(values, bar=bar), kind, 3) < 1.5 * least


def test_what_stays_below_the_floor_is_no_alert_to_expect() -> None:
    values = seasonal_values(times(N), 1, noise=0.004)[0]
    values[900:906] *= 1.03
    seen, unseen = (_assessed(values, bar=Bar(relative=least)) for least in (0.0, 0.05))
    assert seen.course is not None
    assert unseen.course is not None
    fell = int(times(N)[900])
    assert fell in [start for start, _ in seen.course.alerts]
    assert fell not in [start for start, _ in unseen.course.alerts]
    assert sum(each.alerts_per_week for each in unseen.alerts) < sum(each.alerts_per_week for each in seen.alerts)


def test_a_side_that_nobody_watches_is_not_promised() -> None:
    one = _assessed(seasonal_values(times(N), 1)[0], bar=Bar(down=False))
    assert _share(one, "drop", 24) == np.inf
    assert _share(one, "spike", 24) < 1.0


def test_the_month_end_and_the_holidays_that_were_learned_are_reported() -> None:
    timestamp = german_shop.instants("2024-11-20", "2025-06-15")
    values = german_shop.sales(timestamp, seed=1, month_end=1.4)
    [found] = special_days(german_shop.history(timestamp, values[None, :]))
    [last] = found.monthly
    assert (last.which, last.days) == ("last day of the month", 7)
    assert last.share == pytest.approx(0.4, abs=0.05)
    assert found.holidays is not None
    assert found.holidays.days == 8
    assert found.holidays.share == pytest.approx(-0.4, abs=0.1)


def test_where_no_day_is_special_none_is_reported() -> None:
    timestamp = german_shop.instants("2024-11-20", "2025-06-15")
    values = german_shop.sales(timestamp, seed=1, holidays=False)
    [found] = special_days(german_shop.history(timestamp, values[None, :], country=""))
    assert found.monthly == ()
    assert found.holidays is None


def test_what_a_special_day_adds_to_a_series_that_goes_below_zero_is_an_amount() -> None:
    timestamp = german_shop.instants("2024-11-20", "2025-06-15")
    values = german_shop.sales(timestamp, seed=1, month_end=1.4, holidays=False) - 1_000
    [found] = special_days(german_shop.history(timestamp, values[None, :], country=""))
    assert [(each.which, each.share) for each in found.monthly] == [("last day of the month", None)]
    assert found.monthly[0].amount > 0


def test_days_too_few_to_be_tried_on_are_answered_with_how_many_more_it_takes() -> None:
    """Twenty clean days were once told that even their loss would be missed, which nobody had tried."""
    one = _assessed(seasonal_values(times(20, DAY), 1)[0], DAY)
    assert one.advice is Advice.WAIT
    assert "6 more points are needed" in one.recommendation
    assert one.days_still_needed == 6
    assert _assessed(seasonal_values(times(26, DAY), 1)[0], DAY).smallest


def test_weeks_needed_are_said_in_days() -> None:
    one = _assessed(np.random.default_rng(1).normal(1000, 30, 5), 7 * DAY)
    assert one.advice is Advice.WAIT
    assert one.days_still_needed == (26 - 5) * 7
    assert one.learning.of_days == 14 * 7


@pytest.mark.parametrize("count", [45, 60])
@pytest.mark.parametrize("kind", ["drop", "spike"])
def test_what_is_seen_within_three_points_is_seen_within_24(count: int, kind: str) -> None:
    """Although no start has 24 judged days behind it."""
    one = _assessed(seasonal_values(times(count, DAY), 1, noise=0.02)[0], DAY, budget=0.25)
    assert _share(one, kind, 24) <= _share(one, kind, 3) < 0.3
    trials = {each.within_points: each.trials for each in one.smallest}
    assert trials[3] >= 10
    assert trials[24] == 0


def test_where_too_few_starts_were_calm_nothing_is_said_of_what_would_be_seen() -> None:
    values = np.random.default_rng(1).normal(100.0, 2.0, 60)
    values[-20:] *= 3 ** np.arange(20.0)
    one = _assessed(values)
    assert one.advice is Advice.WAIT
    assert "Too few calm stretches" in one.recommendation
    assert {each.reason for each in one.smallest} == {"too few calm stretches to tell"}


def test_a_limit_is_not_as_good_where_it_sees_no_drop() -> None:
    """Of orders that rest at night, a lower limit never hears."""
    by_day = times(35 * 24) // HOUR % 24 >= 12
    one = _assessed(np.where(by_day, np.random.default_rng(2).poisson(40, by_day.size), 0).astype(float))
    assert [each.share for each in one.limited if each.kind == "drop"] == [None] * 3
    assert _share(one, "drop", 24) <= 1.0
    assert one.advice is not Advice.FIXED_LIMIT


def test_of_single_events_changes_are_more_or_fewer_events() -> None:
    """Zeros can rise, and the size of a change is a number of events although most steps have none."""
    one = _assessed(np.random.default_rng(1).poisson(0.3, 35 * 24).astype(float))
    seen = [each for each in (*one.smallest, *one.limited) if each.size is not None]
    assert {each.kind for each in seen} == {"spike"}
    assert all(each.size == pytest.approx(0.3 * (each.share or 0), rel=0.3) for each in seen)
    assert "outage" not in one.recommendation


def test_a_loss_is_tried_as_a_whole() -> None:
    """Told from a change of 95 % on: a drop of 93 % is too small, and one of more than all there is cannot be."""
    one = _assessed(seasonal_values(times(N), 1)[0], bar=Bar(relative=0.95))
    assert _share(one, "drop", 3) == 1.0


def test_one_alert_is_no_reason_to_look_at_alerts_first() -> None:
    values = seasonal_values(times(N), 1, noise=0.02)[0]
    values[800:806] *= 0.5
    one, noisy = _assessed(values, budget=0.1), values.copy()
    assert [each.alerts for each in one.alerts if each.budget == 0.1] == [1]
    assert "It gave" not in one.recommendation
    noisy[[700, 750, 850, 900]] *= 0.5
    assert "It gave 5 alerts on the last 14 days of its past" in _assessed(noisy, budget=0.1).recommendation


def test_a_minute_series_is_judged_over_days() -> None:
    one = _assessed(seasonal_values(times(16 * 1440, 60), 1)[0], 60)
    assert one.judged_weeks == pytest.approx(16 / 3 / 7, abs=0.01)


def test_a_few_missing_points_are_counted() -> None:
    values = seasonal_values(times(N), 1)[0]
    values[[100, 200, 201]] = np.nan
    assert _quality(values).findings == ("3 points are missing",)
