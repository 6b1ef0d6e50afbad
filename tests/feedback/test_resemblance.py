"""What makes one anomaly like another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.contract import Floats
from feedback.resemblance import ALIKE, Traits, distance, relative_size

HOUR, DAY = 3_600, 86_400
TUESDAY_NOON = 5 * DAY + 12 * HOUR  # 6 January 1970


def an_anomaly(**changes: object) -> Traits:
    """A drop of 40 % that lasted three hours on a Tuesday."""
    drop = {"direction": -1.0, "rarity": 3.0, "size": 0.4, "lasted": 3.0 * HOUR} | {
        name: value for name, value in changes.items() if name not in ("evidence", "local")
    }
    evidence = np.array([changes.get("evidence", [3.0, 2.8, 1.0, 3.2, 2.0])], np.float64)
    local = np.array([changes.get("local", TUESDAY_NOON)], np.int64)
    return Traits(evidence=evidence, local=local, **{name: np.array([value]) for name, value in drop.items()})


def between(one: Traits, other: Traits) -> float:
    return float(distance(one, other)[0, 0])


def test_the_same_again_is_no_distance_away() -> None:
    assert between(an_anomaly(), an_anomaly()) == 0


def test_a_week_later_a_little_larger_and_longer_it_is_still_alike() -> None:
    again = an_anomaly(local=TUESDAY_NOON + 7 * DAY + HOUR, size=0.5, lasted=4.0 * HOUR, rarity=3.6)
    assert 0 < between(an_anomaly(), again) < ALIKE


@pytest.mark.parametrize(
    "changes",
    [
        {"direction": 1.0},
        {"rarity": 40.0},
        {"size": 0.05},
        {"lasted": 30.0 * HOUR},
        {"local": TUESDAY_NOON + 11 * HOUR},
        {"evidence": [-1.0, -1.0, 3.2, -1.0, -1.0]},
    ],
    ids=["other way", "far rarer", "far smaller", "far longer", "at night", "other evidence"],
)
def test_one_trait_that_is_plainly_different_makes_them_unlike(changes: dict[str, object]) -> None:
    assert between(an_anomaly(), an_anomaly(**changes)) > ALIKE


def test_a_weekend_counts_and_yet_is_not_everything() -> None:
    saturday = an_anomaly(local=TUESDAY_NOON + 4 * DAY)
    assert 0 < between(an_anomaly(), saturday) < ALIKE
    assert between(an_anomaly(), an_anomaly(local=TUESDAY_NOON + 3 * DAY)) == 0


def test_midnight_is_near_to_just_before_it() -> None:
    late, early = (an_anomaly(local=TUESDAY_NOON + hours * HOUR) for hours in (11, 13))
    assert between(late, early) < 0.5


def test_what_is_not_known_makes_it_neither_alike_nor_unlike() -> None:
    known, unknown = an_anomaly(), an_anomaly(size=np.nan, evidence=[np.nan] * 5)
    assert 0 < between(known, unknown) < ALIKE
    assert between(known, replace(unknown, rarity=np.array([40.0]))) > ALIKE


def test_many_are_compared_with_many_at_once() -> None:
    one, other = an_anomaly(), an_anomaly(rarity=5.0)
    both = Traits(*(np.concatenate([getattr(one, name), getattr(other, name)]) for name in Traits.__dataclass_fields__))
    table = distance(both, both)
    assert table.shape == (2, 2)
    assert table[0, 1] == pytest.approx(between(one, other))
    assert np.array_equal(distance(one, Traits(*(getattr(both, n)[:0] for n in Traits.__dataclass_fields__))), [[]])


reals = st.floats(-1e9, 1e9) | st.just(float("nan"))
anomalies = st.builds(
    an_anomaly,
    direction=st.sampled_from([-1.0, 0.0, 1.0]),
    rarity=st.floats(-300, 300) | st.just(float("nan")),
    size=st.floats(0, allow_infinity=True) | st.just(float("nan")),
    lasted=st.floats(0, 1e12),
    local=st.integers(-(10**11), 10**11),
    evidence=st.lists(reals, min_size=5, max_size=5),
)


@given(anomalies, anomalies)
def test_the_distance_is_symmetric_never_negative_and_never_unknown(one: Traits, other: Traits) -> None:
    there, back = between(one, other), between(other, one)
    assert there == pytest.approx(back)
    assert there >= 0


@pytest.mark.parametrize(
    ("actual", "expected", "share"), [(60.0, 100.0, 0.4), (-140.0, -100.0, 0.4), (5.0, 0.0, np.nan), (0.0, 10.0, 1.0)]
)
def test_the_size_is_a_share_of_what_was_expected(actual: float, expected: float, share: float) -> None:
    found: Floats = relative_size(np.array([actual]), np.array([expected]))
    assert found == pytest.approx(np.array([share]), nan_ok=True)
