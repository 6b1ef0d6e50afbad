"""Which new baseline takes the place of the old one, and in what words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from detectors.contract import Floats
from feedback.retrain import (
    DECISION,
    REASONS,
    WORDS,
    Decision,
    Figures,
    Reason,
    Standing,
    compared,
    decide,
    farness,
    in_words,
    is_to_rest,
    promoted,
)

SIZE = np.array([0.3])


def figures(**changed: float) -> Figures:
    """Those of one series of which nothing is wrong."""
    ordinary = {
        "points": 840.0,
        "needed": 200.0,
        "known": 1.0,
        "known_before": 1.0,
        "repeated": 0.0,
        "repeated_before": 0.0,
        "recent": 168.0,
        "loss_old": 0.1,
        "loss_new": 0.1,
        "noise": 0.001,
        "strange_old": 0.0,
        "strange_new": 0.0,
        "off": 0.05,
        "off_before": 0.05,
        "level_old": 100.0,
        "level_new": 100.0,
        "apart": 0.01,
        "beyond": 0.1,
        "heard_old": 1.0,
        "heard_new": 1.0,
        "wider": 1.0,
        "real": 1.0,
        "real_unheard": 0.0,
        "false": 1.0,
        "false_told": 0.0,
        "factor": 1.0,
    }
    return Figures(**{name: np.array([value]) for name, value in (ordinary | changed).items()})


def standing(**changed: bool) -> Standing:
    usual = {
        "fitted": True,
        "trained": True,
        "other": False,
        "in_gap": False,
        "has_new_level": False,
        "overdue": False,
    } | changed
    asked = {name: usual.pop(name, False) for name in ("forced", "by_night")}
    arrays = {name: np.array([value]) for name, value in usual.items()}
    return Standing(**arrays, forced=asked["forced"], by_night=asked["by_night"])


CASES: dict[Reason, tuple[dict[str, float], dict[str, bool]]] = {
    Reason.NOT_WORSE: ({}, {}),
    Reason.BETTER: ({"loss_new": 0.05}, {}),
    Reason.FIRST: ({}, {"trained": False}),
    Reason.OTHER_DETECTOR: ({"loss_new": 9.0}, {"other": True}),
    Reason.NO_POINTS: ({"points": 0.0}, {"fitted": False}),
    Reason.IN_GAP: ({}, {"in_gap": True}),
    Reason.YOUNG: ({"points": 20.0}, {"trained": False}),
    Reason.TOO_LITTLE: ({"points": 100.0}, {}),
    Reason.NOT_FITTED: ({}, {"fitted": False}),
    Reason.NO_RECENT: ({"recent": 3.0}, {}),
    Reason.SPARSE: ({"known": 0.5}, {}),
    Reason.FLAT: ({"repeated": 0.99}, {}),
    Reason.MOVED: ({"off": 0.5}, {}),
    Reason.LEVEL: ({"apart": 0.5, "beyond": 3.0}, {}),
    Reason.DEAF: ({"heard_new": 0.4}, {}),
    Reason.REAL_UNHEARD: ({"real_unheard": 1.0}, {}),
    Reason.FALSE_TOLD: ({"false_told": 1.0}, {}),
    Reason.WORSE: ({"loss_new": 0.2}, {}),
    Reason.UNLIKE: ({"strange_old": 0.1, "strange_new": 0.1}, {}),
    Reason.FOLLOWED: ({"off": 0.5, "factor": 0.6}, {"by_night": True}),
}


OUTWEIGHED_BY_A_WEEK = {
    Reason.SPARSE,
    Reason.FLAT,
    Reason.MOVED,
    Reason.LEVEL,
    Reason.DEAF,
    Reason.WORSE,
    Reason.UNLIKE,
}


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_its_case_its_words_and_what_force_does_of_it(reason: Reason) -> None:
    of, stands = CASES[reason]
    (code,) = decide(figures(**of), standing(**stands), SIZE)
    assert REASONS[code] is reason
    wins = DECISION[reason] is Decision.PROMOTED
    assert promoted(np.array([code]), standing(**stands)) == [wins]
    can_be_forced = stands.get("fitted", True)
    assert promoted(np.array([code]), standing(**stands, forced=True)) == [can_be_forced]
    assert promoted(np.array([code]), standing(**stands, overdue=True)) == [wins or reason in OUTWEIGHED_BY_A_WEEK]
    one = {name: float(getattr(figures(**of), name)[0]) for name in Figures.__dataclass_fields__}
    said = in_words(reason, one, forced=False)
    assert "{" not in said
    assert said.endswith(WORDS[reason][1])
    assert in_words(reason, one, forced=True).startswith("forced, although ")


def test_only_a_night_follows_and_only_what_it_would_refuse() -> None:
    def decided(of: dict[str, float], **stands: bool) -> Reason:
        return REASONS[int(decide(figures(**of), standing(**stands), SIZE)[0])]

    moved = {"off": 0.5, "factor": 0.6}
    assert decided(moved, by_night=True) is Reason.FOLLOWED
    assert decided(moved) is Reason.MOVED
    assert decided(moved, by_night=True, overdue=True) is Reason.MOVED
    assert decided(moved | {"factor": 1.0}, by_night=True) is Reason.MOVED
    assert decided(moved | {"real_unheard": 1.0}, by_night=True) is Reason.REAL_UNHEARD
    assert decided(moved | {"heard_new": 0.4, "off": 0.0}, by_night=True) is Reason.DEAF
    assert decided({"factor": 0.6}, by_night=True) is Reason.NOT_WORSE


@pytest.mark.parametrize("label", [Reason.REAL_UNHEARD, Reason.FALSE_TOLD])
@pytest.mark.parametrize("besides", sorted(OUTWEIGHED_BY_A_WEEK))
def test_whatever_else_has_lasted_a_week_what_people_labelled_holds(label: Reason, besides: Reason) -> None:
    both = figures(**CASES[label][0], **CASES[besides][0])
    codes = decide(both, standing(), SIZE)
    assert REASONS[codes[0]] is label
    assert promoted(codes, standing(overdue=True)) == [False]


def test_what_nothing_is_known_of_is_refused_for_no_figure_that_is_not_there() -> None:
    nothing = replace(Figures.unknown(1), points=np.array([840.0]), needed=np.array([200.0]))
    (code,) = decide(nothing, standing(), SIZE)
    assert REASONS[code] is Reason.NO_RECENT


def test_the_noise_of_the_difference_excuses_a_somewhat_larger_loss() -> None:
    assert REASONS[decide(figures(loss_new=0.13), standing(), SIZE)[0]] is Reason.WORSE
    assert REASONS[decide(figures(loss_new=0.13, noise=0.02), standing(), SIZE)[0]] is Reason.NOT_WORSE


def test_a_new_normal_excuses_a_moved_level_but_not_a_wide_band() -> None:
    moved = {"off": 0.5, "apart": 0.5, "beyond": 3.0}
    assert REASONS[decide(figures(**moved), standing(has_new_level=True), SIZE)[0]] is Reason.NOT_WORSE
    assert REASONS[decide(figures(**moved, heard_new=0.1), standing(has_new_level=True), SIZE)[0]] is Reason.DEAF


def test_a_series_of_which_the_owners_change_was_never_heard_may_not_become_three_times_as_deaf() -> None:
    never = {"heard_old": 0.0, "heard_new": 0.0}
    assert REASONS[decide(figures(**never, wider=2.0), standing(), SIZE)[0]] is Reason.NOT_WORSE
    assert REASONS[decide(figures(**never, wider=4.0), standing(), SIZE)[0]] is Reason.DEAF


def test_a_series_that_always_wandered_has_not_moved() -> None:
    wandering = figures(off=0.6, off_before=0.5)
    assert REASONS[decide(wandering, standing(), SIZE)[0]] is Reason.NOT_WORSE


def test_refusals_for_what_the_data_are_like_rest_and_those_for_few_points_do_not() -> None:
    codes = np.arange(len(REASONS))
    resting = {REASONS[code] for code in codes[is_to_rest(codes)]}
    assert {Reason.MOVED, Reason.UNLIKE, Reason.DEAF} < resting
    assert not {Reason.TOO_LITTLE, Reason.SPARSE, Reason.NOT_WORSE, Reason.NO_RECENT} & resting


def test_losses_are_cut_so_that_one_incident_does_not_decide() -> None:
    value = np.full((1, 70), 10.0)
    expected = np.full((1, 70), 10.0)
    expected[0, 0] = 1e9
    found = compared(value, np.full((1, 70), 10.5), expected, np.array([1.0]), 7)
    assert found["loss_old"] == pytest.approx(0.5)
    assert found["loss_new"] == pytest.approx(4.0 / 70)
    assert found["recent"] == 70


def test_losses_of_a_past_of_which_nothing_is_known_are_numbers() -> None:
    found = compared(np.full((2, 7), np.nan), np.ones((2, 7)), np.ones((2, 7)), np.ones(2), 7)
    assert all(np.isfinite(each).all() for each in found.values())
    assert (found["recent"] == 0).all()


def test_the_farness_of_the_recent_past_is_measured_against_the_farthest_part_before_it() -> None:
    expected: Floats = np.full((1, 30), 10.0)
    value = expected.copy()
    value[0, 20:] += 5.0  # the recent past
    value[0, 5:10] -= 2.0
    part = (29 - np.arange(30)) // 10
    found = farness(value, expected, part)
    assert found["off"] == pytest.approx(0.5)
    assert found["off_before"] == pytest.approx(0.1)
