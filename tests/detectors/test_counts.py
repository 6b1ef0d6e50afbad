"""Counts near zero: what is rare is said by the counts' own tails, and silence is evidence."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from app.backtest.replay import Recorded, replay
from detectors.contract import Floats, Ints
from detectors.counts import Counts, at_least, at_most
from tests.detectors.checks import DAY, Judged, episodes, history, judge, times

PAST, LATER = 6 * 168, 4 * 168


def _rate(timestamp: Ints, busiest: float) -> Floats:
    return np.asarray(busiest * (0.55 + 0.45 * np.sin(2 * np.pi * (timestamp % DAY) / DAY)))


def _orders(series: int, busiest: float, seed: int = 5) -> Floats:
    rng = np.random.default_rng(seed)
    return rng.poisson(_rate(times(PAST + LATER), busiest), (series, PAST + LATER)).astype(float)


def _judged(values: Floats) -> Judged:
    fitted = Counts().fit(history(values[:, :PAST]))
    return judge(Counts(), *fitted, times(PAST + LATER)[PAST:], values[:, PAST:])


@pytest.mark.parametrize(("rate", "even"), [(0.3, 1e4), (4.0, 2.0), (50.0, 0.5)])
def test_the_tails_are_those_of_the_negative_binomial(rate: float, even: float) -> None:
    """Golden numbers: scipy.stats.nbinom."""
    count = np.arange(0.0, 30.0)
    reference = stats.nbinom(even, even / (even + rate))
    np.testing.assert_allclose(at_least(count, np.array(rate), np.array(even)), reference.sf(count - 1), rtol=1e-8)
    np.testing.assert_allclose(at_most(count, np.array(rate), np.array(even)), reference.cdf(count), rtol=1e-8)


@pytest.mark.parametrize("busiest", [0.3, 2.0, 20.0])
def test_clean_counts_give_the_alerts_that_were_asked_for(busiest: float) -> None:
    """At one a week for wrong reasons, half to one and a half."""
    judged = _judged(_orders(40, busiest))
    told = sum(episodes(judged.rarity[:, row] >= 0.0) for row in range(40))
    assert 0.5 <= told / (40 * LATER / 168) <= 1.5


def test_two_and_four_orders_on_a_quiet_sunday_are_no_news() -> None:
    values = _orders(20, 1.0)
    values[:, PAST + 12] = 4
    assert np.median(_judged(values).rarity[12]) < 1.0


def test_a_burst_of_a_rare_event_is_found() -> None:
    values = _orders(20, 0.3)
    values[:, PAST + 100] = 9
    judged = _judged(values)
    assert (judged.rarity[100] > 1.0).all()
    assert (judged.direction[100] == 1).all()


def test_a_day_of_silence_of_a_busy_counter_is_found_by_its_length() -> None:
    values = _orders(20, 3.0)
    values[:, PAST + 80 : PAST + 104] = 0
    judged = _judged(values)
    assert (judged.rarity[80:104].max(axis=0) > 1.0).all()
    assert (judged.direction[100] == -1).all()
    silence = judged.evidence[80:104, :, 1]
    assert (silence[20] > silence[4]).all()


def test_counts_in_thousands_are_counts_too() -> None:
    single, thousands = (_judged(_orders(5, 2.0) * factor) for factor in (1.0, 1000.0))
    np.testing.assert_allclose(thousands.rarity, single.rarity)


def test_a_series_with_negative_values_is_no_count() -> None:
    values = _orders(2, 2.0)
    values[0, 5] = -1.0
    baseline, _ = Counts().fit(history(values[:, :PAST]))
    assert baseline["trained"].tolist() == [False, True]


def test_a_public_holiday_is_half_expected_of_what_is_silent_on_sundays() -> None:
    """Christmas 2023 follows on the history, on a Monday, and is the first one that is known."""
    values, at = _orders(20, 3.0), times(PAST + 24)
    values[:, (times(PAST + LATER) // DAY + 3) % 7 == 6] = 0
    values[:, PAST : PAST + 24] = 0
    alone, known = (
        judge(
            Counts(),
            *Counts().fit(history(values[:, :PAST], country=country)),
            at[PAST:],
            values[:, PAST : PAST + 24],
            country=country,
        )
        for country in ("", "DE")
    )
    told, quieter = (np.median(judged.rarity.max(axis=0)) for judged in (alone, known))
    assert told > 5.0
    assert quieter < 0.3 * told
    assert known.expected.sum() < 0.5 * alone.expected.sum()


def test_a_holiday_that_was_lived_through_is_expected_again() -> None:
    """New Year's Day after two silent days of Christmas: less of the usual than on the first of them."""
    values, at = _orders(20, 3.0), times(PAST + LATER)
    values[:, (at // DAY + 3) % 7 == 6] = 0
    values[:, PAST : PAST + 48] = 0
    christmas, new_year = (
        judge(
            Counts(),
            *Counts().fit(history(values[:, :start], country="DE")),
            at[start : start + 24],
            values[:, start : start + 24],
            country="DE",
        )
        for start in (PAST, PAST + 168)
    )
    assert np.nanmean(new_year.expected) < 0.8 * np.nanmean(christmas.expected)


@pytest.mark.parametrize(("rate", "within"), [(0.3, 96), (0.8, 36), (3.0, 12)])
def test_few_events_that_stay_away_are_told(rate: float, within: int) -> None:
    """A week of zeros, of which each alone is nothing: what is missing adds up."""
    found = []
    for seed in range(4):
        timestamp = times(56 * 24)
        counts = np.random.default_rng(seed).poisson(rate, timestamp.size).astype(float)
        silent = slice(42 * 24, 49 * 24)
        counts[silent] = 0
        [judged] = replay(
            [Recorded("orders", timestamp, counts)], detector="counts", train_until=int(timestamp[35 * 24])
        )
        found.append(judged.anomalous[silent][:within].any())
        assert (judged.alert[35 * 24 : 42 * 24]).sum() <= 3
    assert all(found)
