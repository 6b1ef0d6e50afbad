"""How well it does, counted by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.labels import Verdict
from feedback.scorecard import Missed, Record, Silenced, Told, Watched, card, cards, estimate

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ORDERS, SIGNUPS = {"metric": "orders"}, {"metric": "signups"}


def told(verdict: Verdict | None, groups: dict[str, str] = ORDERS, hours: float = 2) -> Told:
    return Told(groups, NOW, verdict, NOW + timedelta(hours=hours) if verdict else None)


def test_precision_counts_what_was_answered_and_says_how_sure_it_is() -> None:
    figures = card(Record(told=[told(Verdict.REAL), told(Verdict.EVENT), told(Verdict.FALSE_ALARM), told(None)]))
    assert figures.precision is not None
    assert figures.precision.value == pytest.approx(2 / 3)
    assert (round(figures.precision.low, 3), round(figures.precision.high, 3)) == (0.254, 0.922)  # Wilson, by hand
    assert (figures.right, figures.wrong, figures.unanswered) == (2, 1, 1)
    assert figures.coverage == 0.75


def test_recall_is_over_the_problems_that_are_known() -> None:
    figures = card(Record(told=[told(Verdict.REAL)] * 3 + [told(Verdict.EVENT)], missed=[Missed(ORDERS)]))
    assert figures.recall is not None
    assert (figures.recall.value, figures.recall.cases) == (0.75, 4)


def test_bad_data_is_neither_right_nor_wrong() -> None:
    figures = card(Record(told=[told(Verdict.BAD_DATA), told(Verdict.REAL)]))
    assert figures.precision is not None
    assert (figures.precision.cases, figures.bad_data, figures.unanswered) == (1, 1, 0)


def test_without_a_case_nothing_is_claimed() -> None:
    figures = card(Record())
    assert (figures.precision, figures.recall, figures.coverage, figures.alerts_a_week) == (None, None, None, None)
    assert not figures.breaks_budget


def test_alerts_a_week_are_held_against_what_all_owners_put_up_with() -> None:
    watched = [Watched(ORDERS, series=10, series_weeks=40.0, budget=2.5)]
    few, many = (card(Record(told=[told(None)] * count, watched=watched)) for count in (8, 12))
    assert (few.alerts_a_week, many.alerts_a_week) == (2.0, 3.0)
    assert (few.breaks_budget, many.breaks_budget) == (False, True)


def test_what_labels_saved_stands_beside_what_they_cost() -> None:
    figures = card(Record(silenced=[Silenced(ORDERS, 7)], missed=[Missed(ORDERS, silenced=True), Missed(ORDERS)]))
    assert (figures.saved, figures.cost, figures.missed) == (7, 1, 2)


def test_the_usual_answer_is_the_median_so_that_one_holiday_does_not_count() -> None:
    answers = [told(Verdict.REAL, hours=hours) for hours in (1, 2, 300)]
    assert card(Record(told=answers)).median_answer == timedelta(hours=2)


def test_groups_share_everything_out() -> None:
    record = Record(
        told=[told(Verdict.REAL), told(Verdict.FALSE_ALARM, SIGNUPS)],
        watched=[Watched(ORDERS, 1, 4.0, 1.0), Watched(SIGNUPS, 2, 8.0, 2.0)],
    )
    by_metric = cards(record, "metric")
    assert {name: (each.right, each.wrong, each.series) for name, each in by_metric.items()} == {
        "orders": (1, 0, 1),
        "signups": (0, 1, 2),
    }


@given(st.integers(0, 400), st.integers(0, 400))
def test_an_interval_holds_its_share_and_narrows_with_cases(count: int, more: int) -> None:
    cases = count + more
    share = estimate(count, cases)
    if share is None:
        assert cases == 0
        return
    assert 0 <= share.low <= share.value + 1e-12
    assert share.value - 1e-12 <= share.high <= 1
    wider = estimate(count, cases)
    narrower = estimate(4 * count, 4 * cases)
    assert wider is not None
    assert narrower is not None
    assert narrower.high - narrower.low < wider.high - wider.low
