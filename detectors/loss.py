"""Whether a source has lost its data: it is silent where it always spoke, zero or the same where it never was."""

from __future__ import annotations

import math

import numpy as np

from detectors.contract import Bools, Floats, Ints

DAY, WEEK = 86_400, 604_800
TOLD_FROM = 1.5
"""log10 weeks: a silence that chance would bring once in thirty weeks. Sources are few, and an outage of one is big."""
NORMAL_POINTS, NORMAL_SECONDS, NORMAL_DAILY_POINTS, NORMAL_SHARE = 12, 21_600, 5, 0.9
LEAST_STEPS = 3
LEAST_SECONDS = 600
LONGEST_STEP = 2.5
USUAL_SHARE = 0.75
"""A source usually speaks at a step if it did so in as many of the stretches that it is compared with."""
WEEKS, DAYS_OF_A_YOUNG_SOURCE = 4, 7
LEAST_REPEATS, LEAST_KNOWN = 5, 200
"""Repeats in a row, and points before them, from which a value may be said to be stuck."""
LONGER_THAN_EVER = 2
"""Times as long as the longest run of one value before."""
STEPS_BEFORE = 48
"""So many steps before a silence show how reliably its source speaks."""


def comparable(first_at: int, start: int) -> list[int]:
    """By how many seconds to go back from `start` to the same stretch of earlier weeks; of days, for young sources.

    Nothing where fewer than two such stretches lie after `first_at`.
    """
    for period, most in ((WEEK, WEEKS), (DAY, DAYS_OF_A_YOUNG_SOURCE)):
        known = min((start - first_at) // period, most)
        if known >= 2:
            return [period * back for back in range(1, known + 1)]
    return []


def rarity_of_silence(spoke: Bools, steps: int, cadence: int) -> float:
    """How rarely chance alone makes a source silent for so many steps, in log10 weeks.

    spoke: (stretches, columns), whether it sent anything at each step of the silence, the last `steps` columns, and of
    the time before it, in each earlier stretch. Only steps at which it usually speaks count, so that a shop that is
    closed on Sundays is not found silent then. Each is taken to be missed as often as those at which it ever spoke,
    those before the silence too, and half once more.
    """
    if not spoke.size or not steps:
        return -math.inf
    usual = int((spoke[:, -steps:].mean(axis=0) >= USUAL_SHARE).sum())
    if usual < LEAST_STEPS:
        return -math.inf
    heard = spoke[:, spoke.any(axis=0)]
    missed = (heard.size - heard.sum() + 0.5) / (heard.size + 1)
    return float(-usual * np.log10(missed) - np.log10(WEEK / cadence))


def overdue(now: int, last_at: Ints, cadence: Ints, wait: Ints | np.ndarray, listening_since: int) -> Bools:
    """Which series have missed so many steps that their source may be silent; arrays (N,), unix seconds.

    wait: age that the newest point usually reaches before the next one comes. listening_since: since when points could
    have been taken in at all.
    """
    silent_for = now - np.maximum(last_at, listening_since)
    late = np.maximum(wait - cadence, 0)
    return np.asarray(silent_for > np.maximum(LEAST_STEPS * cadence, LEAST_SECONDS) + late)


def zero_together(zero: Bools, unknown: Bools, since: Ints, cadence: Ints) -> bool:
    """Whether the series of one metric of a source, (N,), have gone to zero together, of which zeros are not known.

    zero: the newest point is zero. unknown: zeros were never, or almost never, seen of the series. since: unix seconds
    of the first zero. A lone series at zero is an anomaly and no gap.
    """
    if zero.size < 2 or not zero.all() or unknown.sum() < max(2, 0.5 * zero.size):
        return False
    began = since[unknown]
    return bool(began.max() - began.min() <= 2 * cadence.max())


def rarity_of_repeats(run: Ints, *, longest: Ints, repeats: Ints, known: Ints, cadence: Ints) -> Floats:
    """How rarely chance alone makes so many points in a row the same as the one before, in log10 weeks, (N,).

    longest: the longest such run before. repeats: how many points ever were the same as the one before, of `known`
    points in all; both with this run. -inf where a run is short, not twice as long as any before, or little is known.
    """
    earlier = np.maximum(known - run, 1)
    share = np.minimum((np.maximum(repeats - run, 0) + 0.5) / (earlier + 1), 1.0)
    rarity = -run * np.log10(share) - np.log10(WEEK / np.maximum(cadence, 1))
    least = np.maximum(LONGER_THAN_EVER * longest, LEAST_REPEATS)
    enough = (run >= least) & (run * cadence >= LEAST_SECONDS) & (known - run >= LEAST_KNOWN)
    return np.asarray(np.where(enough, rarity, -np.inf))


def back_since(timestamp: Ints, *, cadence: int, now: int, wait: float) -> int | None:
    """Since when a series sends again, by its rising points since its loss, (P,), unix seconds; None while it does not.

    It must have sent three points a step apart, up to the present. wait: age that its newest point usually reaches.
    """
    if timestamp.size < LEAST_STEPS or now - timestamp[-1] > max(LEAST_STEPS * cadence, LEAST_SECONDS) + wait:
        return None
    holes = np.flatnonzero(np.diff(timestamp) > LONGEST_STEP * cadence)
    first = int(holes[-1]) + 1 if holes.size else 0
    return int(timestamp[first]) if timestamp.size - first >= LEAST_STEPS else None


def points_to_look_normal(cadence: int) -> int:
    """How many points in a row it takes to say that a series whose data were bad looks normal again."""
    return NORMAL_DAILY_POINTS if cadence >= DAY else max(NORMAL_POINTS, NORMAL_SECONDS // cadence)


def normal_since(timestamp: Ints, value: Floats, inside: Bools, cadence: int) -> int | None:
    """Since when a series whose data were bad looks normal again, by its points since, (P,); None while it does not.

    inside: whether each lies in its band. It takes twelve points and six hours, of daily series five points, nine in
    ten of them inside and not all the same: a sensor that is stuck at a usual value is not normal.
    """
    needed = points_to_look_normal(cadence)
    if timestamp.size < needed or not inside[-needed:].mean() >= NORMAL_SHARE or np.ptp(value[-needed:]) == 0:
        return None
    return int(timestamp[-needed:][int(np.argmax(inside[-needed:]))])
