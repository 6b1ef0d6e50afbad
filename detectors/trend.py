"""Growth: how much a series gains a week, learned from its weeks, and carried on for a while."""

from __future__ import annotations

import numpy as np

from detectors.contract import Fields, Floats, History, Ints
from detectors.rarity import WEEK_SECONDS
from detectors.robust import median

FEWEST_WEEKS = 4
FURTHEST_WEEKS = 4.0
"""A trend is carried on for so long after the training that saw it; nightly ones hardly need it."""
DOUBT = 16.0
"""Squared errors that a mean gain must exceed before any of it is believed."""


def weekly_growth(y: Floats, history: History) -> Floats:
    """Mean gain a week of (S, N) values, drawn to 0 by how much the gains of single weeks differ, (S,).

    The gains are those between the medians of successive weeks, so that a series that wanders, whose weeks differ more
    than they drift, has none.
    """
    columns = WEEK_SECONDS // history.cadence if history.cadence else 0
    weeks = y.shape[1] // columns if columns else 0
    if weeks < FEWEST_WEEKS or columns < 7:
        return np.zeros(len(y))
    recent = y[:, y.shape[1] - weeks * columns :]
    change = (recent[:, columns:] - recent[:, :-columns]).reshape(len(y), weeks - 1, columns)
    known = (~np.isnan(change)).mean(axis=2) >= 0.5
    gain = np.where(known, median(change, 2), np.nan)
    count = (~np.isnan(gain)).sum(axis=1)
    mean = median(gain, 1)
    error = (1.4826 * median(np.abs(gain - mean[:, None]), 1)) ** 2 * 1.57 / np.maximum(count, 1)
    kept = np.clip(1.0 - DOUBT * error / np.maximum(mean * mean, 1e-300), 0.0, 1.0)
    return np.where(count >= FEWEST_WEEKS - 1, np.nan_to_num(kept * mean), 0.0)


def grown_since(timestamp: Ints, row: Ints, baseline: Fields) -> Floats:
    """What growth adds to points (B,) of these rows since their training."""
    weeks = (timestamp - baseline["grown_at"][row]) / WEEK_SECONDS
    return np.asarray(baseline["growth"][row] * np.clip(weeks, -FURTHEST_WEEKS, FURTHEST_WEEKS))
