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


def factor_now(residual: Floats, usual: Floats, cadence: int) -> Floats:
    """By which factor each series stands off its season over the last two days: (S,), one where by none.

    residual: what the points are above what is usual, (S, N). usual: what is, from zero, (S, N): where that is not
    above zero throughout, a factor says nothing.
    """
    a_day = DAY // cadence
    nothing = np.ones(len(residual))
    if a_day < FEWEST_A_DAY or residual.shape[1] < (DAYS + 1) * a_day:
        return nothing
    days = [slice(-(day + 1) * a_day, residual.shape[1] - day * a_day) for day in range(DAYS)]
    last = slice(-DAYS * a_day, None)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(usual[:, last] > 0, residual[:, last] / usual[:, last], np.nan)
        change = median(ratio, 1)
        found = (np.abs(change) >= SMALLEST) & (change > -1) & (usual[:, last] > 0).all(axis=1)
        for day in days:
            off = residual[:, day]
            own = median(off / usual[:, day], 1)
            left = median(np.abs(off - change[:, None] * usual[:, day]), 1)
            by_level = median(np.abs(off - median(off, 1)[:, None]), 1)
            found &= (np.abs(own - change) <= AGREE * np.abs(change)) & (left <= EXPLAINS * by_level)
    return np.where(found, 1 + change, nothing)
