from __future__ import annotations

from feedback.labels import EFFECTS, Verdict, decisive, disagreeing
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
