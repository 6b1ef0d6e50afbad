"""What each phase of the week looks like: hour of day, day of week and hour of week, combined by shrinkage.

A profile has 168 hours of the week in local time. Cadences finer than an hour read it by interpolation between the
middles of hours; coarser ones fill every hour of their step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detectors.contract import Floats, Ints
from detectors.robust import mean, median

HOUR, DAY, WEEK_HOURS = 3_600, 86_400, 168
RECENT_WEEKS = 4
"""Calendar weeks a profile looks back: habits drift."""
MEDIAN_VARIANCE = 1.57  # variance of a median over that of a mean, normal noise


@dataclass(frozen=True)
class Profile:
    """Profiles of S series.

    hours: float64 (S, 168), deviation from the series' level by local hour of the week.
    leverage: (S,), share of a point's own deviation that its phase has absorbed, 0 to under 1.
    daily, weekly: (S,), 0 to 1, how much of the daily and of the weekly pattern is believed.
    """

    hours: Floats
    leverage: Floats
    daily: Floats
    weekly: Floats


def phase(local: Ints, cadence: Ints | int) -> tuple[Ints, Ints, Floats]:
    """Hour of the week, the next one to blend with, and the blend's weight, for wall-clock seconds."""
    step = np.asarray(cadence)
    fine = (step > 0) & (step < HOUR)
    centred = local - np.where(fine, (HOUR - step) // 2, 0)
    hour = centred // HOUR
    weight = np.where(fine, (centred - hour * HOUR) / HOUR, 0.0)
    return hour % WEEK_HOURS, (hour + 1) % WEEK_HOURS, weight


def fit_profile(values: Floats, local: Ints, cadence: int) -> Profile:
    """Profiles of (S, N) values; columns lie at wall-clock seconds `local`."""
    series = len(values)
    if cadence > DAY or values.shape[1] < 2:
        nothing = np.zeros(series)
        return Profile(np.zeros((series, WEEK_HOURS)), nothing, nothing, nothing)
    slots = slots_of_day(cadence)
    weeks = by_week(values, local, slots)[:, -RECENT_WEEKS:]
    return _shrunk_profile(weeks, slots)


def slots_of_day(cadence: int) -> int:
    """Into how many phases a day is cut: 24 at most, one a day at daily cadence."""
    return int(np.clip(DAY // cadence, 1, 24))


def by_week(values: Floats, local: Ints, slots: int) -> Floats:
    """Mean of the values in each slot of local time: (S, weeks, 7, slots), NaN where none fell."""
    day = local // DAY
    slot = day * slots + np.minimum((local - day * DAY) * slots // DAY, slots - 1)
    order = np.argsort(slot, kind="stable")
    present, starts = np.unique(slot[order], return_index=True)
    first = present[0] // (7 * slots) * (7 * slots)
    count = -(-(present[-1] + 1 - first) // (7 * slots))
    ordered = values if (np.diff(slot) >= 0).all() else values[:, order]
    grid = np.full((len(values), int(count) * 7 * slots), np.nan)
    if len(present) == values.shape[1]:
        grid[:, present - first] = ordered
    else:
        known = ~np.isnan(ordered)
        total = np.add.reduceat(np.where(known, ordered, 0.0), starts, axis=1)
        number = np.add.reduceat(known.astype(np.int32), starts, axis=1)
        grid[:, present - first] = np.where(number > 0, total / np.maximum(number, 1), np.nan)
    return grid.reshape(len(values), int(count), 7, slots)


def _shrunk_profile(weeks: Floats, slots: int) -> Profile:
    """Day-of-week level + daily pattern times the day's swing + hour-of-week rest, each shrunk by its noise.

    The swing makes the profile multiplicative where the data are: a weekend of 60 % has 60 % of the daily pattern too.
    """
    series, count = weeks.shape[:2]
    day_level = median(weeks, 3)
    inside = weeks - day_level[..., None]
    daily, trust_daily, n_daily = _pattern(inside.reshape(series, count * 7, slots))
    by_day = daily[:, None, :] * (1.0 + _swing(inside, daily)[:, :, None])
    rest = inside - by_day[:, None]
    shift = median(rest, 3)  # a day's level shows once its pattern is taken away
    day_level, rest = day_level + shift, rest - shift[..., None]
    week_level = median(day_level, 2)
    week_level[(~np.isnan(day_level)).sum(axis=2) < 4] = np.nan
    weekday, trust_weekday, n_weekly = _pattern(day_level - week_level[..., None])
    own, trust_rest, _ = _pattern(_seen_again(rest.reshape(series, count, 7 * slots)))
    by_hour = by_day + weekday[:, :, None] + own.reshape(series, 7, slots)
    leverage = trust_rest / n_weekly + (1 - trust_rest) * (trust_daily / n_daily)
    leverage = np.maximum(leverage, trust_weekday / (n_weekly * max(slots // 4, 1)))
    return Profile(
        hours=hours_of_week(by_hour.reshape(series, 7 * slots), slots),
        leverage=np.minimum(leverage, 0.75),
        daily=trust_daily,
        weekly=np.maximum(trust_weekday, trust_rest),
    )


def _seen_again(cycles: Floats) -> Floats:
    """Cycles (S, cycles, phases) without the phases that were seen but once: an incident there would be a habit."""
    return np.where((~np.isnan(cycles)).sum(axis=1, keepdims=True) > 1, cycles, np.nan)


def _swing(inside: Floats, daily: Floats) -> Floats:
    """How much larger than usual the daily pattern (S, slots) is on each day of the week, as a share: (S, 7).

    inside: (S, weeks, 7, slots), deviations from the day's level.
    """
    shape = daily[:, None, None, :]
    size = mean(np.where(np.isnan(inside), np.nan, shape * shape), 3)
    share = mean(inside * shape, 3) / np.maximum(size, 1e-300) - 1.0
    swing, _, _ = _pattern(np.where(size > 1e-12, share, np.nan))
    return np.clip(swing, -1.0, 2.0)


def hours_of_week(hours: Floats, slots: int) -> Floats:
    """Any number of slots a day as 168 hours, each hour taking the slot it lies in."""
    by_day = hours.reshape(len(hours), 7, slots)
    return by_day[:, :, np.arange(24) * slots // 24].reshape(len(hours), WEEK_HOURS)


def _pattern(cycles: Floats) -> tuple[Floats, Floats, Floats]:
    """Median over cycles of (S, cycles, phases), shrunk; how much was kept (S,); cycles behind it (S,)."""
    number = (~np.isnan(cycles)).sum(axis=1).max(axis=1)
    enough = np.maximum(number, 2)
    middle = np.nan_to_num(median(cycles, 1))
    noise = 1.2533 * mean(np.abs(cycles - middle[:, None, :]), (1, 2))
    noise_squared = noise**2 * enough / (enough - 1)
    signal_squared = (1.2533 * np.abs(middle).mean(axis=1)) ** 2
    floor = MEDIAN_VARIANCE * noise_squared / enough
    kept = np.clip(1 - floor / np.maximum(signal_squared, 1e-300), 0.0, 1.0)
    kept = np.where((number >= 2) & (signal_squared > 1e-18), kept, 0.0)
    return kept[:, None] * middle, kept, enough.astype(np.float64)
