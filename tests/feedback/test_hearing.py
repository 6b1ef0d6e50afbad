from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedback import guards, hearing, triage
from feedback.desensitise import WIDEST
from feedback.labels import LabelEvidence, Looks, Verdict
from feedback.tolerance import Tolerances, fold
from tests.feedback.factories import NOW, a_label

BASE = 0.0
HOUR, DAY, WEEK = 3_600, 86_400, 604_800
SPIKE = {"always": 1.0, "rarer": 0.5, "up": 0.5, "rarer_up": 0.25, "outside": 1.0, "step": 1.0}


def said(
    verdict: Verdict, *, actual: float = 140.0, rarity: float = 5.0, features: bool = True, **changes: object
) -> LabelEvidence:
    """About a series that expected 100; it began three hours before it was labelled and lasted for half an hour."""
    label = a_label(verdict, rarity=rarity, direction=1 if actual > 100 else -1, **changes)  # type: ignore[arg-type]
    return replace(label, looks=Looks(actual, 100.0, SPIKE if features else {}))


def asked(
    *labels: LabelEvidence,
    actual: float = 140.0,
    rarer: float = 5.0,
    later: float = 3 * DAY,
    opened: float | None = None,
    seen: dict[str, float] = SPIKE,
    cadence: int = 0,
) -> float:
    """Decades asked of a candidate, so many seconds after the first label's anomaly began."""
    learned = fold(labels, NOW, lambda _series: BASE)
    direction = 1 if actual > 100 else -1
    start = int(labels[0].started_at.timestamp()) if labels else 0
    candidate = replace(
        hearing.one(
            1,
            "orders",
            direction,
            rarer,
            Looks(actual, 100.0, seen),
            at=int(start + later),
            opened_at=int(start + (later if opened is None else opened)),
        ),
        cadence=np.array([cadence]),
    )
    general = np.array([learned.of(1, "orders", direction)])
    return float(hearing.decades(learned, candidate, general, np.array([BASE]))[0])


def test_without_labels_the_budget_alone_decides() -> None:
    assert asked() == 0.0
    assert Tolerances().are_blank


def test_a_repeat_of_a_false_alarm_at_the_same_hour_of_the_week_is_silent() -> None:
    assert asked(said(Verdict.FALSE_ALARM), later=WEEK) > 5.0
    assert asked(said(Verdict.FALSE_ALARM), later=2 * WEEK + HOUR) > 5.0


def test_as_severe_a_thing_at_another_time_is_told() -> None:
    assert asked(said(Verdict.FALSE_ALARM, actual=160.0), actual=160.0, later=3 * DAY) < 5.0


def test_a_small_change_may_be_learned_away_as_far_as_it_was_called_a_false_alarm_and_no_further() -> None:
    often = [said(Verdict.FALSE_ALARM, actual=130.0, series=each % 3 + 1) for each in range(20)]
    assert asked(*often, actual=130.0, rarer=5.0) > 5.0
    assert asked(*often, actual=130.0, rarer=8.0) < 8.0


def test_what_one_answer_teaches_of_what_repeats_nothing_is_little_and_more_answers_teach_more() -> None:
    often = [said(Verdict.FALSE_ALARM, actual=130.0) for _ in range(4)]
    few, many = (asked(*often[:count], actual=130.0, rarer=3.0) for count in (1, 4))
    assert few <= guards.VOICE
    assert many >= 4 * guards.VOICE


def test_a_much_larger_thing_at_the_same_hour_is_told() -> None:
    assert asked(said(Verdict.FALSE_ALARM), later=WEEK, actual=170.0) < 5.0


@pytest.mark.parametrize("actual", [45.0, 0.0, 320.0])
def test_what_is_halved_or_tripled_is_told_even_where_it_repeats_a_false_alarm(actual: float) -> None:
    assert asked(said(Verdict.FALSE_ALARM, actual=actual), later=WEEK, actual=actual) < 5.0


def test_what_is_halved_is_told_however_many_called_its_like_false_alarms() -> None:
    careless = [said(Verdict.FALSE_ALARM, actual=40.0, rarity=2.0) for _ in range(40)]
    assert asked(*careless, actual=40.0, rarer=2.0) <= guards.GENERAL_CEILING


def test_what_is_halved_and_lasts_is_told_as_if_nobody_had_labelled_anything() -> None:
    """Guarantee 17, where little was expected and nothing comes for hours: hardly rarer than the budget asks."""
    careless = [said(Verdict.FALSE_ALARM, actual=40.0, rarity=2.0, series=each % 3 + 1) for each in range(40)]
    lasting = [
        asked(*careless, actual=0.0, rarer=0.2, later=3 * DAY + hours * HOUR, opened=3 * DAY, cadence=HOUR)
        for hours in range(4)
    ]
    assert lasting[:2] == [guards.GENERAL_CEILING] * 2
    assert max(lasting[2:]) <= 0.0


def test_what_goes_on_after_it_was_called_a_false_alarm_stays_silent_unless_it_grows() -> None:
    label = said(Verdict.FALSE_ALARM, actual=45.0)
    assert asked(label, actual=45.0, later=5 * HOUR, opened=1.5 * HOUR) > 5.0
    assert asked(label, actual=10.0, later=5 * HOUR, opened=1.5 * HOUR) < 5.0


def test_a_repeat_of_a_real_problem_is_told_however_many_called_its_like_false_alarms() -> None:
    careless = [said(Verdict.FALSE_ALARM, rarity=2.0, series=each) for each in (1, 1, 1, 1, 2, 3)]
    real = said(Verdict.REAL, rarity=1.0)
    assert asked(*careless, rarer=1.0) > 1.0
    assert asked(*careless, real, rarer=1.0) <= 1.0


def test_a_label_without_known_looks_silences_no_repeat() -> None:
    label = replace(said(Verdict.FALSE_ALARM), looks=None)
    assert asked(label, later=WEEK) <= guards.GENERAL_CEILING


def widened(*labels: LabelEvidence, actual: float = 140.0, rarer: float = 1.0, later: float = 3 * DAY) -> float:
    """As `asked`, of a series with a new normal of which nothing is known yet."""
    learned = replace(fold(labels, NOW, lambda _series: BASE), widened={1: WIDEST})
    start, direction = int(NOW.timestamp()), 1 if actual > 100 else -1
    at = int(start + later)
    candidate = hearing.one(1, "orders", direction, rarer, Looks(actual, 100.0, SPIKE), at=at, opened_at=at)
    general = learned.asked(np.array([1]), np.array([0]), ["orders"], direction)
    return float(hearing.decades(learned, candidate, general, np.array([BASE]))[0])


def test_a_new_normal_is_tolerated_as_much_whatever_was_said_of_other_series() -> None:
    elsewhere = [said(verdict, series=7, metric="visits") for verdict in (Verdict.FALSE_ALARM, Verdict.REAL)]
    assert widened() == WIDEST
    for label in elsewhere:
        assert WIDEST - guards.MOST_LOWERED <= widened(label) <= WIDEST + guards.GENERAL_CEILING
    assert widened(elsewhere[0], actual=40.0) >= WIDEST


def test_a_repeat_of_a_real_problem_is_told_although_its_series_still_settles() -> None:
    assert widened(said(Verdict.REAL, rarity=1.0), rarer=1.0) <= 1.0


def test_triage_tells_sooner_but_never_below_where_candidates_begin() -> None:
    missed = [said(Verdict.MISSED, rarity=0.1, features=True) for _ in range(40)]
    assert -guards.MOST_LOWERED <= asked(*missed, rarer=0.0, later=3 * DAY) < 0


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            said,
            st.sampled_from([Verdict.FALSE_ALARM, Verdict.REAL, Verdict.MISSED]),
            actual=st.sampled_from([0.0, 40.0, 70.0, 130.0, 160.0, 400.0]),
            rarity=st.floats(-0.5, 30),
            series=st.integers(1, 3),
            age_days=st.floats(0, 400),
        ),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from([0.0, 40.0, 70.0, 130.0, 160.0, 400.0]),
    st.floats(0.5, 20),
)
def test_nobody_can_make_it_deaf(standing: list[LabelEvidence], actual: float, days: float) -> None:
    """Guarantee 17: apart from a repeat and from what goes on, what is severe is told whatever anybody said."""
    times = [label.started_at for label in standing]
    at = max(times) + timedelta(days=days)
    phases = [((at - each).total_seconds() + 2 * HOUR) % WEEK for each in times]
    decades = asked(*standing, actual=actual, rarer=4.0, later=(at - standing[0].started_at).total_seconds())
    small = 100 * (1 - guards.SMALL_FALL) < actual < 100 * (1 + guards.SMALL_RISE)  # these may be learned away
    if guards.is_severe(1 if actual > 100 else -1, actual, 100.0) or (min(phases) > DAY and not small):
        assert decades <= guards.most_taught(np.array([BASE]))
    if actual <= 50:
        assert decades <= guards.GENERAL_CEILING


def test_the_evidence_of_an_outage_and_of_a_spike_are_far_apart() -> None:
    level = triage.vector({"level": 1.0, "step": -1.0})
    assert triage.shape_distance(triage.vector(SPIKE), level) > guards.SHAPES_APART
