"""Which policy speaks of a series, and where each of its settings comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.alerts.policy import DEFAULT, NAMES, Direction, Policies, Policy, read_settings
from app.store.series import Matcher

SERIES = ("orders", {"country": "DE"})


def policy(name: str, settings: dict[str, Any], *, continues: bool = False, metric: str = "*") -> Policy:
    return Policy(1, name, Matcher(metric), settings, continues)


def test_the_first_policy_that_matches_decides_and_leaves_the_rest_to_the_defaults() -> None:
    policies = Policies(
        (
            policy("sign-ups", {"alerts_per_week": 9.0}, metric="signups"),
            policy("orders", {"direction": "down"}, metric="orders"),
            policy("all", {"alerts_per_week": 5.0}),
        ),
        {"alerts_per_week": 2.0},
    )
    resolved = policies.resolve(*SERIES)
    assert resolved.settings.direction is Direction.DOWN
    assert resolved.settings.alerts_per_week == 2.0
    assert (resolved.origin["direction"], resolved.origin["alerts_per_week"]) == ("orders", DEFAULT)


def test_a_policy_that_continues_lets_the_next_ones_fill_what_it_left_out() -> None:
    policies = Policies(
        (
            policy("orders", {"direction": "down"}, continues=True),
            policy("all", {"direction": "up", "alerts_per_week": 5.0}),
            policy("never reached", {"country": "DE"}),
        )
    )
    resolved = policies.resolve(*SERIES)
    assert resolved.policies == ("orders", "all")
    assert (resolved.settings.direction, resolved.settings.alerts_per_week) == (Direction.DOWN, 5.0)
    assert resolved.settings.country is None


def test_limits_of_a_later_policy_give_way_to_another_detector_of_an_earlier_one() -> None:
    policies = Policies(
        (policy("basic", {"detector": "basic"}, continues=True), policy("fixed", {"limits": {"lower": 0.0}}))
    )
    assert policies.resolve(*SERIES).settings.limits is None


@pytest.mark.parametrize(
    ("settings", "cure"),
    [
        ({"sigma": 3}, "settings: there is no such setting; there are alerts_per_week"),
        ({"limits": {"top": 3}}, "limits: there is no such setting; there are lower, upper"),
        ({"alerts_per_week": 0}, "alerts_per_week: input should be greater than 0"),
        ({"alerts_per_week": "2"}, "alerts_per_week: input should be a valid number"),
        ({"direction": "sideways"}, "direction: input should be 'both', 'up' or 'down'"),
        ({"timezone": "Mars/Olympus"}, "timezone: name an IANA time zone"),
        ({"detector": "oracle"}, "detector: no detector has this name; take one of basic"),
        ({"limits": {}}, "limits: give `lower`, `upper` or both"),
        ({"limits": {"lower": 2, "upper": 1}}, "limits: `lower` must lie below `upper`"),
        ({"detector": "basic", "limits": {"lower": 2}}, "leave `detector` out"),
    ],
)
def test_wrong_settings_are_refused_with_the_cure(settings: dict[str, Any], cure: str) -> None:
    with pytest.raises(ValueError) as refusal:
        read_settings(settings)
    assert cure in str(refusal.value)
    assert "sideways" not in str(refusal.value).replace("'both', 'up' or 'down'", "")


some_settings = st.fixed_dictionaries(
    {},
    optional={
        "alerts_per_week": st.sampled_from([0.5, 1.0, 2.0]),
        "direction": st.sampled_from(["up", "down"]),
        "country": st.sampled_from(["DE", "FR"]),
    },
)
some_policies = st.lists(
    st.tuples(some_settings, st.booleans(), st.sampled_from(["orders", "signups", "*"])), max_size=6
)


@settings(deadline=None)  # the first example finds out which time zones there are
@given(some_policies)
def test_each_setting_comes_from_the_first_policy_of_the_chain_that_gives_it(
    drawn: list[tuple[dict[str, Any], bool, str]],
) -> None:
    ordered = [
        policy(f"policy {index}", settings, continues=continues, metric=metric)
        for index, (settings, continues, metric) in enumerate(drawn)
    ]
    resolved = Policies(ordered).resolve(*SERIES)
    speaking = [each for each in ordered if each.matcher.matches(*SERIES)]
    stop = next((index for index, each in enumerate(speaking) if not each.continues), len(speaking))
    chain = speaking[: stop + 1]
    assert resolved.policies == tuple(each.name for each in chain)
    for name in NAMES:
        giver = next((each for each in chain if name in each.given), None)
        assert resolved.origin[name] == (giver.name if giver else DEFAULT)
        value = giver.given[name] if giver else getattr(read_settings({}), name)
        assert getattr(resolved.settings, name) == value


def test_every_setting_is_in_the_reference() -> None:
    reference = Path("docs/reference.md").read_text()
    assert [name for name in NAMES if f"| `{name}` |" not in reference] == []
