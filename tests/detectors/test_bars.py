"""The least change that is news of a series of which nobody said."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.bars import Bar, Bars, least_of
from detectors.contract import Floats

RNG = np.random.default_rng(1)


@pytest.mark.parametrize(
    ("values", "least"),
    [
        (RNG.poisson(2.0, 300).astype(float), 0.9),
        (np.where(RNG.random(300) < 0.1, np.nan, 400.0), 0.9),
        (np.full(300, 400.5), 4.005),
        (np.full(300, -400.5), 4.005),
        (np.full(300, 0.99), 0.0001),
        (RNG.integers(0, 2, 300).astype(float), 0.0),
        (np.zeros(300), 0.0),
        (np.full(300, np.nan), 0.0),
        (np.array([]), 0.0),
    ],
    ids=["counts", "steady counts", "size", "below zero", "ratio", "on or off", "nothing yet", "unknown", "empty"],
)
def test_it_is_about_one_event_of_counts_and_a_hundredth_of_the_usual_size_of_others(
    values: Floats, least: float
) -> None:
    assert least_of(values[None, :])[0] == pytest.approx(least)


def test_what_a_policy_says_is_kept() -> None:
    bars = Bars.of([Bar(absolute=0.0), Bar(absolute=7.0), Bar(absolute=np.nan)])
    assert bars.with_least(np.array([1.0, 2.0, 3.0])).absolute.tolist() == [0.0, 7.0, 3.0]
