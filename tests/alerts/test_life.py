"""The life of an anomaly, one point of each series at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.alerts.life import Changes, LifeRules, advance, frozen, is_open, newborn
from detectors.contract import Fields, Points, Scores

START, HOUR = 1_700_000_000, 3_600
RULES = LifeRules()
Step = tuple[float, int]  # rarity, direction


def _point(at: int, rarity: list[float], direction: list[int], cadence: int) -> tuple[Points, Scores]:
    count = len(rarity)
    whole, zero = np.arange(count), np.zeros(count)
    times = np.full(count, at)
    points = Points(
        row=whole,
        timestamp=times,
        local=times,
        value=np.where(np.array(rarity) < 0, 4.0, np.where(np.array(direction) < 0, -3.0, 10.0)),
        cadence=np.full(count, cadence),
        frozen=np.zeros(count, bool),
        threshold_up=zero,
        threshold_down=zero,
    )
    scores = Scores(
        expected=np.full(count, 4.0),
        lower=np.full(count, 3.0),
        upper=np.full(count, 5.0),
        rarity=np.array(rarity),
        direction=np.array(direction, np.int8),
        evidence=np.array(rarity, np.float32)[:, None],
    )
    return points, scores


def _live(
    steps: list[Step], *, cadence: int = HOUR, rules: LifeRules = RULES, up: float = 1.0, down: float = 1.0
) -> tuple[list[Fields], list[Changes]]:
    """The fields and changes after each point of one series; the candidate level is 0.6 decades under 1."""
    life, lives, changes = newborn(1, 1), [], []
    for index, (rarity, direction) in enumerate(steps):
        points, scores = _point(START + index * cadence, [rarity], [direction], cadence)
        life, change = advance(
            life,
            points,
            scores,
            candidate=np.array([0.4]),
            threshold_up=np.array([up]),
            threshold_down=np.array([down]),
            rules=rules,
        )
        lives.append(life)
        changes.append(change)
    return lives, changes


def _when(changes: list[Changes], what: str) -> list[int]:
    return [index for index, change in enumerate(changes) if getattr(change, what)[0]]


CALM, NEARLY, RARE = (-1.0, 1), (0.5, 1), (2.0, 1)


def test_a_calm_series_never_has_a_run() -> None:
    lives, changes = _live([CALM] * 5)
    assert not any(change.any() for change in changes)
    assert not is_open(lives[-1]).any()


def test_a_run_opens_as_a_candidate_and_is_told_when_it_reaches_the_threshold() -> None:
    lives, changes = _live([CALM, NEARLY, RARE, RARE])
    assert _when(changes, "opened") == [1]
    assert _when(changes, "told") == [2]
    assert _when(changes, "grew") == [2, 3]
    assert frozen(lives[1]).tolist() == [False]
    assert frozen(lives[2]).tolist() == [True]


def test_a_run_may_be_opened_and_told_by_one_point() -> None:
    _, changes = _live([CALM, RARE])
    assert _when(changes, "opened") == _when(changes, "told") == [1]


def test_a_run_ends_after_enough_calm_points() -> None:
    lives, changes = _live([RARE, CALM, CALM, CALM])
    assert _when(changes, "ended") == [RULES.calm_points]
    assert lives[-1]["closed_at"][0] == START + RULES.calm_points * HOUR
    assert not frozen(lives[-1]).any()


@pytest.mark.parametrize(("first", "value"), [(RARE, 9.0), ((2.0, -1), -1.0)])
def test_a_told_run_goes_on_while_its_points_are_beyond_the_band_however_used_to_that_the_evidence_is(
    first: Step, value: float
) -> None:
    lives, _ = _live([first])
    life = lives[-1]
    levels = {name: np.ones(1) for name in ("candidate", "threshold_up", "threshold_down")}
    for hour, there in enumerate([value] * 9 + [4.5, 4.5], 1):
        points, scores = _point(START + hour * HOUR, [-1.0], [0], HOUR)
        life, changes = advance(life, replace(points, value=np.array([there])), scores, rules=RULES, **levels)
        assert is_open(life).tolist() == frozen(life).tolist() == [hour < 11]
        assert changes.grew.tolist() == [there == value]
    assert life["last_abnormal_at"][0] == START + 9 * HOUR


def test_a_minutely_run_needs_calm_for_half_an_hour() -> None:
    _, changes = _live([RARE] + [CALM] * 40, cadence=60)
    assert _when(changes, "ended") == [30]


def test_one_calm_point_amid_the_run_does_not_end_it() -> None:
    _, changes = _live([RARE, CALM, RARE, CALM])
    assert _when(changes, "ended") == []
    assert _when(changes, "opened") == [0]


def test_a_run_reopens_within_the_cool_down_and_is_not_told_twice() -> None:
    lives, changes = _live([RARE, CALM, CALM, CALM, RARE])
    assert _when(changes, "reopened") == [4]
    assert _when(changes, "told") == [0]
    assert lives[-1]["opened_at"][0] == START


def test_after_the_cool_down_a_new_run_opens() -> None:
    lives, changes = _live([RARE] + [CALM] * 12 + [RARE])
    assert _when(changes, "opened") == [0, 13]
    assert _when(changes, "told") == [0, 13]
    assert lives[-1]["abnormal_points"][0] == 1


def test_a_told_run_is_not_reopened_by_what_would_not_be_told() -> None:
    _, changes = _live([RARE, CALM, CALM, NEARLY])
    assert _when(changes, "reopened") == _when(changes, "opened")[1:] == []


def test_falls_are_held_against_the_threshold_for_falls() -> None:
    _, changes = _live([(2.0, -1)], down=3.0)
    assert _when(changes, "opened") == [0]
    assert _when(changes, "told") == []


def test_a_point_that_is_itself_normal_is_calm_whatever_was_before_it() -> None:
    points, scores = _point(START, [2.0, 2.0], [1, -1], HOUR)  # the second rose, while its past speaks of a fall
    points = replace(points, value=np.array([10.0, 4.2]))
    levels = {name: np.ones(2) for name in ("candidate", "threshold_up", "threshold_down")}
    _, changes = advance(newborn(2, 1), points, scores, **levels, rules=RULES)
    assert changes.told.tolist() == [True, False]


def test_a_told_run_reopens_only_by_a_point_outside_its_band() -> None:
    lives, _ = _live([RARE, CALM, CALM])
    for value, reopens in ((4.5, False), (6.0, True)):
        points, scores = _point(START + 3 * HOUR, [2.0], [1], HOUR)
        levels = {name: np.ones(1) for name in ("candidate", "threshold_up", "threshold_down")}
        _, changes = advance(lives[-1], replace(points, value=np.array([value])), scores, **levels, rules=RULES)
        assert changes.reopened.tolist() == [reopens]


def test_a_fall_does_not_begin_with_the_rise_that_was_not_told_before_it() -> None:
    lives, changes = _live([NEARLY, (2.0, -1), (2.0, -1)])
    assert _when(changes, "opened") == [0, 1]
    assert _when(changes, "told") == [1]
    assert lives[-1]["opened_at"][0] == START + HOUR


def test_a_tolerated_run_is_not_learned_from_and_its_way_back_is_not_told() -> None:
    """A false alarm's twin: silent as it falls, and as it returns through a point inside its band."""
    high, usual = np.full(1, 5.0), np.ones(1)
    life = newborn(1, 1)
    told, held = [], []
    for hour, (rarity, direction, value) in enumerate([(3.0, -1, -2.0), (3.0, -1, -2.0), (2.0, 1, 4.5), (2.0, 1, 9.0)]):
        points, scores = _point(START + hour * HOUR, [rarity], [direction], HOUR)
        points = replace(points, value=np.array([value]))
        levels = {"candidate": usual - 0.6, "threshold_up": usual, "threshold_down": high, "untolerated": usual}
        life, changes = advance(life, points, scores, rules=RULES, **levels)
        told.append(bool(changes.told[0]))
        held.append(bool(frozen(life)[0]))
    assert told == [False, False, False, True]  # outside its band it is a rise of its own
    assert held == [True, True, True, True]


def test_a_missing_or_unjudged_point_changes_nothing() -> None:
    lives, changes = _live([RARE, (float("nan"), 0), (float("nan"), 0), (float("nan"), 0)])
    assert not any(change.any() for change in changes[1:])
    assert is_open(lives[-1]).all()


def test_the_peak_keeps_what_was_seen_at_the_rarest_point() -> None:
    lives, _ = _live([(1.0, 1), (3.0, -1), (2.0, 1)])
    last = lives[-1]
    assert (last["peak_rarity"][0], last["peak_at"][0], last["direction"][0]) == (3.0, START + HOUR, -1)
    assert last["peak_evidence"][0, 0] == pytest.approx(3.0)
    assert last["impact"][0] == pytest.approx(5.0)


def test_a_lasting_shift_ends_by_age_and_is_not_told_again_while_it_settles() -> None:
    lives, changes = _live([RARE] * 100)
    assert _when(changes, "ended") == _when(changes, "aged") == [24]
    assert _when(changes, "told") == [0]
    assert not frozen(lives[-1]).any()
    assert lives[-1]["settling"].all()


def test_while_settling_something_stranger_is_told() -> None:
    _, changes = _live([RARE] * 40 + [(4.0, 1)])
    assert _when(changes, "told") == [0, 40]


def test_while_settling_the_other_direction_is_told_if_it_is_far_beyond_the_threshold() -> None:
    _, back = _live([RARE] * 40 + [(1.5, -1)])
    assert _when(back, "told") == [0]
    _, crash = _live([RARE] * 40 + [(2.1, -1)])
    assert _when(crash, "told") == [0, 40]


def test_while_settling_the_way_back_is_no_news_however_rare() -> None:
    lives, _ = _live([RARE] * 40)
    points, scores = _point(START + 40 * HOUR, [9.0], [-1], HOUR)
    levels = {name: np.ones(1) for name in ("candidate", "threshold_up", "threshold_down")}
    for value, is_told in ((-2.0, False), (-3.0, True)):
        back = replace(points, value=np.array([value]))
        _, changes = advance(lives[-1], back, scores, rules=RULES, **levels)
        assert changes.told.tolist() == [is_told]


def test_a_series_that_flaps_for_longer_than_a_day_settles_instead_of_reopening_for_ever() -> None:
    lives, changes = _live([RARE, CALM, CALM, CALM] * 40)
    assert _when(changes, "told") == [0]
    assert len(_when(changes, "reopened")) <= 6
    assert lives[-1]["settling"].all()
    assert not frozen(lives[-1]).any()


def test_a_settled_series_is_watched_as_before() -> None:
    _, changes = _live([RARE] * 40 + [CALM] * 3 + [CALM] * 10 + [RARE])
    assert _when(changes, "told") == [0, 53]


def test_series_side_by_side_live_as_they_would_alone() -> None:
    rng = np.random.default_rng(7)
    rarity = np.where(rng.random((200, 20)) < 0.2, rng.uniform(0, 3, (200, 20)), -1.0)
    rarity[50:120, 3] = 2.0
    direction = rng.choice([-1, 1], (200, 20))
    together, alone = newborn(20, 1), [newborn(1, 1) for _ in range(20)]
    for index in range(200):
        at = START + index * HOUR
        points, scores = _point(at, rarity[index].tolist(), direction[index].tolist(), HOUR)
        levels = {name: np.full(20, level) for name, level in (("candidate", 0.4), ("threshold_up", 1.0))}
        together, _ = advance(together, points, scores, threshold_down=levels["threshold_up"], rules=RULES, **levels)
        for row in range(20):
            one, judged = _point(at, [rarity[index, row]], [int(direction[index, row])], HOUR)
            single = {name: level[:1] for name, level in levels.items()}
            alone[row], _ = advance(alone[row], one, judged, threshold_down=np.ones(1), rules=RULES, **single)
    for name, array in together.items():
        np.testing.assert_array_equal(array, np.concatenate([life[name] for life in alone]), err_msg=name)


def test_advancing_leaves_the_given_fields_untouched() -> None:
    life = newborn(2, 1)
    before = {name: array.copy() for name, array in life.items()}
    points, scores = _point(START, [2.0, -1.0], [1, 1], HOUR)
    level = np.ones(2)
    advance(life, points, scores, candidate=level, threshold_up=level, threshold_down=level, rules=RULES)
    for name, array in life.items():
        np.testing.assert_array_equal(array, before[name])


def test_the_way_back_from_what_lasted_is_not_told_though_the_expectation_had_followed_it() -> None:
    """A tolerated fall of seven hours, after which the value lies as far above the expectation that it drew down."""
    high, usual = np.full(1, 5.0), np.ones(1)
    life = newborn(1, 1)
    told = []
    for hour, (rarity, direction, value) in enumerate([(3.0, -1, -2.0)] * 7 + [(2.0, 1, 9.0), (2.0, 1, 60.0)]):
        points, scores = _point(START + hour * HOUR, [rarity], [direction], HOUR)
        points = replace(points, value=np.array([value]))
        levels = {"candidate": usual - 0.6, "threshold_up": usual, "threshold_down": high, "untolerated": usual}
        life, changes = advance(life, points, scores, rules=RULES, **levels)
        told.append(bool(changes.told[0]))
    assert told == [False] * 8 + [True]  # further than it had fallen is a rise of its own


@pytest.mark.parametrize(("value", "reopens"), [(9.0, False), (60.0, True)])
def test_the_way_back_does_not_take_up_a_run_again_that_had_lasted(value: float, reopens: bool) -> None:
    """A fall of seven hours that was told, two calm hours, and a rise above the expectation that it had drawn down."""
    life, usual, reopened = newborn(1, 1), np.ones(1), False
    steps = [(3.0, -1, -2.0)] * 7 + [(-1.0, 1, 4.0)] * 2 + [(2.0, 1, value)]
    for hour, (rarity, direction, seen) in enumerate(steps):
        points, scores = _point(START + hour * HOUR, [rarity], [direction], HOUR)
        points = replace(points, value=np.array([seen]))
        levels = {"candidate": usual - 0.6, "threshold_up": usual, "threshold_down": usual}
        life, changes = advance(life, points, scores, rules=RULES, **levels)
        reopened |= bool(changes.reopened[0])
    assert not life["aged"].any()
    assert reopened is reopens
