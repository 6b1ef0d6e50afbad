"""Training picks a detector per series by a backtest on its own past, within a cost budget, and says why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from detectors.basic import Basic
from detectors.choice import COST_MS, choose, few_events
from detectors.contract import Fields, Floats, Points, Scores
from detectors.counts import Counts
from detectors.decomposed import Decomposed
from detectors.seasonal import Seasonal
from detectors.static import Static
from tests.detectors.checks import DAY, history, seasonal_values, times

OTHERS = (Basic(), Static(), Counts(), Decomposed())
N = 5 * 168


def _mixed() -> Floats:
    """A clean season, single events, white noise, and a season that grows while its level drifts."""
    timestamp, rng = times(N), np.random.default_rng(8)
    wave = np.sin(2 * np.pi * (timestamp % DAY) / DAY)
    return np.stack(
        [
            seasonal_values(timestamp, 1)[0],
            rng.poisson(0.5, N).astype(float),
            rng.normal(100, 5, N),
            100 + np.cumsum(rng.normal(0, 0.5, N)) + np.linspace(5, 50, N) * wave,
        ]
    )


def test_the_default_stays_where_nothing_is_clearly_better() -> None:
    choice = choose(history(seasonal_values(times(N), 20)), default=Seasonal(), others=OTHERS, budget_ms=0.0)
    assert set(choice.detector) == {"seasonal"}
    assert all("default" in reason for reason in choice.reason)


class Closer(Seasonal):
    """Expects so large a share of what the default is off by."""

    name = "closer"

    def __init__(self, share: float) -> None:
        self.share = share

    def score_in_turn(self, points: Points, steps: int, baseline: Fields, state: Fields) -> tuple[Scores, Fields]:
        scores, after = super().score_in_turn(points, steps, baseline, state)
        return replace(scores, expected=points.value + self.share * (scores.expected - points.value)), after


@pytest.mark.parametrize(("share", "chosen"), [(0.7, "seasonal"), (0.4, "closer")])
def test_another_is_chosen_where_it_halves_the_errors_and_not_where_it_only_lessens_them(
    share: float, chosen: str
) -> None:
    past = history(seasonal_values(times(N), 4))
    choice = choose(past, default=Seasonal(), others=(Closer(share),), budget_ms=0.0, cost_ms={"closer": 0.3})
    assert set(choice.detector) == {chosen}


def test_a_tide_beside_the_day_is_given_to_the_decomposition() -> None:
    """Its period fits neither a day nor a week: the profile can't hold it, and a level fitted to it follows closely."""
    hours = np.arange(3 * 168)
    waves = np.sin(2 * np.pi * hours / 24) + np.sin(2 * np.pi * hours / 31)
    past = history(100 + 20 * waves[None, :] + np.random.default_rng(8).normal(0, 1, (1, hours.size)))
    poor, rich = (choose(past, default=Seasonal(), others=OTHERS, budget_ms=each) for each in (0.0, 200.0))
    assert (poor.detector, rich.detector) == (["seasonal"], ["decomposed"])
    assert "smaller than seasonal's" in rich.reason[0]


def test_single_events_are_counted() -> None:
    choice = choose(history(_mixed()), default=Seasonal(), others=OTHERS, budget_ms=0.0)
    assert choice.detector[1] == "counts"
    assert "events" in choice.reason[1]


def test_dear_detectors_are_tried_on_as_many_series_as_the_budget_pays_for() -> None:
    tried: list[int] = []

    class Watched(Decomposed):
        def fit(self, history):  # type: ignore[no-untyped-def]
            tried.append(len(history.values))
            return super().fit(history)

    one = 2 * COST_MS["decomposed"]  # a fit, and the trial of it
    choose(history(_mixed()), default=Seasonal(), others=(Watched(),), budget_ms=2.5 * one)
    assert tried == [2]
    tried.clear()
    choose(history(_mixed()), default=Seasonal(), others=(Watched(),), budget_ms=0.9 * one)
    assert tried == []


def test_odd_histories_keep_the_default() -> None:
    values = np.stack([np.full(N, np.nan), np.full(N, 5.0), np.where(np.arange(N) % 2, 1e300, -1e300)])
    choice = choose(history(values), default=Seasonal(), others=OTHERS, budget_ms=10_000.0)
    assert choice.detector == ["seasonal"] * 3
    assert choose(history(values[:, :1]), default=Seasonal(), others=OTHERS, budget_ms=0.0).detector == ["seasonal"] * 3


def test_what_counts_single_events_is_told_from_its_values() -> None:
    values = np.array(
        [[0, 1, 0, 2], [0, 0.5, 1, 2], [0, -1, 1, 2], [500, 600, 700, 800], [0, 0, 0, 0], [0, np.nan, 1, 0]]
    )
    assert few_events(values).tolist() == [True, False, False, False, False, True]
