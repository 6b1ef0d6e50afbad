"""Which values of a dimension make most of a change."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.alerts.contribution import (
    Explanation,
    Sibling,
    adds_up,
    contributions,
    dimensions_that_vary,
    most_telling_first,
)


def explained(changes: Mapping[str, float], direction: int = -1, dimension: str = "country") -> Explanation | None:
    siblings = [
        Sibling(number, value, 1_000 + change, 1_000.0) for number, (value, change) in enumerate(changes.items())
    ]
    return contributions(dimension, siblings, direction)


def sentence(changes: Mapping[str, float], direction: int = -1) -> str:
    found = explained(changes, direction)
    assert found is not None
    return found.sentence


def test_the_few_values_that_make_most_of_a_drop_are_named() -> None:
    said = sentence({"DE": -500, "FR": -360, "IT": -70, "ES": -50, "PL": -20})
    assert said == "DE and FR make 86 % of the drop over all 5 values of country."


def test_one_value_alone() -> None:
    assert sentence({"DE": 3, "FR": 970, "IT": 20}, 1) == "FR makes 98 % of the rise over all 3 values of country."


def test_what_is_left_over_is_not_a_percentage() -> None:
    assert sentence({"DE": -999, "FR": -1, "IT": 0}) == "DE makes all of the drop over all 3 values of country."


def test_a_change_of_all_is_said_to_be_spread() -> None:
    said = sentence({f"C{number}": -100.0 - number for number in range(10)})
    assert said == "The drop is spread over all 10 values of country; C9 makes most, 10 %."


def test_values_that_moved_the_other_way_have_no_share() -> None:
    found = explained({"DE": -100, "FR": -100, "IT": 50})
    assert found is not None
    assert [(each.value, each.share) for each in found.contributions] == [("DE", 0.5), ("FR", 0.5)]


def test_a_shift_between_values_is_no_drop_of_the_whole() -> None:
    assert explained({"DE": -100, "FR": 150}) is None


def test_one_value_that_is_lost_among_the_noise_of_many_is_not_made_a_change_of_the_whole() -> None:
    noise = {f"C{number}": 20.0 * (-1) ** number for number in range(100)}
    assert explained({"DE": -100, **noise}) is None


def test_a_total_that_is_not_known_explains_nothing() -> None:
    unknown = [Sibling(number, f"C{number}", None, None) for number in range(2)]
    assert contributions("country", [*unknown, Sibling(7, "DE", 1, 9), Sibling(8, "FR", 1, 9)], -1) is None
    assert contributions("country", [Sibling(7, "DE", 1, 9)], -1) is None


@pytest.mark.parametrize(
    "metric",
    [
        "orders",
        "revenue_eur",
        "ratings",
        "minutes_watched",
        "sms_sent",
        "errors",
        "conversions",
        "rate_limited_requests",
        "ordersPlaced",
    ],
)
def test_counts_and_amounts_add_up(metric: str) -> None:
    assert adds_up(metric)


@pytest.mark.parametrize(
    "metric",
    [
        "latency_ms",
        "conversion.rate",
        "p99_seconds",
        "cpu_percent",
        "avg_basket",
        "errorRate",
        "latencyMs",
        "avgDuration",
        "latencies",
        "prices",
        "p95Latency",
    ],
)
def test_rates_and_latencies_do_not(metric: str) -> None:
    assert not adds_up(metric)


def test_only_series_that_differ_in_one_dimension_are_compared() -> None:
    candidates = {
        1: {"country": "DE", "device": "phone"},
        2: {"country": "FR", "device": "phone"},
        3: {"country": "DE", "device": "tablet"},
        4: {"country": "FR", "device": "tablet"},
        5: {"country": "DE"},
        6: {},
        7: {"shop": "A", "device": "phone"},
    }
    assert dimensions_that_vary(candidates[1], candidates) == {
        ("country", False): {1: "DE", 2: "FR"},
        ("device", False): {1: "phone", 3: "tablet"},
    }
    assert dimensions_that_vary({"country": "DE"}, candidates) == {("device", True): {1: "phone", 3: "tablet"}}
    assert dimensions_that_vary({}, candidates | {8: {"country": "FR"}}) == {("country", True): {5: "DE", 8: "FR"}}


def test_the_dimension_that_says_it_in_the_fewest_values_is_told() -> None:
    by_country = explained({"DE": -50, "FR": -50, "IT": -50, "ES": -50})
    by_device = explained({"phone": -195, "desk": -5}, dimension="device")
    assert by_country is not None
    assert by_device is not None
    assert most_telling_first([by_country, by_device]) == (by_device, by_country)


@given(st.lists(st.floats(-1e30, 1e30), min_size=2, max_size=20), st.sampled_from([-1, 1]))
def test_shares_are_shares(changes: list[float], direction: int) -> None:
    siblings = [Sibling(number, str(number), change, 0.0) for number, change in enumerate(changes)]
    found = contributions("country", siblings, direction)
    if found is not None:
        assert sum(each.share for each in found.contributions) == pytest.approx(1)
        assert all(0 <= each.share <= 1 for each in found.contributions)
        assert found.sentence.endswith((".", "%."))
