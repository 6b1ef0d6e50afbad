"""When a policy breaks its budget, and which one would have been right."""

from __future__ import annotations

from app.alerts.budget import Told, fitting, in_words, is_broken


def told(*rarities: float) -> list[Told]:
    return [Told(index, rarity, "orders") for index, rarity in enumerate(rarities)]


def test_a_budget_is_broken_by_what_chance_hardly_ever_brings() -> None:
    assert [is_broken(count, 2.0) for count in (5, 8, 9)] == [False, False, True]
    assert [is_broken(count, 100.0) for count in (110, 130, 135)] == [False, False, True]


def test_a_handful_of_alerts_breaks_no_budget_however_small() -> None:
    assert [is_broken(count, 0.25) for count in (4, 5, 6)] == [False, False, True]


def test_the_budget_that_is_offered_would_have_kept_the_week_within_what_was_asked() -> None:
    week = told(0.7, 0.9, 1.1, 1.4, 2.6, 0.65, 0.8)
    wanted, left = fitting(week, budget=2.0)
    assert left == 2
    assert 10**-1.4 / 10 < wanted < 10**-1.1


def test_what_is_said_names_the_budget_the_change_and_the_foremost_series() -> None:
    said = in_words("Policy shop", told(0.7, 0.9, 1.1, 1.4, 2.6), 1.0, alerts_per_week=0.25)
    assert said == (
        "Policy shop told of 5 alerts in a week, its budget is 1 a week. From now on they come once a day in a digest, "
        "unless they are critical, until a week has kept the budget. With 0.03 alerts a series and week in place of "
        "0.25, 1 of the 5 would have been told. All 5 are of orders"
    )


def test_what_is_said_counts_the_foremost_series_among_all_and_says_large_budgets_as_people_do() -> None:
    week = [*told(*[1.0] * 100), *(Told(each, 1.0, f"refunds {each}") for each in range(80))]
    said = in_words("Policy shop", week, 124.0, alerts_per_week=0.25)
    assert "its budget is 120 a week." in said
    assert said.endswith(". 100 of the 180 are of orders")


def test_where_no_budget_would_help_none_is_offered() -> None:
    said = in_words("Policy shop", told(9.0, 12.0), 0.02, alerts_per_week=0.02)
    assert "a series and week" not in said
    assert "answer them" in said
