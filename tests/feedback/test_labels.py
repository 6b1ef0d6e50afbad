from __future__ import annotations

import itertools
from dataclasses import replace

from feedback.labels import EFFECTS, EffectOn, Verdict, deciding_on, decisive, disagreeing, said_of_alerts
from tests.feedback.factories import a_false_alarm, a_label, a_real_problem


def test_every_verdict_has_effects() -> None:
    assert set(EFFECTS) == set(Verdict)


def test_two_equal_verdicts_on_one_alert_act_once() -> None:
    assert len(decisive([a_false_alarm(alert=7), a_false_alarm(alert=7), a_false_alarm(alert=8)])) == 2


def test_those_who_disagree_are_named_oldest_first() -> None:
    mine = a_false_alarm(alert=7)
    bob, eve = a_real_problem(alert=7, author="bob", age_days=1), a_real_problem(alert=7, author="eve", age_days=2)
    agreeing, elsewhere = a_false_alarm(alert=7), a_real_problem(alert=8)
    assert disagreeing(mine, [mine, bob, eve, agreeing, elsewhere]) == [eve, bob]


def test_labels_disagree_and_decide_on_what_they_act_on_alone() -> None:
    mine, bob = a_false_alarm(alert=7, age_days=1), a_real_problem(alert=7, author="bob")
    trained = replace(bob, only=frozenset({EffectOn.TRAINING}))
    assert deciding_on(EffectOn.TOLERANCE, [mine, trained]) == [mine]
    assert deciding_on(EffectOn.TRAINING, [mine, trained]) == [trained]
    assert mine.in_common(trained) == [EffectOn.TRAINING]
    silent = replace(mine, only=frozenset({EffectOn.ALERT}))
    assert disagreeing(silent, [silent, trained]) == []


def test_an_alert_was_right_if_one_of_its_series_was() -> None:
    real = a_label(Verdict.REAL, alert=1, series=1)
    on_one_series = a_label(Verdict.FALSE_ALARM, alert=1, series=2)
    overruled = a_label(Verdict.REAL, alert=2, age_days=1)
    newer = a_label(Verdict.FALSE_ALARM, alert=2)
    lost = [a_label(Verdict.BAD_DATA, alert=3, series=2), a_label(Verdict.FALSE_ALARM, alert=3, series=1)]
    for labels in itertools.permutations([real, on_one_series, overruled, newer, *lost]):
        assert said_of_alerts(labels) == {1: real, 2: newer, 3: lost[1]}
