from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from feedback.labels import EFFECTS, Verdict
from feedback.receipt import Action, Change, Disagreement, Hindsight, Power, PowerOf, Receipt, SeriesName
from feedback.wording import rarity_in_words, sentences, warnings, weeks
from tests.feedback.factories import NOW, a_real_problem

GERMAN = SeriesName(1, "orders", {"country": "DE", "app": "web"})


def a_receipt(verdict: Verdict = Verdict.FALSE_ALARM) -> Receipt:
    return Receipt(
        action=Action.LABELLED,
        label_id=3,
        verdict=verdict,
        author="ana",
        source="api",
        series=GERMAN,
        direction=1,
        started_at=NOW - timedelta(hours=2),
        ended_at=NOW - timedelta(hours=1),
        effects=EFFECTS[verdict],
        tolerance=Change(0.0, 1.7),
        siblings=Change(0.0, 0.25),
        threshold=Change(0.602, 1.352),
        threshold_of_repeats=Change(0.602, 2.302),
        effective_from=NOW,
        alert_id=7,
        alert_status=Change("firing", "closed"),
        power=[PowerOf(GERMAN, Power(0.98, 0.95), Power(0.98, 0.9), Power(0.98, 0.85))],
        no_longer_sent=Hindsight(3),
    )


def test_a_false_alarm_is_told_in_plain_sentences() -> None:
    assert sentences(a_receipt()) == [
        "The alert is closed, and its channels are told.",
        "The same rise at this hour of the week is now told when it is as rare as once in 3.8 years; "
        "before, once in 4 weeks.",
        "Other rises of orders (app web, country DE) that look like it are now told when they are as rare as once in "
        "22 weeks; before, once in 4 weeks.",
        "Of the alerts of the last 60 days, 3 would not have been sent.",
        "Of sudden drops of 30 % it would tell 98 % (before 98 %), of spikes 85 % (before 90 %).",
        "Its points count as normal when baselines are trained.",
        "Other series of orders learn a little from it: they are told when 1.8 times as rare as the alert budget asks; "
        "before, 1.0 times.",
        "It holds from the next point on, in full for about 360 days; then it fades.",
    ]


def test_a_dry_run_says_first_that_nothing_has_changed() -> None:
    assert sentences(replace(a_receipt(), action=Action.WOULD_LABEL))[0].startswith("Nothing has changed yet")


def test_a_label_that_a_pin_holds_back_says_why() -> None:
    level = Change(1.0, 1.0)
    held = replace(a_receipt(), threshold=level, threshold_of_repeats=level, tolerance=Change(0.4, 0.4), pinned_by=[12])
    assert any("as before: a real problem" in each and "(label 12)" in each for each in sentences(held))


def test_a_disagreement_is_shown_and_who_decides() -> None:
    torn = replace(a_receipt(), disagreements=[Disagreement(a_real_problem(author="bob"), decides=True)])
    assert any("bob said “real” on 02 Mar 2026. Both are kept; theirs decides" in each for each in sentences(torn))


def test_a_person_who_answers_again_does_not_disagree_with_anybody() -> None:
    again = replace(a_receipt(), disagreements=[Disagreement(a_real_problem(author="ana"), decides=False)])
    assert any("ana said “real” on 02 Mar 2026. This takes its place." in each for each in sentences(again))
    by_link = replace(again, author="link:team", source="link")
    same = replace(by_link, disagreements=[Disagreement(a_real_problem(author="link:team"), decides=False)])
    assert any("Both are kept; this one decides" in each for each in sentences(same))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("firing", "resolved", "The alert is over with this: nothing else that it told of goes on."),
        ("resolved", "resolved", "What the alert told of was over already."),
        ("resolved", "withdrawn", "The alert is withdrawn, and does not count as a false alarm."),
        ("withdrawn", "withdrawn", "The alert was withdrawn before, and stays so."),
    ],
)
def test_what_becomes_of_the_alert_is_told_by_what_it_was(before: str, after: str, said: str) -> None:
    assert sentences(replace(a_receipt(), alert_status=Change(before, after)))[0] == said


def test_power_of_a_later_week_says_which() -> None:
    week = [Power(drops, 0.9, since=NOW) for drops in (0.9, 0.9, 0.1)]
    later = replace(a_receipt(), power=[PowerOf(GERMAN, *week)])
    assert "drops of 30 % in the week from 02 Mar 2026 on it would then tell only 10 %" in warnings(later)[0]


def test_a_label_that_takes_most_of_the_power_away_is_warned_of() -> None:
    deaf = replace(a_receipt(), power=[PowerOf(GERMAN, *(Power(0.9, spikes) for spikes in (0.9, 0.9, 0.1)))])
    assert warnings(a_receipt()) == []
    assert len(warnings(deaf)) == 1
    assert "spikes of 30 %" in warnings(deaf)[0]


def test_many_small_losses_are_warned_of_like_a_large_one() -> None:
    worn = replace(a_receipt(), power=[PowerOf(GERMAN, *(Power(drops, 0.9) for drops in (1.0, 0.6, 0.31)))])
    assert (
        "of drops of 30 % it would now tell only 31 %, before 60 %, and 100 % without any label." in warnings(worn)[0]
    )


def test_of_several_series_the_one_that_loses_most_is_named() -> None:
    french, polish = (SeriesName(number, "orders", {"country": name}) for number, name in ((2, "FR"), (3, "PL")))
    losing = [
        PowerOf(each, Power(0.9, 0.9), Power(0.9, 0.9), Power(left, 0.9))
        for each, left in ((french, 0.4), (polish, 0.2))
    ]
    deaf = replace(a_receipt(), beside=[french, polish], power=[*a_receipt().power, *losing])
    assert [each for each in warnings(deaf) if "in orders (country PL) it would now tell only 20 %" in each]
    assert len(warnings(deaf)) == 1


@pytest.mark.parametrize(
    ("rarity", "words"),
    [
        (-1.0, "10 times a week"),
        (0.0, "once a week"),
        (0.602, "once in 4 weeks"),
        (2.0, "once in 100 weeks"),
        (3.0, "once in 19 years"),
        (5.0, "once in 1,900 years"),
        (50.0, "less than once in a million years"),
        (900.0, "less than once in a million years"),
    ],
)
def test_a_rarity_is_told_as_a_return_period(rarity: float, words: str) -> None:
    assert rarity_in_words(rarity) == words
    assert weeks(rarity) <= 1e300
