"""A series that has moved by a factor: whether its last days are its season times something else than one.

A level that follows the last points takes in what was added to every hour, within hours. What multiplies every hour
(a market lost, a price doubled) moves the hours of day and night by different sums, and would be strange at the one
and the other for as long as the season is mostly learned from before.
"""

from __future__ import annotations

import numpy as np

from detectors.calendar import DAY
from detectors.contract import Floats
from detectors.robust import median

DAYS = 2
"""So many whole days must agree: what is over sooner is an incident and no level."""
FEWEST_A_DAY = 4
SMALLEST = 0.1
"""A factor nearer to one than this is left to the level."""
EXPLAINS = 0.5
"""The factor must leave at most this share of what the best level leaves, on each of the days."""
AGREE = 0.5
"""The days' own factors may differ by this share of how far the factor is from one."""


def columns_looked_at(cadence: int) -> int:
    """How many columns at the end of a history tell whether it has moved."""
    return (DAYS + 1) * (DAY // cadence)


def factor_now(residual: Floats, usual: Floats, cadence: int) -> Floats:
    """By which factor each series stands off its season over the last two days: (S,), one where by none.

    residual: what the points are above what is usual, (S, N). usual: what is, from zero, (S, N): where that is not
    above zero throughout, a factor says nothing.
    """
    series, a_day = len(residual), DAY // cadence
    if a_day < FEWEST_A_DAY or residual.shape[1] < columns_looked_at(cadence):
        return np.ones(series)
    off, due = (each[:, -DAYS * a_day :].reshape(series, DAYS, a_day) for each in (residual, usual))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = off / due
        change = median(ratio.reshape(series, -1), 1)
        own, size = median(ratio, 2), np.abs(change)
        left = median(np.abs(off - change[:, None, None] * due), 2)
        by_level = median(np.abs(off - median(off, 2)[..., None]), 2)
        by_day = (np.abs(own - change[:, None]) <= AGREE * size[:, None]) & (left <= EXPLAINS * by_level)
        found = (size >= SMALLEST) & (change > -1) & (due > 0).all(axis=(1, 2)) & by_day.all(axis=1)
    return np.where(found, 1 + change, 1.0)
