from __future__ import annotations

from dataclasses import replace

from feedback.labels import EFFECTS, EffectOn, Verdict, deciding_on, decisive, disagreeing
from tests.feedback.factories import a_false_alarm, a_real_problem


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
