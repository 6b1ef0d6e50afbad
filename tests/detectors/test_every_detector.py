"""The check-suite: what every detector in the registry promises, by being registered."""

from __future__ import annotations

from dataclasses import replace

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors.contract import Detector, Fields, Floats, Points, score_in_turn
from detectors.registry import DETECTORS, get
from tests.detectors.checks import DAY, HOUR, START, WEEK, episodes, history, judge, points, seasonal_values, times

FIVE_WEEKS = 5 * 168

pytestmark = pytest.mark.parametrize("detector", DETECTORS.values(), ids=DETECTORS.keys())

ODD = {
    "constant": np.full(400, 5.0),
    "zero": np.zeros(400),
    "all missing": np.full(400, np.nan),
    "one point": np.concatenate([[3.0], np.full(399, np.nan)]),
    "huge": np.where(np.arange(400) % 2, 1e300, -1e300),
    "tiny": np.where(np.arange(400) % 3, 1e-300, 2e-300),
    "negative": -seasonal_values(times(400), 1)[0],
    "step": np.where(np.arange(400) < 200, 10.0, 1e6),
    "NaN-ridden": np.where(np.arange(400) % 7, np.nan, np.sin(np.arange(400.0))),
    "infinite": np.where(np.arange(400) % 50, 1.0, np.inf),
    "counts": np.where(np.arange(400) % 37, 0.0, 1.0),
}
"""Histories that occur, and that a detector must survive."""


def _same(one: Fields, other: Fields) -> None:
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def _copied(fields: Fields) -> Fields:
    return {name: array.copy() for name, array in fields.items()}


def test_cold_fields_have_a_row_for_each_series(detector: Detector) -> None:
    baseline, state = detector.cold(7)
    assert {len(array) for array in (baseline | state).values()} == {7}


def test_fitted_fields_have_the_shape_and_type_of_cold_ones(detector: Detector) -> None:
    for cold, fitted in zip(
        detector.cold(3), detector.fit(history(seasonal_values(times(FIVE_WEEKS), 3))), strict=True
    ):
        assert {name: (array.shape, array.dtype) for name, array in cold.items()} == {
            name: (array.shape, array.dtype) for name, array in fitted.items()
        }


def test_the_state_keeps_its_shape_and_type_when_a_point_is_scored(detector: Detector) -> None:
    baseline, state = detector.cold(3)
    _, after = detector.score(points(START, np.array([1.0, np.nan, 1e300])), baseline, state)
    assert {name: (array.shape, array.dtype) for name, array in state.items()} == {
        name: (array.shape, array.dtype) for name, array in after.items()
    }


def test_a_series_of_which_nothing_is_known_is_not_judged(detector: Detector) -> None:
    baseline, state = detector.cold(2)
    judged = judge(detector, baseline, state, times(10), seasonal_values(times(10), 2))
    assert np.isnan(judged.rarity).all()
    assert not judged.direction.any()


@pytest.mark.parametrize("name", ODD)
def test_odd_histories_are_survived_and_judged_finitely(detector: Detector, name: str) -> None:
    values = np.stack([ODD[name], seasonal_values(times(400), 1)[0]])
    _survives(detector, values, np.stack([ODD[name][::-1], seasonal_values(times(400), 1)[0]]))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    values=arrays.arrays(
        np.float64,
        st.tuples(st.integers(1, 3), st.integers(0, 120)),
        elements=st.floats(-1e300, 1e300) | st.just(np.nan),
    ),
    weight=st.none() | st.lists(st.floats(0, 1e300) | st.just(np.nan), min_size=1, max_size=20),
    country=st.sampled_from([None, "", "DE"]),
    cadence=st.sampled_from([60, 300, 3600, 7200, 10_000, 86_400, 604_800]),
    start=st.integers(0, 4_000_000_000),
)
def test_any_history_is_survived(
    detector: Detector, values: Floats, weight: list[float] | None, country: str | None, cadence: int, start: int
) -> None:
    weights = None if weight is None else np.resize(np.array(weight), values.shape)
    _survives(detector, values, values[:, :5], weights=weights, country=country, cadence=cadence, start=start)


def _survives(
    detector: Detector,
    past: Floats,
    new: Floats,
    *,
    weights: Floats | None = None,
    country: str | None = None,
    cadence: int = HOUR,
    start: int = START,
) -> None:
    """Fits and scores without raising, changes nothing it was given, and every number it says is finite.

    weights: of the past; the new points have the first of them.
    """
    given_past, given_new = past.copy(), new.copy()
    baseline, state = detector.fit(history(past, cadence, start, weights=weights, country=country))
    before = _copied(baseline), _copied(state)
    if not new.size:
        return
    later = times(new.shape[1], cadence, start + past.shape[1] * cadence)
    newer = None if weights is None else weights[:, : new.shape[1]]
    judged = judge(detector, baseline, state, later, new, cadence=cadence, weights=newer, country=country)
    np.testing.assert_array_equal(past, given_past)
    np.testing.assert_array_equal(new, given_new)
    _same(baseline, before[0])
    _same(state, before[1])
    for array in (judged.rarity, judged.expected, judged.lower, judged.upper, judged.evidence):
        assert not np.isinf(array).any()
    assert np.isnan(judged.rarity[~np.isfinite(new.T)]).all()
    assert np.isin(judged.direction, [-1, 0, 1]).all()
    for array in judged.state.values():
        assert array.dtype.kind != "f" or np.isfinite(array).all()


@pytest.mark.parametrize("name", ["ordinary", *ODD])
def test_points_judged_in_turn_are_judged_as_one_after_the_other(detector: Detector, name: str) -> None:
    """To the last bit, states included, whatever is frozen or missing."""
    values = seasonal_values(times(FIVE_WEEKS + 60), 3)
    values[1, :400] = ODD.get(name, values[1, :400])
    past, new = values[:, :FIVE_WEEKS], values[:, FIVE_WEEKS:].T.copy()
    new[5:9, 0], new[20:, 1], new[30:34, 2] = np.nan, new[20:, 1] * 3, 0.0
    frozen = np.random.default_rng(2).random(new.shape) < 0.3
    later = times(FIVE_WEEKS + 60)[FIVE_WEEKS:]
    baseline, state = detector.fit(history(past))
    each = [replace(points(when, row), frozen=held) for when, row, held in zip(later, new, frozen, strict=True)]
    whole = Points(
        **{
            column: np.concatenate([getattr(one, column) for one in each])
            for column, array in vars(each[0]).items()
            if array is not None
        }
    )
    said, states = score_in_turn(detector, whole, len(each), baseline, state)
    for step, one in enumerate(each):
        alone, state = detector.score(one, baseline, state)
        _same(vars(alone), vars(said.only(slice(3 * step, 3 * step + 3))))
        _same(state, {column: array[step] for column, array in states.items()})


def test_series_beside_it_do_not_change_how_a_series_is_fitted_and_judged(detector: Detector) -> None:
    values = seasonal_values(times(FIVE_WEEKS + 48), 4)
    values[1] = np.nan
    values[2] *= 1e6
    past, new, later = values[:, :FIVE_WEEKS], values[:, FIVE_WEEKS:], times(FIVE_WEEKS + 48)[FIVE_WEEKS:]
    together = judge(detector, *detector.fit(history(past)), later, new)
    alone = judge(detector, *detector.fit(history(past[3:])), later, new[3:])
    np.testing.assert_allclose(together.rarity[:, 3], alone.rarity[:, 0], rtol=1e-7, atol=1e-7)


def test_a_batch_is_judged_as_point_by_point(detector: Detector) -> None:
    values = seasonal_values(times(FIVE_WEEKS + 24), 5)
    baseline, state = detector.fit(history(values[:, :FIVE_WEEKS]))
    later = times(FIVE_WEEKS + 24)[FIVE_WEEKS:]
    together = judge(detector, baseline, state, later, values[:, FIVE_WEEKS:])
    for row in range(5):
        single = {name: array[row : row + 1] for name, array in state.items()}
        one = {name: array[row : row + 1] for name, array in baseline.items()}
        alone = judge(detector, one, single, later, values[row : row + 1, FIVE_WEEKS:])
        np.testing.assert_array_equal(alone.rarity[:, 0], together.rarity[:, row])


def test_the_baseline_is_read_through_the_row_of_the_point(detector: Detector) -> None:
    values = seasonal_values(times(FIVE_WEEKS + 1), 4) * np.array([1.0, 10.0, 100.0, 1000.0])[:, None]
    baseline, state = detector.fit(history(values[:, :FIVE_WEEKS]))
    at = int(times(FIVE_WEEKS + 1)[-1])
    whole, _ = detector.score(points(at, values[:, -1]), baseline, state)
    rows = np.array([3, 1])
    some = points(at, values[rows, -1])
    picked, _ = detector.score(
        type(some)(**{**vars(some), "row": rows}), baseline, {name: array[rows] for name, array in state.items()}
    )
    np.testing.assert_array_equal(picked.rarity, whole.rarity[rows])
    np.testing.assert_array_equal(picked.expected, whole.expected[rows])


@pytest.mark.parametrize("factor", [1e-6, 1024.0, 1e9])
def test_scaling_a_series_leaves_its_rarity_alone(detector: Detector, factor: float) -> None:
    values = seasonal_values(times(FIVE_WEEKS + 48), 3)
    values[:, -10:-5] *= 0.3
    later = times(FIVE_WEEKS + 48)[FIVE_WEEKS:]
    usual, scaled = (
        judge(detector, *detector.fit(history(series[:, :FIVE_WEEKS])), later, series[:, FIVE_WEEKS:])
        for series in (values, values * factor)
    )
    np.testing.assert_allclose(scaled.rarity, usual.rarity, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(scaled.expected, usual.expected * factor, rtol=1e-6)


def test_the_future_never_changes_a_past_score(detector: Detector) -> None:
    values = seasonal_values(times(FIVE_WEEKS + 48), 2)
    other = values.copy()
    other[:, FIVE_WEEKS + 24 :] = 1e6
    later = times(FIVE_WEEKS + 48)[FIVE_WEEKS:]
    fitted = detector.fit(history(values[:, :FIVE_WEEKS]))
    one, two = (judge(detector, *fitted, later, series[:, FIVE_WEEKS:]) for series in (values, other))
    np.testing.assert_array_equal(one.rarity[:24], two.rarity[:24])
    np.testing.assert_array_equal(one.expected[:25], two.expected[:25])


def test_nothing_is_learned_while_frozen(detector: Detector) -> None:
    """What is expected after a frozen span does not depend on what was seen in it."""
    values = seasonal_values(times(FIVE_WEEKS + 12), 2)
    other = values.copy()
    other[:, FIVE_WEEKS : FIVE_WEEKS + 10] *= 7.0
    later, held = times(FIVE_WEEKS + 12)[FIVE_WEEKS:], np.arange(12) < 10
    fitted = detector.fit(history(values[:, :FIVE_WEEKS]))
    one, two = (judge(detector, *fitted, later, series[:, FIVE_WEEKS:], frozen=held) for series in (values, other))
    np.testing.assert_allclose(one.expected[:11], two.expected[:11], rtol=1e-9)


def test_a_missing_point_is_not_judged_and_not_learned_from(detector: Detector) -> None:
    values = seasonal_values(times(FIVE_WEEKS + 3), 2)
    fitted = detector.fit(history(values[:, :FIVE_WEEKS]))
    later = times(FIVE_WEEKS + 3)[FIVE_WEEKS:]
    gap = values[:, FIVE_WEEKS:].copy()
    gap[:, 0] = np.nan
    judged = judge(detector, *fitted, later, gap)
    assert np.isnan(judged.rarity[0]).all()
    assert np.isfinite(judged.rarity[1:]).all()
    assert np.isfinite(judged.expected).all()


def test_an_obvious_drop_of_a_clean_seasonal_series_is_found(detector: Detector) -> None:
    values = seasonal_values(times(FIVE_WEEKS + 168), 20)
    values[:, FIVE_WEEKS + 60 : FIVE_WEEKS + 64] *= 0.1
    judged = judge(
        detector,
        *detector.fit(history(values[:, :FIVE_WEEKS])),
        times(FIVE_WEEKS + 168)[FIVE_WEEKS:],
        values[:, FIVE_WEEKS:],
    )
    during = slice(60, 64)
    assert (judged.rarity[during].max(axis=0) > 1.0).all()
    assert (judged.direction[60] == -1).all()


def test_a_clean_seasonal_series_is_left_in_peace(detector: Detector) -> None:
    """With one alert a week for wrong reasons there are fewer than two; what is once in 100 weeks hardly occurs."""
    weeks = 3
    values = seasonal_values(times(FIVE_WEEKS + weeks * 168), 30)
    judged = judge(
        detector,
        *detector.fit(history(values[:, :FIVE_WEEKS])),
        times(values.shape[1])[FIVE_WEEKS:],
        values[:, FIVE_WEEKS:],
    )
    told = sum(episodes(judged.rarity[:, row] >= 0.0) for row in range(30))
    assert told / (30 * weeks) < 2.0
    far = sum(episodes(judged.rarity[:, row] >= 2.0) for row in range(30))
    assert far / (30 * weeks) < 0.1


def test_the_expected_value_lies_within_the_band(detector: Detector) -> None:
    values = seasonal_values(times(FIVE_WEEKS + 24), 5)
    judged = judge(
        detector,
        *detector.fit(history(values[:, :FIVE_WEEKS])),
        times(FIVE_WEEKS + 24)[FIVE_WEEKS:],
        values[:, FIVE_WEEKS:],
    )
    assert (judged.lower < judged.expected).all()
    assert (judged.expected < judged.upper).all()


@pytest.mark.parametrize("cadence", [60, 300, 1800, 3 * HOUR, DAY])
def test_usual_cadences_are_fitted_and_judged(detector: Detector, cadence: int) -> None:
    span = 3 * WEEK if cadence < DAY else 10 * WEEK
    count = min(span // cadence, 12_000)
    timestamp = times(count + 50, cadence)
    values = seasonal_values(timestamp, 2)
    judged = judge(
        detector,
        *detector.fit(history(values[:, :count], cadence)),
        timestamp[count:],
        values[:, count:],
        cadence=cadence,
    )
    assert np.isfinite(judged.rarity).all()
    assert np.median(np.abs(judged.expected / values[:, count:].T - 1)) < 0.3


def test_it_is_found_by_its_name(detector: Detector) -> None:
    assert get(detector.name) is detector
    assert len(set(detector.evidence)) == len(detector.evidence) > 0
