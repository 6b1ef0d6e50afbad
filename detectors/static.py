"""Fixed limits: for series that no model serves better, and for those whose owner knows the limits.

Limits come from the history: how high, and how low, its calm extremes go, each with its own tail. An owner's own
limits stand above that: a value beyond one is as rare as can be, a value within both is never abnormal.
"""

from __future__ import annotations

import numpy as np

from detectors.calendar import DAY
from detectors.contract import HUGE, Fields, Floats, History, Points, Scores
from detectors.rarity import RAREST, evidence_at, rarity_of, tail_of_history
from detectors.robust import center_and_unit

FEWEST_POINTS = 14
LARGEST = 1e9
SIDES = np.array([1.0, -1.0])
NAMES = ("level", "excess", "log_rate")
BEYOND_A_LIMIT = 6.0
"""Rarity (log10 weeks) of a value beyond an owner's own limit: any budget tells it."""


def is_beyond_a_limit(detector: str, rarity: float) -> bool:
    """Whether an owner's own limit made it so rare, which says nothing of how often that happens."""
    return detector == Static.name and rarity == BEYOND_A_LIMIT


class Static:
    """A lower and an upper limit, the same at every hour."""

    name = "static"
    version = 1
    evidence: tuple[str, ...] = ("above", "below")

    def cold(self, count: int) -> tuple[Fields, Fields]:
        """Fields of series of which nothing is known. `tail_*` have a column for rises and one for falls."""
        baseline: Fields = {
            "trained": np.zeros(count, bool),
            "center": np.zeros(count),
            "unit": np.ones(count),
            "tail_level": np.full((count, 2), 3.0),
            "tail_excess": np.ones((count, 2)),
            "tail_log_rate": np.zeros((count, 2)),
            "upper_limit": np.full(count, np.nan),
            "lower_limit": np.full(count, np.nan),
        }
        return baseline, {"count": np.zeros(count, np.int64)}

    def fit(self, history: History) -> tuple[Fields, Fields]:
        """Tails of the highest and of the lowest values of each series with at least 14 points."""
        baseline, state = self.cold(len(history.values))
        values = np.where(np.isfinite(history.values), history.values, np.nan)
        count = (~np.isnan(values)).sum(axis=1)
        enough = count >= FEWEST_POINTS
        if enough.any():
            with np.errstate(all="ignore"):
                for name, array in _fit(values[enough], history.cadence).items():
                    baseline[name][enough] = array
        state["count"][:] = count
        return baseline, state

    def score(self, points: Points, baseline: Fields, state: Fields) -> tuple[Scores, Fields]:
        """How far beyond the usual extremes a point lies; learns nothing but how many points it saw."""
        rows = {name: array[points.row] for name, array in baseline.items()}
        with np.errstate(all="ignore"):
            scores = _score(points, rows)
        known = np.isfinite(points.value) & ~points.frozen
        return scores, {"count": state["count"] + known}

    def score_in_turn(self, points: Points, steps: int, baseline: Fields, state: Fields) -> tuple[Scores, Fields]:
        """All at once, as nothing that is seen changes what is judged next."""
        scores, seen = self.score(points, baseline, {"count": np.zeros(len(points.row), np.int64)})
        return scores, {"count": state["count"] + np.cumsum(seen["count"].reshape(steps, -1), axis=0)}


class Limited(Static):
    """The same with an owner's own limits, NaN where there is none."""

    def __init__(self, lower: float, upper: float) -> None:
        self.lower, self.upper = lower, upper

    def fit(self, history: History) -> tuple[Fields, Fields]:
        """Tails as of `Static`, and the limits, of all series."""
        baseline, state = super().fit(history)
        lower, upper = (np.full(len(history.values), limit) for limit in (self.lower, self.upper))
        return with_limits(baseline, lower=lower, upper=upper), state


def with_limits(baseline: Fields, *, lower: Floats, upper: Floats) -> Fields:
    """The baseline with an owner's own limits (S,), NaN where there is none."""
    return baseline | {"lower_limit": lower.copy(), "upper_limit": upper.copy()}


def _fit(values: Floats, cadence: int) -> Fields:
    center, unit = center_and_unit(values)
    deviation = _deviation(values, center[:, None], unit[:, None])
    day = max(1, DAY // cadence)  # limits speak of the extremes of days, not of single hours
    tails = [
        tail_of_history(side * deviation, cadence, blocks=day, prior_level=2.0, prior_excess=0.4) for side in SIDES
    ]
    floor = np.maximum(1e-3 * np.abs(center) / unit, 1e-6)[:, None]
    return {
        "trained": np.ones(len(values), bool),
        "center": center,
        "unit": unit,
        "tail_level": np.stack([tail.level for tail in tails], axis=1),
        "tail_excess": np.maximum(np.stack([tail.excess for tail in tails], axis=1), floor),
        "tail_log_rate": np.stack([tail.log_rate for tail in tails], axis=1),
    }


def _deviation(values: Floats, center: Floats, unit: Floats) -> Floats:
    return np.clip(values / unit - center / unit, -LARGEST, LARGEST)


def _score(points: Points, rows: Fields) -> Scores:
    center, unit = rows["center"], rows["unit"]
    limited = ~(np.isnan(rows["upper_limit"]) & np.isnan(rows["lower_limit"]))
    spoken_for = rows["trained"] | limited
    judged = spoken_for & np.isfinite(points.value)
    tail = tuple(rows[f"tail_{name}"] for name in NAMES)
    sides = _deviation(points.value, center, unit)[:, None] * SIDES
    learned = np.where(rows["trained"][:, None], rarity_of(sides, *tail), -RAREST)
    each = np.where(limited[:, None], _beyond(points.value, rows), learned)
    thresholds = np.stack([points.threshold_up, points.threshold_down], axis=1)
    reach = np.maximum(evidence_at(thresholds, *tail), 1e-6)
    upper = np.where(limited, rows["upper_limit"], center + unit * reach[:, 0])
    lower = np.where(limited, rows["lower_limit"], center - unit * reach[:, 1])
    return Scores(
        expected=np.where(rows["trained"], np.clip(center, -HUGE, HUGE), np.nan),
        lower=np.where(spoken_for, np.clip(lower, -HUGE, HUGE), np.nan),
        upper=np.where(spoken_for, np.clip(upper, -HUGE, HUGE), np.nan),
        rarity=np.where(judged, each.max(axis=1), np.nan),
        direction=np.where(judged, np.where(each[:, 0] >= each[:, 1], 1, -1), 0).astype(np.int8),
        evidence=np.where(judged[:, None], each, np.nan).astype(np.float32),
    )


def _beyond(value: Floats, rows: Fields) -> Floats:
    """Rarity (B, 2) by the owner's own limits: told beyond them, calm within."""
    beyond = np.stack([value > rows["upper_limit"], value < rows["lower_limit"]], axis=1)
    return np.where(beyond, BEYOND_A_LIMIT, -BEYOND_A_LIMIT)
