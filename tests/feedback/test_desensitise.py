"""A new level: what the history becomes, and when a series has settled on it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.contract import Floats, History
from feedback.desensitise import DAY, WEEK, LevelChange, onset, persists, relevelled, season_of, settling, widened

HOUR = 3_600
MONDAY = 1_767_571_200


def history(weeks: int = 5, cadence: int = HOUR, *, weekly: bool = False, seed: int = 1) -> History:
    """One series around 100 with a day, and a quiet weekend if it is weekly."""
    times = MONDAY + cadence * np.arange(weeks * WEEK // cadence)
    noise = np.random.default_rng(seed).normal(0, 3, times.size)
    weekend = np.where((times // DAY + 3) % 7 >= 5, 0.6, 1.0) if weekly else 1.0
    values = (100 + 40 * np.sin(2 * np.pi * times / DAY)) * weekend + noise
    return History(values[None], times, times, cadence)


def stepped(past: History, hours_ago: int, *, factor: float = 1.0, offset: float = 0.0) -> tuple[History, int]:
    start = int(past.timestamp[-1]) + past.cadence - hours_ago * HOUR
    values = np.where(past.timestamp >= start, past.values * factor + offset, past.values)
    return History(values, past.timestamp, past.local, past.cadence), start


def moved(past: History, start: int) -> Floats:
    return np.asarray(relevelled(past, np.array([7]), [LevelChange(7, start)]).values[0])


@pytest.mark.parametrize("cadence", [300, HOUR])
@pytest.mark.parametrize("factor", [0.6, 1.4])
def test_a_history_is_moved_by_a_factor_where_the_season_grew_with_the_level(cadence: int, factor: float) -> None:
    plain = history(cadence=cadence, weekly=True)
    past, start = stepped(plain, 30, factor=factor)
    assert np.median(np.abs(moved(past, start) / plain.values[0] / factor - 1)) < 0.02


@pytest.mark.parametrize("offset", [-40.0, 60.0])
def test_a_history_is_moved_by_a_difference_where_the_season_kept_its_size(offset: float) -> None:
    plain = history()
    past, start = stepped(plain, 30, offset=offset)
    assert np.median(np.abs(moved(past, start) - plain.values[0] - offset)) < 2.0


def test_two_changes_in_a_row_are_both_undone() -> None:
    plain = history()
    once, first = stepped(plain, 200, factor=1.4)
    twice, second = stepped(once, 40, factor=0.5)
    both = relevelled(twice, np.array([7]), [LevelChange(7, second), LevelChange(7, first)]).values[0]
    assert np.median(np.abs(both / plain.values[0] / 0.7 - 1)) < 0.02


def test_series_without_a_change_are_left_alone() -> None:
    past = history()
    assert relevelled(past, np.array([7]), [LevelChange(8, MONDAY + WEEK)]) is past


@settings(max_examples=25, deadline=None)
@given(scale=st.floats(1e-3, 1e6), hours=st.integers(1, 200), factor=st.floats(0.2, 4.0))
def test_moving_a_history_does_not_depend_on_its_unit(scale: float, hours: int, factor: float) -> None:
    past, start = stepped(history(), hours, factor=factor)
    scaled = History(past.values * scale, past.timestamp, past.local, past.cadence)
    np.testing.assert_allclose(moved(scaled, start), moved(past, start) * scale, rtol=1e-6)


def test_the_season_is_a_week_where_weekends_differ_and_else_a_day() -> None:
    for weekly, season in ((True, WEEK), (False, DAY)):
        past = history(weekly=weekly)
        assert season_of(past.values[0], past, int(past.timestamp[-1])) == season


@pytest.mark.parametrize("weekly", [False, True])
def test_a_series_settles_after_a_full_season_at_its_new_level_and_not_before(weekly: bool) -> None:
    season = 168 if weekly else 24
    progress = []
    for hours in (1, season // 2, season + 1):
        past, start = stepped(history(7, weekly=weekly), hours, factor=1.4)
        found = settling(past.values[0], past, start)
        progress.append(found.progress)
        assert found.settled == (hours > season)
    assert progress == sorted(progress)
    assert 0.35 < progress[1] < 0.65
    assert progress[2] == 1.0


def test_a_series_that_goes_on_moving_has_not_settled() -> None:
    past, start = stepped(history(), 48, factor=1.4)
    hours = (past.timestamp - start) / HOUR
    values = past.values[0] * np.where(hours > 24, 0.7, 1.0)
    found = settling(values, past, start)
    assert not found.settled
    assert found.reason


def test_tolerance_is_widest_at_first_and_as_usual_in_the_end() -> None:
    assert widened(0.0) > widened(0.6) > widened(1.0) == 0.0


def test_a_lasting_shift_persists_and_a_spike_does_not() -> None:
    past, start = stepped(history(), 14, factor=1.4)
    assert persists(past.values[0], past, start)
    spike = past.values[0] / np.where(past.timestamp >= start + 3 * HOUR, 1.4, 1.0)
    assert not persists(spike, past, start)


def test_a_level_changes_where_the_calm_ends_even_if_its_run_opened_before_for_another_reason() -> None:
    times = MONDAY + HOUR * np.arange(7)
    off = np.array([9.0, -7.0, 1.0, np.nan, 50.0, 52.0, 55.0])
    assert onset(times, off, np.full(7, 12.0)) == times[4]
    assert onset(times, np.full(7, 50.0), np.full(7, 12.0)) == times[0]
