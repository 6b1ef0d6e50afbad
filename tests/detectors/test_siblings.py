"""What a young series takes from its siblings, and what it does not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.contract import Floats, History
from detectors.seasonal import Seasonal
from detectors.siblings import FULL_PAST_DAYS, Borrowed, borrow, borrowed_columns
from tests.detectors.checks import DAY, HOUR, episodes, history, judge, times

PAST = FULL_PAST_DAYS * 24
YOUNG, OLD = 40, 6


def shops(hours: int, *, series: int = YOUNG + OLD, seed: int = 3, heavy: bool = False) -> Floats:
    """Hourly shops of all sizes with one shape of the week, 5 % noise, heavy-tailed if asked for."""
    rng, at = np.random.default_rng(seed), times(hours)
    size = 100 * np.exp(rng.normal(0, 1, (series, 1)))
    swing = 0.3 * np.exp(rng.normal(0, 0.1, (series, 1)))
    shape = 1 + swing * np.sin(2 * np.pi * (at % DAY) / DAY) - 0.15 * ((at // DAY + 3) % 7 >= 5)
    noise = rng.standard_t(7, (series, hours)) / 1.18 if heavy else rng.standard_normal((series, hours))
    return np.asarray(size * shape * (1 + 0.05 * noise))


def borrowed(values: Floats, days: int, *, siblings: Floats | None = None) -> tuple[History, Borrowed]:
    """The first days of the young ones, without and with what the old ones lend."""
    end = PAST + 24 * days
    old = values[YOUNG:, :end] if siblings is None else siblings[:, :end]
    own = history(values[:YOUNG, PAST:end], start=int(times(1)[0]) + PAST * HOUR)
    return own, borrow(own, history(old))


def false_alarms_a_week(past: History, values: Floats, days: int, weeks: int = 6) -> float:
    """Of series fitted on a past, on the ordinary weeks after it, at a budget of one a week."""
    baseline, state = Seasonal().fit(past)
    first = PAST + 24 * days
    after = judge(
        Seasonal(), baseline, state, times(first + weeks * 168)[first:], values[:YOUNG, first:][:, : weeks * 168]
    )
    return sum(episodes(after.rarity[:, row] >= 0) for row in range(YOUNG)) / (weeks * YOUNG)


def test_a_ten_day_old_series_keeps_its_budget_only_with_its_siblings() -> None:
    values = shops(PAST + 24 * 10 + 168 * 6)
    own, with_siblings = borrowed(values, 10)
    assert false_alarms_a_week(own, values, 10) < 0.5
    assert 0.5 <= false_alarms_a_week(with_siblings.history, values, 10) <= 1.5


def test_so_does_one_with_heavy_tails() -> None:
    values = shops(PAST + 24 * 10 + 168 * 6, heavy=True)
    _, with_siblings = borrowed(values, 10)
    assert 0.5 <= false_alarms_a_week(with_siblings.history, values, 10) <= 1.5


def test_after_a_day_the_band_is_that_of_a_series_known_for_long() -> None:
    values = shops(PAST + 24 * 3)
    own, with_siblings = borrowed(values, 1)
    assert with_siblings.lenders.tolist().count(OLD) > YOUNG / 2
    width = {}
    for name, past in (("alone", own), ("borrowed", with_siblings.history)):
        baseline, state = Seasonal().fit(past)
        after = judge(Seasonal(), baseline, state, times(PAST + 48)[PAST + 24 :], values[:YOUNG, PAST + 24 : PAST + 48])
        width[name] = float(np.nanmedian((after.upper - after.lower) / after.expected))
    assert width["borrowed"] < 0.5 * width["alone"]


def test_most_series_bear_out_siblings_of_their_shape_within_two_days() -> None:
    assert borrowed(shops(PAST + 48), 2)[1].borne_out.mean() > 0.7


@pytest.mark.parametrize("days", [1, 2, 7])
def test_a_series_of_another_shape_borrows_nothing(days: int) -> None:
    values = shops(PAST + 24 * days)
    upside_down = 200 * values.mean(axis=1, keepdims=True) / values
    _, refused = borrowed(upside_down, days, siblings=values[YOUNG:])
    assert not refused.borne_out.any()
    assert refused.lenders.tolist() == [0] * YOUNG
    assert np.isnan(refused.history.values[:, :PAST]).all()


def test_siblings_that_disagree_are_believed_less() -> None:
    """Their weeks differ from each other, so what was borrowed expects less of a pattern."""
    values = shops(PAST + 24, seed=5)
    shifted = np.stack([np.roll(row, 4 * place) for place, row in enumerate(values[YOUNG:])])
    patterns = []
    for siblings in (values[YOUNG:], shifted):
        _, lent = borrowed(values, 1, siblings=siblings)
        patterns.append(Seasonal().fit(lent.history)[0]["profile"].std(axis=1).mean())
    assert patterns[1] < 0.7 * patterns[0]


def test_the_longer_its_own_history_the_less_a_series_borrows() -> None:
    columns = [borrowed_columns(days, HOUR) for days in (0, 1, 7, 14, 28, 100)]
    assert columns[0] == PAST
    assert columns == sorted(columns, reverse=True)
    assert columns[-2:] == [0, 0]


def test_a_noisier_series_borrows_noisier_weeks() -> None:
    values = shops(PAST + 24 * 5, heavy=False)
    noisier = values + 0.15 * values.mean(axis=1, keepdims=True) * np.random.default_rng(1).standard_normal(
        values.shape
    )
    calm, loud = (borrowed(young, 5, siblings=values[YOUNG:])[1] for young in (values, noisier))
    rough = [
        np.nanmedian(np.abs(np.diff(one.history.values[:, :PAST])) / np.nanmean(one.history.values))
        for one in (calm, loud)
    ]
    assert rough[1] > 1.5 * rough[0]


def test_counts_borrow_counts() -> None:
    counts = np.random.default_rng(1).poisson(np.full((YOUNG + OLD, PAST + 48), 6.0)).astype(float)
    past = borrowed(counts, 2)[1].history.values[:, :PAST]
    known = past[np.isfinite(past)]
    assert known.size
    assert (known == np.round(known)).all()
    assert (known >= 0).all()


def test_one_sibling_is_not_enough() -> None:
    values = shops(PAST + 48)
    assert not borrowed(values, 2, siblings=values[YOUNG : YOUNG + 1])[1].lenders.any()


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([0.0, 1.0, -5.0, 1e300, -1e300, 1e-300, float("nan"), float("inf")]),
    st.sampled_from([0.0, 1.0, -5.0, 1e300, float("nan")]),
    st.integers(1, 60),
)
def test_nothing_raises_whatever_the_values(own: float, theirs: float, columns: int) -> None:
    past = np.full((3, PAST + columns), theirs)
    past[0, ::2] = own
    young = np.full((2, columns), own)
    young[1, : columns // 2] = 3.0
    after = borrow(history(young, start=int(times(1)[0]) + PAST * HOUR), history(past))
    assert after.history.values.shape == (2, PAST + columns)
    Seasonal().fit(after.history)
