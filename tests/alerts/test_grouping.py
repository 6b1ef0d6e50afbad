"""Which anomalies go together, which series leads, and when an alert is spoken of again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.alerts.grouping import (
    Extent,
    Growth,
    Member,
    are_apart,
    causes_among,
    goes_with,
    group_key,
    groups_of_totals,
    growth_of,
    is_part_of,
    lead_of,
    left_of,
    may_have_grown,
    off_by,
)
from app.alerts.policy import Policy, Resolved, read_settings, resolved
from app.store.series import Matcher

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def orders(number: int = 1, **dimensions: str) -> Member:
    return Member(number, "orders", dimensions)


def policy(name: str = "shop", **settings: object) -> Resolved:
    return resolved([Policy(1, name, Matcher(), settings)], {})


def test_without_a_word_of_a_policy_a_metric_that_falls_is_one_group() -> None:
    plain = resolved((), {})
    german = group_key(plain, orders(1, country="DE"), -1)
    assert german == group_key(plain, orders(2, country="FR"), -1) == group_key(plain, orders(3), -1)
    assert german != group_key(plain, orders(1, country="DE"), 1)
    assert german != group_key(plain, Member(4, "refunds", {"country": "DE"}), -1)
    assert german != group_key(policy(), orders(1, country="DE"), -1)


def test_a_policy_says_what_its_groups_have_in_common() -> None:
    by_country = policy(group_by=["country"])
    german = group_key(by_country, orders(1, country="DE", device="phone"), -1)
    assert german == group_key(by_country, Member(2, "refunds", {"country": "DE"}), 1)
    assert german != group_key(by_country, orders(3, country="FR", device="phone"), -1)
    assert german != group_key(by_country, orders(4), -1)
    alone = policy(group_by=["series"])
    assert group_key(alone, orders(1), -1) != group_key(alone, orders(2), -1)


def test_the_totals_of_a_series_are_in_groups_that_lack_what_the_policy_splits_them_by() -> None:
    split = policy(group_by=["metric", "country", "device"])
    phone = orders(1, country="DE", device="phone", shop="a")
    totals = [orders(2, device="phone"), orders(3, country="DE"), orders(4)]
    assert groups_of_totals(split, phone, -1) == [group_key(split, each, -1) for each in totals]
    assert groups_of_totals(split, orders(4), -1) == []
    assert groups_of_totals(policy(group_by=["series", "country"]), phone, -1) == []
    many = policy(group_by=list("abcdefghij"))
    assert len(groups_of_totals(many, orders(1, **dict.fromkeys("abcdefghij", "x")), -1)) == 31


def test_series_are_apart_that_differ_in_what_the_policy_splits_them_by() -> None:
    split = policy(group_by=["country"])
    assert are_apart(split, orders(1, country="DE"), orders(2, country="FR"))
    assert not are_apart(split, orders(1, country="DE", device="phone"), orders(2, country="DE", device="pad"))
    assert not are_apart(split, orders(1, country="DE"), orders(2))


@pytest.mark.parametrize("wrong", [["country", "country"], [""], ["x" * 300]])
def test_wrong_groups_are_refused_with_the_cure(wrong: list[str]) -> None:
    with pytest.raises(ValueError, match=r"group_by: name each of `metric`, `direction`, `series`"):
        read_settings({"group_by": wrong})


def test_what_begins_within_three_steps_or_an_hour_of_the_others_goes_with_them() -> None:
    began, newest = NOON, NOON + 2 * HOUR
    assert goes_with(began, newest, newest + HOUR, 60)
    assert not goes_with(began, newest, newest + 2 * HOUR, 60)
    assert goes_with(began, newest, newest + 3 * HOUR, 3_600)
    assert goes_with(began, newest, began - HOUR, 60)
    assert not goes_with(began, newest, began - 2 * HOUR, 60)


def test_a_total_has_some_of_a_parts_dimensions_and_no_other() -> None:
    part = orders(1, country="DE", device="phone")
    assert is_part_of(part, orders(2, country="DE"))
    assert is_part_of(part, orders(2))
    assert not is_part_of(part, part)
    assert not is_part_of(part, orders(2, country="FR"))
    assert not is_part_of(part, orders(2, shop="a"))
    assert not is_part_of(part, Member(2, "refunds", {}))


def test_the_total_leads_whenever_it_comes() -> None:
    german, french, total = orders(1, country="DE"), orders(2, country="FR"), orders(3)
    assert lead_of(None, [german, french]) == german
    assert lead_of(german, [french, total]) == total
    assert lead_of(total, [german]) == total


def test_a_total_does_not_lead_a_part_that_the_policy_tells_apart() -> None:
    german, total = orders(1, country="DE"), orders(3)
    phone = orders(4, country="DE", device="phone")
    assert lead_of(german, [total], ["country"]) == lead_of(total, [german], ["country"]) == german
    assert lead_of(phone, [total, german], ["country"]) == german


DIMENSIONS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy"))


@given(st.lists(DIMENSIONS, max_size=12))
def test_causes_are_the_series_that_are_part_of_no_other(all_dimensions: list[dict[str, str]]) -> None:
    members = [orders(number, **dimensions) for number, dimensions in enumerate(all_dimensions)]
    by_pairs = [not any(is_part_of(each, other) for other in members) for each in members]
    assert causes_among(members) == by_pairs


class Counted(dict[str, str]):
    """Dimensions that count how often any of them is looked at."""

    looks = 0

    def __getitem__(self, name: str) -> str:
        Counted.looks += 1
        return super().__getitem__(name)

    def __iter__(self) -> Iterator[str]:
        Counted.looks += 1
        return super().__iter__()

    def keys(self) -> Any:
        Counted.looks += 1
        return super().keys()

    def items(self) -> Any:
        Counted.looks += 1
        return super().items()


def test_the_causes_among_five_thousand_series_are_found_by_looking_at_each_a_few_times() -> None:
    members = [
        Member(number, "orders", Counted(country=f"C{number % 100}", shop=f"S{number}")) for number in range(5_000)
    ]
    members += [Member(5_000 + number, "orders", Counted(country=f"C{number}")) for number in range(100)]
    assert sum(causes_among(members)) == 100
    assert 0 < Counted.looks < 10 * len(members)


def test_an_alert_is_spoken_of_again_when_it_has_doubled() -> None:
    told = Extent(causes=4, size=0.3)
    assert growth_of(told, Extent(7, 0.3), 1.0) is None
    assert growth_of(told, Extent(8, 0.3), 1.0) is Growth.SPREAD
    assert growth_of(told, Extent(4, 0.5), 1.0) is None
    assert growth_of(told, Extent(4, 0.6), 1.0) is Growth.WORSENED
    assert growth_of(told, Extent(4, 0.5), 0.5) is Growth.WORSENED
    assert growth_of(Extent(1, 0.3), Extent(2, 0.3), 1.0) is Growth.SPREAD


def test_a_drop_is_spoken_of_again_when_half_of_what_it_left_has_gone() -> None:
    told = Extent(1, 0.55, left_of(45.0, 100.0))
    assert growth_of(told, Extent(1, 0.75, left_of(25.0, 100.0)), 1.0) is None
    assert growth_of(told, Extent(1, 1.0, left_of(0.0, 100.0)), 1.0) is Growth.WORSENED
    assert growth_of(told, Extent(1, 1.0, left_of(0.0, 100.0)), 100.0) is None


def test_an_alert_about_no_series_does_not_grow() -> None:
    assert growth_of(Extent(0, 0.0), Extent(0, 0.0), 1.0) is None


def test_of_what_is_nearly_all_gone_no_rest_is_news() -> None:
    nearly, wholly = (Extent(1, 1.0, left_of(value, 100.0)) for value in (2.0, 0.0))
    assert growth_of(nearly, wholly, 1.0) is None
    assert not may_have_grown(nearly, wholly, 1.0)


def test_what_is_left_is_a_share_of_what_was_expected_and_a_rise_leaves_all() -> None:
    assert left_of(-30.0, -100.0) == pytest.approx(0.3)
    assert left_of(300.0, 100.0) == left_of(5.0, 0.0) == left_of(5.0, None) == 1.0
    assert Extent.read(Extent(1, 0.55, 0.45).json()) == Extent(1, 0.55, 0.45)


def test_an_extent_that_was_stored_without_what_was_left_is_not_taken_for_one_that_left_all() -> None:
    told = Extent.read({"causes": 1, "size": 0.6})
    assert growth_of(told, Extent(1, 0.6, 0.4), 1.0) is None


def test_how_far_off_is_a_share_of_what_was_expected_or_of_the_band_where_that_is_wide() -> None:
    assert off_by(40.0, 100.0, 90.0, 110.0) == pytest.approx(0.6)
    assert off_by(9.0, 1.0, -3.0, 5.0) == pytest.approx(2.0)
    assert off_by(9.0, None, None, None) == off_by(9.0, 0.0, 0.0, 0.0) == 1.0


def test_one_anomaly_is_worth_another_look_at_each_doubling_only() -> None:
    sizes = [Extent(1, 0.1 * 1.1**step) for step in range(40)]  # up to 41 times as far off
    looks = sum(may_have_grown(before, after, 1.0) for before, after in pairwise(sizes))
    assert looks == 6
    assert not may_have_grown(Extent(1, 0.0), Extent(1, 0.5), 1.0)
    assert not may_have_grown(Extent(1, 0.5), Extent(1, 0.4), 1.0)
    drops = [Extent(1, 0.9, 0.9 * 0.95**step) for step in range(40)]  # down to an eighth of what was left
    assert sum(may_have_grown(before, after, 1.0) for before, after in pairwise(drops)) == 3
