"""Ratios are judged by how many events are behind them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from detectors.choice import choose
from detectors.contract import Floats, History, Ints, Points
from detectors.seasonal import Seasonal
from detectors.weights import Chance, evened, unweighted
from tests.detectors.checks import HOUR, history, times

WEEK = 168
PAST, LATER = 6 * WEEK, 2 * WEEK
ONCE_IN_FOUR_WEEKS = np.log10(4.0)
RATE = 0.05


def visits(timestamp: Ints) -> Floats:
    """20 a night hour, 20,000 at noon."""
    hour = timestamp // HOUR % 24
    return np.round(20 * 1_000 ** np.clip(np.sin(np.pi * (hour - 5) / 14), 0, 1) ** 0.5)


def conversion(timestamp: Ints, events: Floats, seed: int = 3) -> Floats:
    """Orders over visits at one and the same true rate."""
    return np.random.default_rng(seed).binomial(events.astype(int), RATE) / events


def rarities(values: Floats, weights: Floats | None, timestamp: Ints) -> tuple[Floats, Floats]:
    """Rarity of every later point, and the width of its band."""
    past = History(
        values[None, :PAST], timestamp[:PAST], timestamp[:PAST], HOUR, None if weights is None else weights[None, :PAST]
    )
    baseline, state = Seasonal().fit(past)
    one = np.ones(1)
    found = []
    for column in range(PAST, len(timestamp)):
        points = Points(
            row=np.zeros(1, np.int64),
            timestamp=timestamp[column : column + 1],
            local=timestamp[column : column + 1],
            value=values[column : column + 1],
            cadence=np.full(1, HOUR),
            frozen=np.zeros(1, bool),
            threshold_up=one * ONCE_IN_FOUR_WEEKS,
            threshold_down=one * ONCE_IN_FOUR_WEEKS,
            weight=None if weights is None else weights[column : column + 1],
        )
        scores, state = Seasonal().score(points, baseline, state)
        found.append((scores.rarity[0], scores.upper[0] - scores.lower[0]))
    rarity, band = np.array(found).T
    return rarity, band


def test_the_noise_of_a_night_tells_nobody_and_the_same_change_at_noon_does() -> None:
    timestamp = times(PAST + LATER)
    events = visits(timestamp)
    nightly, noon = events <= 40, timestamp // HOUR % 24 == 12
    worst = 0
    for seed in range(5):
        values = conversion(timestamp, events, seed)
        rarity, band = rarities(values, events, timestamp)
        worst += (rarity >= ONCE_IN_FOUR_WEEKS).sum()
        assert np.median(band[nightly[PAST:]]) > 5 * np.median(band[noon[PAST:]])

        column = PAST + np.flatnonzero(noon[PAST:])[3]
        change = np.abs(values[PAST:][nightly[PAST:]] - RATE).max()  # what chance did in some night
        changed = values.copy()
        changed[column] += change
        assert rarities(changed, events, timestamp)[0][column - PAST] >= ONCE_IN_FOUR_WEEKS
    assert worst <= 5  # in ten weeks, at one in four weeks


def test_a_quiet_hour_in_the_day_is_judged_by_its_few_events() -> None:
    """What the hour of the day can't tell: the visits of one noon are missing, so its rate is but chance."""
    timestamp = times(PAST + LATER)
    events = visits(timestamp)
    values = conversion(timestamp, events)
    column = PAST + 4 * 24 + 12
    values[column], few = 0.10, events.copy()
    few[column] = 20.0
    assert rarities(values, few, timestamp)[0][column - PAST] < ONCE_IN_FOUR_WEEKS
    assert rarities(values, events, timestamp)[0][column - PAST] >= ONCE_IN_FOUR_WEEKS


def test_variance_is_learned_as_what_stays_and_what_chance_adds() -> None:
    rng = np.random.default_rng(1)
    weights = 10 ** rng.uniform(0, 4, (3, 3000))
    steady = np.array([0.0, 0.02, 0.1])[:, None]
    values = rng.normal(0, 1, weights.shape) * np.sqrt(steady**2 + 1.0 / weights)
    known = replace(history(values), weights=weights)
    fields = evened(values, known, np.full(3, -1e6))[1]
    np.testing.assert_allclose(fields["weight_chance"], 1.0, rtol=0.35)
    np.testing.assert_allclose(np.sqrt(fields["weight_steady"][1:]), steady[1:, 0], rtol=0.5)


@pytest.mark.parametrize("weights", [None, np.full((2, 500), np.nan), np.full((2, 500), 7.0), np.zeros((2, 500))])
def test_weights_that_tell_nothing_change_nothing(weights: Floats | None) -> None:
    values = np.random.default_rng(2).normal(100, 5, (2, 500))
    plain, weighed = (Seasonal().fit(h)[0] for h in (history(values), replace(history(values), weights=weights)))
    for name in plain.keys() - unweighted(1).keys():
        np.testing.assert_allclose(weighed[name], plain[name], rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("weight", [0.0, 1e-300, 1.0, 1e300, np.nan])
def test_any_weight_is_judged_and_what_is_evened_comes_back(weight: float) -> None:
    deviation = np.array([-5.0, 0.0, 1e-6, 3.0, 1e6])
    for steady, chance, usual in ((1.0, 0.0, 1.0), (0.0, 1.0, 1e-3), (0.0, 0.0, 1.0), (1e-30, 1e30, 5.0)):
        rows = {
            "weight_steady": np.full(5, steady),
            "weight_chance": np.full(5, chance),
            "weight_usual": np.full(5, usual),
        }
        with np.errstate(all="ignore"):
            at = Chance.at(rows, np.full(5, weight), np.full(5, 0.3))
            assert at is not None
            even = at.evened(deviation, rows)
            assert np.isfinite(even).all()
            np.testing.assert_allclose(at.back(even, rows), deviation, rtol=1e-3, atol=1e-6)


def test_the_choice_of_detector_knows_the_weights() -> None:
    timestamp = times(PAST)
    events = visits(timestamp)
    known = History(conversion(timestamp, events)[None], timestamp, timestamp, HOUR, events[None])
    assert choose(known, default=Seasonal(), others=[], budget_ms=0.0).detector == ["seasonal"]


@pytest.mark.parametrize("spread", [0, 100])
def test_next_to_no_events_are_no_news_where_there_always_were_as_many(spread: int) -> None:
    """A rate over a thousand requests an hour, and then an hour of none, one or two."""
    timestamp = times(PAST + 24)
    events = np.random.default_rng(4).integers(1_000 - spread, 1_001 + spread, PAST + 24).astype(float)
    values = conversion(timestamp, events)
    for value, of, news in ((0.0, 0, False), (0.0, 1, False), (1.0, 1, False), (0.5, 2, False), (0.5, 1_000, True)):
        values[PAST + 5], events[PAST + 5] = value, of
        rarity = rarities(values, events, timestamp)[0][5]
        assert (rarity >= ONCE_IN_FOUR_WEEKS) == news, (value, of, rarity)
