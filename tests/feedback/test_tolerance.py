from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback import guards
from feedback.labels import EFFECTS, EffectOn, LabelEvidence, Verdict
from feedback.tolerance import Tolerances, fold
from tests.feedback.factories import NOW, ONE_A_MONTH, a_false_alarm, a_label, a_real_problem

ANONYMOUS = guards.ANONYMOUS_WEIGHT


def learned(*labels: LabelEvidence) -> Tolerances:
    return fold(labels, NOW, lambda _series: ONE_A_MONTH)


def threshold(tolerances: Tolerances, series: int = 1, metric: str = "orders", direction: int = 1) -> float:
    return ONE_A_MONTH + tolerances.of(series, metric, direction)


labels = st.builds(
    a_label,
    st.sampled_from([Verdict.FALSE_ALARM, Verdict.REAL]),
    rarity=st.floats(-1, 80),
    series=st.integers(1, 5),
    direction=st.sampled_from([-1, 1]),
    weight=st.sampled_from([0.5, 1.0]),
    age_days=st.floats(0, 1500),
    alert=st.integers(1, 12),
    growing=st.booleans(),
)


def test_without_labels_every_threshold_is_that_of_the_alert_budget() -> None:
    decades = learned().decades(np.array([1, 2]), np.array([0, 0]), ["orders"], 1)
    assert decades.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("rarity", [0.61, 1.0, 2.5, 8.0, 50.0, 150.0])
@pytest.mark.parametrize("stranger", [0.8, 1.0, 1.2])
def test_one_anonymous_click_silences_the_twin_a_week_later(rarity: float, stranger: float) -> None:
    tolerances = learned(a_false_alarm(rarity, weight=ANONYMOUS, age_days=7))
    assert rarity * stranger < threshold(tolerances)


@pytest.mark.parametrize("rarity", [0.7, 3.0, 50.0])
def test_something_far_rarer_than_the_false_alarm_still_alerts(rarity: float) -> None:
    assert threshold(learned(a_false_alarm(rarity))) < 1.5 * rarity + 1


def test_an_anomaly_labelled_while_it_grows_gets_more_room() -> None:
    ended, growing = a_false_alarm(2.0), a_false_alarm(2.0, growing=True)
    more = guards.GROWING_MARGIN + 2.0 * guards.GROWING_LIKENESS
    assert threshold(learned(growing)) == pytest.approx(threshold(learned(ended)) + more)


def test_a_false_alarm_about_rises_teaches_nothing_about_falls() -> None:
    assert learned(a_false_alarm(5.0, direction=1)).of(1, "orders", -1) == 0


def test_a_false_alarm_raises_the_tolerance_of_its_siblings_a_little_and_of_everything_very_little() -> None:
    tolerances = learned(a_false_alarm(50.0, series=1))
    assert tolerances.of(2, "orders", 1) == pytest.approx(0.25)
    assert tolerances.of(3, "visits", 1) == pytest.approx(0.02)


def test_siblings_learn_more_as_more_series_agree_but_never_more_than_a_bound() -> None:
    agreeing = [learned(*(a_false_alarm(series=s) for s in range(n))).of(99, "orders", 1) for n in (1, 2, 4, 40)]
    assert agreeing == pytest.approx([0.25, 0.5, 1.0, guards.SIBLING_CEILING])


def test_many_labels_on_one_series_teach_its_siblings_no_more_than_one() -> None:
    once, often = learned(a_false_alarm()), learned(*(a_false_alarm() for _ in range(30)))
    assert often.of(2, "orders", 1) == once.of(2, "orders", 1)


def test_real_problems_among_siblings_stop_what_they_learn() -> None:
    assert learned(a_false_alarm(series=1), a_real_problem(1.0, series=2)).of(3, "orders", 1) == 0


def test_an_anonymous_answer_teaches_siblings_less_than_an_analyst() -> None:
    link, analyst = learned(a_false_alarm(weight=ANONYMOUS)), learned(a_false_alarm())
    assert link.of(2, "orders", 1) < analyst.of(2, "orders", 1)


def test_a_real_problem_pins_the_tolerance_so_that_a_weaker_repeat_is_told() -> None:
    tolerances = learned(a_real_problem(4.0), a_false_alarm(30.0))
    assert threshold(tolerances) <= 0.8 * 4.0 + 1e-9
    assert len(tolerances.share(1, "orders", 1).pinned_by) == 1


def test_a_pin_holds_against_what_siblings_taught_too() -> None:
    siblings = [a_false_alarm(series=s) for s in range(2, 12)]
    assert learned(a_real_problem(0.9), *siblings).of(1, "orders", 1) < learned(*siblings).of(1, "orders", 1)


def test_a_stronger_real_problem_leaves_a_weaker_false_alarm_its_effect() -> None:
    assert learned(a_real_problem(30.0), a_false_alarm(2.0)).of(1, "orders", 1) == learned(a_false_alarm(2.0)).of(
        1, "orders", 1
    )


def test_of_two_verdicts_on_one_alert_the_stronger_identity_decides() -> None:
    by_analyst = a_real_problem(3.0, alert=7, age_days=2)
    by_link = a_false_alarm(3.0, alert=7, age_days=1, weight=ANONYMOUS)
    assert learned(by_analyst, by_link) == learned(by_analyst)


def test_of_two_equal_identities_the_newest_decides() -> None:
    older, newer = a_real_problem(3.0, alert=7, age_days=2), a_false_alarm(3.0, alert=7, age_days=1)
    assert learned(older, newer) == learned(newer)


def test_a_label_holds_in_full_for_half_a_year_and_then_fades() -> None:
    at = [learned(a_false_alarm(5.0, weight=ANONYMOUS, age_days=d)).of(1, "orders", 1) for d in (0, 179, 360, 540)]
    assert at[0] == at[1]
    assert at[2:] == pytest.approx([at[0] / 2, at[0] / 4])


def test_a_pin_fades_too() -> None:
    new, old = (learned(a_false_alarm(9.0), a_real_problem(2.0, age_days=d)) for d in (0, 1440))
    assert new.of(1, "orders", 1) < old.of(1, "orders", 1) < learned(a_false_alarm(9.0)).of(1, "orders", 1)


def test_a_label_without_an_anomaly_teaches_no_tolerance() -> None:
    assert learned(a_label(Verdict.FALSE_ALARM, rarity=None)) == learned()


@given(st.lists(labels, max_size=12), st.randoms(use_true_random=False))
def test_the_order_of_labels_does_not_matter(standing: list[LabelEvidence], random: object) -> None:
    """Guarantee 18, in the fold."""
    shuffled = list(standing)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert learned(*shuffled) == learned(*standing)


@given(st.lists(labels, max_size=12))
def test_tolerance_never_leaves_its_bounds(standing: list[LabelEvidence]) -> None:
    tolerances = learned(*standing)
    for direction in (-1, 1):
        for metric in ("orders", "visits", "unseen"):
            decades = tolerances.decades(np.arange(8), np.zeros(8, np.int64), [metric], direction)
            assert ((decades >= 0) & (decades <= guards.CEILING)).all()


@given(st.lists(labels, max_size=12))
def test_nothing_far_rarer_than_anything_ever_called_a_false_alarm_is_silenced(standing: list[LabelEvidence]) -> None:
    """Guarantee 17, in the small: whatever a careless labeller presses."""
    tolerances = learned(*standing)
    for direction in (-1, 1):
        called = [
            guards.reach(each.rarity or 0.0, growing=each.was_growing)
            for each in standing
            if each.direction == direction and each.verdict is Verdict.FALSE_ALARM
        ]
        furthest = max([ONE_A_MONTH, *called])
        assert all(threshold(tolerances, s, "orders", direction) <= furthest + 1e-9 for s in range(8))


@given(st.lists(labels, max_size=12), st.floats(0.7, 40), st.floats(0, 100))
def test_a_repeat_of_a_real_problem_is_told_whatever_else_was_labelled(
    standing: list[LabelEvidence], rarity: float, age_days: float
) -> None:
    real = a_real_problem(rarity, series=1, age_days=age_days)
    assert threshold(learned(real, *standing)) <= max(guards.pin(rarity), ONE_A_MONTH) + 1e-9


@given(st.lists(labels, max_size=8), labels)
def test_a_false_alarm_never_narrows_the_tolerance_of_its_series(
    standing: list[LabelEvidence], one: LabelEvidence
) -> None:
    """Unless it takes the place of another verdict on its alert."""
    alone = a_false_alarm(one.rarity or 0.0, series=one.series_id, metric=one.metric, direction=one.direction)
    before, after = learned(*standing), learned(*standing, alone)
    who = (one.series_id, one.metric, one.direction)
    assert after.share(*who).own >= before.share(*who).own - 1e-9


@given(st.lists(labels, max_size=12))
def test_many_series_at_once_get_what_each_gets_alone(standing: list[LabelEvidence]) -> None:
    tolerances, names = learned(*standing), ["visits", "orders", "unseen"]
    ids, metric = np.array([5, 9, 1, 2, 3, 4]), np.array([1, 2, 1, 1, 1, 1])
    together = tolerances.decades(ids, metric, names, -1)
    alone = [tolerances.of(int(s), names[m], -1) for s, m in zip(ids, metric, strict=True)]
    assert together.tolist() == alone


def test_a_label_that_acts_on_something_else_only_teaches_nothing_and_overrules_nobody_who_does() -> None:
    false_alarm = a_false_alarm(age_days=1, alert=7)
    silent = replace(a_real_problem(alert=7), only=frozenset({EffectOn.TRAINING}))
    assert learned(silent) == learned()
    assert learned(false_alarm, silent) == learned(false_alarm)
    assert learned(false_alarm, replace(silent, only=None)) != learned(false_alarm)


def test_what_a_verdict_acts_on_alone_is_what_it_does_at_all() -> None:
    alone = {verdict: {each.value for each in does.separable} for verdict, does in EFFECTS.items()}
    assert alone == {
        Verdict.FALSE_ALARM: {"alert", "tolerance"},
        Verdict.REAL: {"training", "tolerance"},
        Verdict.MISSED: {"alert", "training", "tolerance"},
        Verdict.EVENT: {"alert", "training", "creates"},
        Verdict.NEW_NORMAL: {"alert", "creates"},
        Verdict.BAD_DATA: {"training", "creates"},
    }
