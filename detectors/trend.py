"""Growth: how much a series gains a week, learned from week to week, and carried on for a while."""

from __future__ import annotations

import numpy as np

from detectors.contract import Fields, Floats, History, Ints
from detectors.rarity import WEEK_SECONDS
from detectors.robust import median

FEWEST_WEEKS = 4
FURTHEST_WEEKS = 4.0
"""So long growth is carried on after the training that saw it. Nightly trainings need a day of it."""
DOUBT = 16.0
"""How many times its squared error a squared gain must be for any of it to be believed: most series do not grow."""
MEDIAN_VARIANCE = 1.57  # variance of a median over that of a mean, normal noise


def no_growth(count: int) -> Fields:
    """Baseline fields of series that do not grow. growth: a week, in robust units; grown_at: unix seconds."""
    return {"growth": np.zeros(count), "grown_at": np.zeros(count, np.int64)}


def weekly_growth(y: Floats, history: History) -> Floats:
    """The gain of a usual week in (S, N) values, drawn to 0 by how much the gains of single weeks differ, (S,).

    The gain of a week is the median over its points of what they have over those a week before. A series that wanders,
    whose weeks differ more than they gain, does not grow.
    """
    columns = WEEK_SECONDS // history.cadence if history.cadence else 0
    weeks = y.shape[1] // columns if columns else 0
    if weeks < FEWEST_WEEKS or columns < 7:
        return np.zeros(len(y))
    recent = y[:, y.shape[1] - weeks * columns :]
    change = (recent[:, columns:] - recent[:, :-columns]).reshape(len(y), weeks - 1, columns)
    known = (~np.isnan(change)).mean(axis=2) >= 0.5
    gain = np.where(known, median(change, 2), np.nan)
    usual = median(gain, 1)
    count = known.sum(axis=1)
    variance = (1.4826 * median(np.abs(gain - usual[:, None]), 1)) ** 2 * MEDIAN_VARIANCE / np.maximum(count, 1)
    kept = np.clip(1.0 - DOUBT * variance / np.maximum(usual * usual, 1e-300), 0.0, 1.0)
    return np.where(count >= FEWEST_WEEKS - 1, np.nan_to_num(kept * usual), 0.0)


def grown_since(timestamp: Ints, row: Ints, baseline: Fields) -> Floats:
    """What growth adds to points (B,) of these rows since their training, in robust units."""
    weeks = (timestamp - baseline["grown_at"][row]) / WEEK_SECONDS
    return np.asarray(baseline["growth"][row] * np.clip(weeks, -FURTHEST_WEEKS, FURTHEST_WEEKS))
