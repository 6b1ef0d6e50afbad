"""When a silence, or zeros, are a loss of data: by what the source did in the same stretch of earlier weeks."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.loss import (
    DAY,
    WEEK,
    back_since,
    comparable,
    normal_since,
    overdue,
    rarity_of_repeats,
    rarity_of_silence,
    zero_together,
)

HOUR, MINUTE = 3_600, 60
TOLD_FROM = 1.5


def test_an_hourly_source_that_always_spoke_is_lost_after_three_hours() -> None:
    spoke = np.ones((4, 12), bool)
    assert rarity_of_silence(spoke, 2, HOUR) < TOLD_FROM <= rarity_of_silence(spoke, 3, HOUR)


def test_a_source_that_is_silent_every_sunday_is_not_lost_on_sunday() -> None:
    spoke = np.ones((4, 50), bool)
    spoke[:, -30:] = False
    assert rarity_of_silence(spoke, 30, HOUR) == -np.inf


def test_only_steps_at_which_a_source_usually_speaks_count() -> None:
    closed_then_open = np.ones((4, 100), bool)
    closed_then_open[:, -60:-3] = False
    open_all_along = closed_then_open[:, closed_then_open.all(axis=0)]
    assert rarity_of_silence(closed_then_open, 60, HOUR) == rarity_of_silence(open_all_along, 3, HOUR)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_source_that_speaks_by_chance_is_hardly_ever_found_lost(share: float) -> None:
    """Looked at each of 20,000 hours (two years and more), with what chance brought in the four weeks before each."""
    rng = np.random.default_rng(1)
    past = rng.random((20_000, 4, 48 + 24)) < share
    now = rng.random((20_000, 24)) < share
    quiet = np.where(now.any(axis=1), now[:, ::-1].argmax(axis=1), 24)
    rarities = [
        rarity_of_silence(each[:, : 48 + steps], int(steps), HOUR) for each, steps in zip(past, quiet, strict=True)
    ]
    assert sum(rarity >= TOLD_FROM for rarity in rarities) <= 4


def test_it_compares_with_weeks_once_two_are_known_and_with_days_before() -> None:
    assert comparable(0, 10 * WEEK) == [WEEK, 2 * WEEK, 3 * WEEK, 4 * WEEK]
    assert comparable(0, 3 * DAY) == [DAY, 2 * DAY, 3 * DAY]
    assert comparable(0, DAY) == []


def test_what_usually_comes_late_is_not_overdue_until_later() -> None:
    last, cadence = np.array([0, 0]), np.array([HOUR, HOUR])
    wait = np.array([HOUR, 26 * HOUR])
    assert overdue(5 * HOUR, last, cadence, wait, listening_since=0).tolist() == [True, False]
    assert overdue(29 * HOUR, last, cadence, wait, listening_since=0).tolist() == [True, True]


def test_nothing_is_overdue_right_after_the_service_was_down_itself() -> None:
    last, cadence, wait = np.array([0]), np.array([HOUR]), np.array([HOUR])
    assert overdue(100 * HOUR, last, cadence, wait, listening_since=98 * HOUR).tolist() == [False]


def test_all_series_at_zero_are_lost_together_and_a_lone_one_is_not() -> None:
    def together(zero: list[bool], unknown: list[bool], since: list[int]) -> bool:
        cadence = np.full(len(zero), HOUR)
        return zero_together(np.array(zero), np.array(unknown), np.array(since) * HOUR, cadence)

    assert together([True, True, True], [True, True, True], [5, 5, 6])
    assert not together([True], [True], [5])
    assert not together([True, True, False], [True, True, True], [5, 5, 0])
    assert not together([True, True, True], [True, False, False], [5, 1, 1])
    assert not together([True, True], [True, True], [5, 9])


def test_a_series_is_back_when_its_last_three_points_are_a_step_apart_and_fresh() -> None:
    points = HOUR * np.array([1, 2, 20, 21, 22])
    assert back_since(points, cadence=HOUR, now=22 * HOUR, wait=0) == 20 * HOUR
    assert back_since(points[:4], cadence=HOUR, now=21 * HOUR, wait=0) is None
    assert back_since(points, cadence=HOUR, now=30 * HOUR, wait=0) is None
    assert back_since(HOUR * np.arange(1, 23), cadence=HOUR, now=22 * HOUR, wait=0) == HOUR


def test_bad_data_are_over_after_half_a_day_of_points_in_the_band_that_are_not_stuck() -> None:
    at, inside = HOUR * np.arange(20), np.arange(20) >= 8
    values = (100 + np.arange(20) % 7).astype(np.float64)
    assert normal_since(at, values, inside, HOUR) == 8 * HOUR
    assert normal_since(at[:-2], values[:-2], inside[:-2], HOUR) is None
    assert normal_since(at, np.full(20, 100.0), inside, HOUR) is None
    assert normal_since(MINUTE * np.arange(100), values.repeat(5), np.ones(100, bool), MINUTE) is None


@pytest.mark.parametrize(
    ("run", "longest", "repeats", "known", "stuck"),
    [
        (6, 0, 6, 800, True),
        (4, 0, 4, 800, False),  # too short to say
        (6, 4, 30, 800, False),  # not twice as long as ever
        (9, 4, 30, 800, True),
        (9, 4, 500, 800, False),  # it seldom changes
        (9, 0, 9, 100, False),  # too little is known
    ],
)
def test_repeats_are_strange_where_values_used_to_change(
    run: int, longest: int, repeats: int, known: int, stuck: bool
) -> None:
    [rarity] = rarity_of_repeats(
        np.array([run]),
        longest=np.array([longest]),
        repeats=np.array([repeats]),
        known=np.array([known]),
        cadence=np.array([3_600]),
    )
    assert (rarity >= TOLD_FROM) == stuck
