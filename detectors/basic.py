"""The heuristic to fall back on: the same phase of the last weeks, and a robust band around its median.

One profile, one scale, no level, nothing that follows the series between trainings: little to go wrong.
"""

from __future__ import annotations

import numpy as np

from detectors.contract import HUGE, Bools, Fields, Floats, History, Points, Scores
from detectors.profile import WEEK_HOURS, fit_profile, phase
from detectors.rarity import evidence_at, rarity_of, tail_of_history
from detectors.robust import center_and_unit, spread

FEWEST_POINTS = 14
LARGEST = 1e9


class Basic:
    """Median of the same hour of the week, or of the day while weeks are few; one robust band."""

    name = "basic"
    version = 1
    evidence: tuple[str, ...] = ("point",)

    def cold(self, count: int) -> tuple[Fields, Fields]:
        """Fields of series of which nothing is known."""
        baseline: Fields = {
            "trained": np.zeros(count, bool),
            "center": np.zeros(count),
            "unit": np.ones(count),
            "profile": np.zeros((count, WEEK_HOURS), np.float32),
            "scale": np.ones(count),
            "tail_level": np.full(count, 3.0),
            "tail_excess": np.ones(count),
            "tail_log_rate": np.zeros(count),
        }
        return baseline, {"count": np.zeros(count, np.int64)}

    def fit(self, history: History) -> tuple[Fields, Fields]:
        """Profile, scale and tail of each series with at least 14 points."""
        baseline, state = self.cold(len(history.values))
        values = np.where(np.isfinite(history.values), history.values, np.nan)
        count = (~np.isnan(values)).sum(axis=1)
        enough = count >= FEWEST_POINTS
        if enough.any():
            with np.errstate(all="ignore"):
                for name, array in _fit(values[enough], history).items():
                    baseline[name][enough] = array
        state["count"][:] = count
        return baseline, state

    def score(self, points: Points, baseline: Fields, state: Fields) -> tuple[Scores, Fields]:
        """Distance from the phase's median in robust scales; learns nothing but how many points it saw."""
        rows = {name: array[points.row] for name, array in baseline.items() if name != "profile"}
        with np.errstate(all="ignore"):
            scores = _score(points, baseline["profile"], rows)
        known = np.isfinite(points.value) & ~points.frozen
        return scores, {"count": state["count"] + known}


def _score(points: Points, profile: np.ndarray, rows: Fields) -> Scores:
    hour, following, weight = phase(points.local, points.cadence)
    usual = (1 - weight) * profile[points.row, hour] + weight * profile[points.row, following]
    trained: Bools = rows["trained"].astype(bool)
    center, unit, scale = rows["center"], rows["unit"], rows["scale"]
    standard = (np.clip(points.value / unit - center / unit, -LARGEST, LARGEST) - usual) / scale
    tail = (rows["tail_level"], rows["tail_excess"], rows["tail_log_rate"])
    judged = trained & np.isfinite(points.value)
    rarity = np.where(judged, rarity_of(np.abs(standard), *tail), np.nan)
    expected = center + unit * usual
    above, below = (
        unit * scale * np.maximum(evidence_at(threshold, *tail), 1.0)
        for threshold in (points.threshold_up, points.threshold_down)
    )
    return Scores(
        expected=np.where(trained, np.clip(expected, -HUGE, HUGE), np.nan),
        lower=np.where(trained, np.clip(expected - below, -HUGE, HUGE), np.nan),
        upper=np.where(trained, np.clip(expected + above, -HUGE, HUGE), np.nan),
        rarity=rarity,
        direction=np.where(judged, np.sign(standard), 0).astype(np.int8),
        evidence=rarity[:, None].astype(np.float32),
    )


def _fit(values: Floats, history: History) -> Fields:
    center, unit = center_and_unit(values)
    y = np.clip(values / unit[:, None] - (center / unit)[:, None], -LARGEST, LARGEST)
    season = fit_profile(y, history.local, history.cadence)
    hour, following, weight = phase(history.local, history.cadence)
    residual = y - (season.hours[:, hour] * (1 - weight) + season.hours[:, following] * weight)
    floor = np.maximum(1e-3 * np.abs(center) / unit, 1e-6)
    stretch = 1.0 / (1.0 - season.leverage)
    scale = np.maximum(spread(residual) * stretch, floor)
    tail = tail_of_history(np.abs(residual) * (stretch / scale)[:, None], history.cadence)
    return {
        "trained": np.ones(len(values), bool),
        "center": center,
        "unit": unit,
        "profile": season.hours.astype(np.float32),
        "scale": scale,
        "tail_level": tail.level,
        "tail_excess": tail.excess,
        "tail_log_rate": tail.log_rate,
    }
