"""Judging stretches of a past again."""

from __future__ import annotations

import numpy as np
import pytest

from detectors import registry
from detectors.contract import History
from detectors.trial import Stretches, expected_at, go_on, judge_again

HOURS = 24 * 7 * 6


@pytest.fixture
def history() -> History:
    hours = np.arange(HOURS)
    noise = np.random.default_rng(4).normal(0, 2, (3, HOURS))
    values = np.array([[50.0], [100.0], [400.0]]) + 20 * np.sin(2 * np.pi * hours / 24) + noise
    return History(values, 3_600 * hours, 3_600 * hours, 3_600)


def stretches(history: History, *, parts: int, length: int) -> Stretches:
    series = len(history.values)
    first = HOURS - parts * length + length * np.arange(parts)
    nothing = np.zeros(series * parts)
    return Stretches(np.repeat(np.arange(series), parts), np.tile(first, series), length, nothing, nothing)


@pytest.mark.parametrize("name", ["seasonal", "basic", "decomposed"])
def test_a_week_judged_in_parts_side_by_side_is_judged_nearly_as_in_one_go(history: History, name: str) -> None:
    detector = registry.get(name)
    baseline, _ = detector.fit(history.within(slice(HOURS - 168)))
    in_parts, _ = judge_again(detector, baseline, history, stretches(history, parts=7, length=24), warm=24)
    in_one_go, _ = judge_again(detector, baseline, history, stretches(history, parts=1, length=168), warm=24)
    assert np.abs(in_parts.expected.reshape(3, -1) - in_one_go.expected).max() < 4.0
    assert (in_one_go.rarity < 1.0).mean() > 0.98


def test_a_drop_is_told_wherever_its_stretch_begins(history: History) -> None:
    history.values[1, -5:] = 0.0
    detector = registry.get("seasonal")
    baseline, _ = detector.fit(history.within(slice(HOURS - 168)))
    said, _ = judge_again(detector, baseline, history, stretches(history, parts=7, length=24), warm=24)
    assert np.flatnonzero((said.rarity > 2.0).any(axis=1)).tolist() == [13]
    assert (said.direction[13, -4:] == -1).all()


def test_states_go_on_from_where_a_fit_left_them(history: History) -> None:
    detector = registry.get("seasonal")
    baseline, state = detector.fit(history.within(slice(HOURS - 48)))
    _, half = go_on(detector, baseline, state, history.within(slice(HOURS - 24)), first=HOURS - 48)
    _, both = go_on(detector, baseline, half, history, first=HOURS - 24)
    _, whole = go_on(detector, baseline, state, history, first=HOURS - 48)
    assert all(np.array_equal(both[name], whole[name]) for name in whole)
    assert whole["timestamp"].tolist() == [history.timestamp[-1]] * 3


def test_columns_before_the_history_are_missing(history: History) -> None:
    detector = registry.get("seasonal")
    baseline, _ = detector.fit(history)
    nothing = np.zeros(1)
    asked = Stretches(np.array([0]), np.array([-3]), 6, nothing, nothing)
    said, _ = judge_again(detector, baseline, history, asked, warm=0)
    assert np.isnan(said.rarity[0, :3]).all()
    assert np.isfinite(said.rarity[0, 3:]).all()


def test_a_baseline_alone_expects_the_habits_that_it_learned(history: History) -> None:
    detector = registry.get("seasonal")
    baseline, _ = detector.fit(history)
    columns = np.arange(HOURS - 48, HOURS)
    expected, half = expected_at(detector, baseline, history, columns, np.zeros(3), np.zeros(3))
    season = 20 * np.sin(2 * np.pi * columns / 24)
    assert np.abs(expected - np.array([[50.0], [100.0], [400.0]]) - season).max() < 4.0
    assert (half > 0).all()
