"""Holidays and places in the month are learned, and change nothing where there is nothing to learn."""

from __future__ import annotations

from functools import lru_cache

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.calendar import DAY, HOUR
from detectors.contract import Bools, Fields, Floats, History, Ints
from detectors.occasions import fit_occasions
from detectors.seasonal import Seasonal
from detectors.transform import back
from tests.detectors.german_shop import COUNTRY, history, instants, points, sales

BUDGET, ONCE_IN_30_WEEKS = 0.6, 1.5
SHOPS = 4


def shops(timestamp: Ints, *, month_end: float = 1.0, holidays: bool = True, noise: float = 0.05) -> Floats:
    return np.stack(
        [sales(timestamp, seed=seed, month_end=month_end, holidays=holidays, noise=noise) for seed in range(SHOPS)]
    )


def rarities(
    fitted: tuple[Fields, Fields], timestamp: Ints, values: Floats, *, country: str | None = COUNTRY
) -> tuple[Floats, Floats]:
    """Rarity and expected of each point of all shops, (S, n)."""
    baseline, state = fitted
    cadence = int(timestamp[1] - timestamp[0])
    rarity, expected = np.full(values.shape, np.nan), np.full(values.shape, np.nan)
    for step, at in enumerate(timestamp.tolist()):
        scores, state = Seasonal().score(points(at, values[:, step], cadence, country=country), baseline, state)
        rarity[:, step], expected[:, step] = scores.rarity, scores.expected
    return rarity, expected


@lru_cache
def past(cadence: int) -> History:
    """Four shops up to the evening before Christmas Eve of 2025, with the Christmas of the year before."""
    timestamp = instants("2024-11-20", "2025-12-23", cadence)
    return history(timestamp, shops(timestamp))


@lru_cache
def christmas(cadence: int) -> tuple[Ints, Floats]:
    whole = instants("2024-11-20", "2025-12-28", cadence)
    coming = whole >= instants("2025-12-23", "2025-12-24")[0]
    return whole[coming], shops(whole)[:, coming]


@pytest.mark.parametrize("cadence", [HOUR, DAY])
def test_the_next_christmas_is_no_news(cadence: int) -> None:
    timestamp, values = christmas(cadence)
    rarity, expected = rarities(Seasonal().fit(past(cadence)), timestamp, values)
    assert (rarity < ONCE_IN_30_WEEKS).all()
    assert np.abs(expected / values - 1).mean() < 0.1
    ignorant = Seasonal().fit(history(past(cadence).timestamp, past(cadence).values, country=None))
    assert (rarities(ignorant, timestamp, values, country=None)[0] >= BUDGET).any()


@pytest.mark.parametrize("cadence", [HOUR, DAY])
def test_half_of_what_christmas_leaves_is_told_nevertheless(cadence: int) -> None:
    timestamp, values = christmas(cadence)
    day = (timestamp - timestamp[0]) // DAY == 2  # the 25th
    rarity, _ = rarities(Seasonal().fit(past(cadence)), timestamp, np.where(day, values * 0.5, values))
    assert (rarity[:, day].max(axis=1) >= BUDGET).all()


def test_a_holiday_of_which_nothing_is_known_is_taken_for_a_sunday_with_doubt() -> None:
    timestamp = instants("2025-03-01", "2025-04-18")  # until Good Friday
    learned = Seasonal().fit(history(timestamp, shops(timestamp)))
    at = instants("2025-04-18", "2025-04-19")[9:12]
    weekday = instants("2025-04-11", "2025-04-12")[9:12]
    baseline, state = learned
    holiday, ordinary = (
        Seasonal().score(points(int(each[0]), np.full(SHOPS, np.nan), HOUR), baseline, state)[0]
        for each in (at, weekday)
    )
    assert (holiday.expected < 0.8 * ordinary.expected).all()
    assert ((holiday.upper - holiday.lower) > 1.5 * (ordinary.upper - ordinary.lower)).all()


def test_a_shop_of_five_weeks_knows_christmas_from_its_siblings() -> None:
    long = past(DAY)
    values = long.values.copy()
    values[0, :-35] = np.nan
    timestamp, coming = christmas(DAY)
    together = rarities(Seasonal().fit(history(long.timestamp, values)), timestamp, coming)[1][0]
    alone = rarities(Seasonal().fit(history(long.timestamp, values, siblings=False)), timestamp, coming)[1][0]
    error, error_alone = (np.abs(expected / coming[0] - 1)[1:4] for expected in (together, alone))
    assert error.max() < 0.2
    assert error_alone.max() > 0.4


def test_holidays_do_not_bend_the_ordinary_weeks() -> None:
    """The last four Thursdays were an ordinary one, Christmas, New Year and an ordinary one."""
    timestamp = instants("2024-11-20", "2026-01-10")
    quiet, festive = (shops(timestamp, holidays=holidays, noise=0.01) for holidays in (False, True))
    ordinary = usual_thursday(history(timestamp, quiet, country=None))
    known, ignored = (usual_thursday(history(timestamp, festive, country=country)) for country in (COUNTRY, None))
    bent, bent_unawares = (np.abs(each / ordinary - 1).mean() for each in (known, ignored))
    assert bent < 0.03
    assert bent_unawares > 2 * bent


def usual_thursday(past: History) -> Floats:
    """What is expected of each hour of a Thursday, (S, 24)."""
    learned, _ = Seasonal().fit(past)
    hours = learned["center"][:, None] + learned["unit"][:, None] * learned["profile"][:, :24]
    return back(hours, learned["log_floor"][:, None])


@pytest.mark.parametrize("cadence", [HOUR, DAY])
def test_a_peak_at_each_months_end_is_expected(cadence: int) -> None:
    whole = instants("2024-06-01", "2025-02-03", cadence)
    values = shops(whole, month_end=2.0, holidays=False)
    before = whole < instants("2025-01-29", "2025-01-30")[0]
    learned = Seasonal().fit(history(whole[before], values[:, before], country=""))
    rarity, _ = rarities(learned, whole[~before], values[:, ~before], country="")
    assert (rarity < ONCE_IN_30_WEEKS).all()
    nothing_sold = np.where(np.arange((~before).sum()) * cadence // DAY == 2, 0.4, 1.0) * values[:, ~before]
    assert (rarities(learned, whole[~before], nothing_sold, country="")[0].max(axis=1) >= BUDGET).all()


def test_a_peak_that_came_only_once_is_not_believed() -> None:
    timestamp = instants("2024-06-01", "2025-01-28", DAY)
    values = shops(timestamp, holidays=False)
    values[:, 60] *= 3
    assert not fit_occasions(history(timestamp, values, country=""))["occasional"].any()


@pytest.mark.parametrize("cadence", [HOUR, 6 * HOUR, DAY])
def test_series_without_such_patterns_are_judged_exactly_as_without_a_calendar(cadence: int) -> None:
    whole = instants("2024-01-01", "2025-02-10", cadence)
    values = np.stack([sales(whole, seed=seed, holidays=False) for seed in range(30)])
    before = whole < instants("2025-02-01", "2025-02-02")[0]
    told, untold = (
        rarities(
            Seasonal().fit(history(whole[before], values[:, before], country=country)),
            whole[~before],
            values[:, ~before],
            country=country,
        )
        for country in ("", None)
    )
    np.testing.assert_array_equal(told[0], untold[0])
    np.testing.assert_array_equal(told[1], untold[1])


def test_a_series_that_goes_below_zero_has_holidays_too() -> None:
    timestamp = instants("2024-11-20", "2025-12-23", DAY)
    values = shops(timestamp) - 900.0
    learned = Seasonal().fit(history(timestamp, values))
    coming, sold = christmas(DAY)
    rarity, expected = rarities(learned, coming, sold - 900.0)
    assert (rarity < ONCE_IN_30_WEEKS).all()
    assert np.abs(expected - (sold - 900.0))[:, 1:4].max() < 250


def _changed_after(values: Floats, column: int) -> Floats:
    return np.where(np.arange(values.shape[1]) < column, values, values[:, ::-1] * 3)


def test_what_follows_changes_no_verdict() -> None:
    timestamp, values = christmas(HOUR)
    learned = Seasonal().fit(past(HOUR))
    rarity = rarities(learned, timestamp, values)[0]
    other = rarities(learned, timestamp, _changed_after(values, 60))[0]
    np.testing.assert_array_equal(rarity[:, :60], other[:, :60])


def _finite(fields: Fields) -> Bools:
    return np.array([np.isfinite(array).all() for array in fields.values()])


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(
        np.float64,
        (2, 90),
        elements=st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.sampled_from([0.0, 1.0, -1e300, 1e300])),
    )
)
def test_any_history_teaches_only_finite_effects(values: Floats) -> None:
    timestamp = instants("2024-11-01", "2025-01-30", DAY)
    learned = fit_occasions(history(timestamp, values))
    assert _finite(learned).all()
    fitted = Seasonal().fit(history(timestamp, values))
    with np.errstate(all="raise", under="ignore", over="ignore", invalid="ignore"):
        coming = instants("2025-04-17", "2025-04-23", DAY)
        rarity, expected = rarities(fitted, coming, np.ones((2, len(coming))))
    trained = fitted[0]["trained"]
    assert np.isfinite(rarity[trained]).all()
    assert np.isfinite(expected[trained]).all()
