"""Can this be watched at all? What to expect of a series before anything is enabled, from its history alone.

The figures come from a trial of the detector, and one of a fixed limit, on the end of the history; see `injection`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from detectors.advice import Advice, Tried, advise, gains_over, points_still_needed
from detectors.bars import Bars
from detectors.calendar import DAY, WEEK
from detectors.contract import Detector, Floats, History
from detectors.injection import BUDGETS, Course, ExpectedAlerts, Life, SmallestChange, Trial, judge_the_end
from detectors.profile import fit_profile, phase
from detectors.quality import Arrival, Quality, qualities_of
from detectors.robust import center_and_unit, median, spread
from detectors.special_days import Special, SpecialDays, special_days
from detectors.static import Static
from detectors.training import ALERT_AFTER_DAYS, LEARNING_DAYS, Progress, progress

CLIPPED = 10.0


class Season(StrEnum):
    """What repeats."""

    NONE = "none"
    DAILY = "daily"
    WEEKLY = "weekly"


@dataclass(frozen=True)
class Assessment:
    """What to expect of one series.

    predictability: share of the error of its median that the detector takes away, 0 to 1, on days it had not seen.
    season_strength: share of the variance that repeats. monthly: places in the month with an effect of their own.
    holidays: what is expected of those in this history, None where there was none, or no country is known.
    alerts: by budget. smallest: drops and spikes by points; limited: those that a fixed limit sees.
    gain_over_fixed_limit: share by which the changes seen are smaller; gain_over_last_week: share by which errors are;
    None where they cannot be compared.
    learning: days learned of those needed. days_still_needed: until the whole pattern is known, and the series can be
    tried on its own past. judged_weeks: how much history the figures rest on.
    course: what happened on the way, None where nothing could be judged.
    """

    predictability: float | None
    season: Season
    season_strength: float
    monthly: tuple[SpecialDays, ...]
    holidays: SpecialDays | None
    quality: Quality
    alerts: tuple[ExpectedAlerts, ...]
    smallest: tuple[SmallestChange, ...]
    limited: tuple[SmallestChange, ...]
    gain_over_fixed_limit: float | None
    gain_over_last_week: float | None
    learning: Progress
    days_still_needed: int
    judged_weeks: float
    advice: Advice
    recommendation: str
    course: Course | None = field(default=None, compare=False, repr=False)


def assess(
    history: History,
    *,
    detector: Detector,
    life: Life,
    bars: Bars,
    alerts_per_week: float = 1.0,
    arrivals: Sequence[Arrival] = (),
) -> list[Assessment]:
    """Assess each series of a history for one budget; power and alerts are what would be told live, labels aside.

    life: decides what is told. bars: what each series must pass, whose thresholds give way to the budget's.
    arrivals: how the points of each series came, where that is known.
    """
    qualities = qualities_of(history, arrivals)
    learnings = [_learning(values, history) for values in history.values]
    seasons = _seasons(history)
    special = special_days(history)
    trial = judge_the_end(history, detector, life=life, bars=bars, asked=alerts_per_week, budgets=BUDGETS)
    limit = judge_the_end(history, Static(), life=life, bars=bars, asked=alerts_per_week)
    return [
        _assessed(
            row,
            qualities[row],
            learnings[row],
            seasons[row],
            special[row],
            trial,
            limit,
            alerts_per_week,
            history.cadence,
        )
        for row in range(len(history.values))
    ]


def _assessed(
    row: int,
    quality: Quality,
    learning: Progress,
    season: tuple[Season, float],
    special: Special,
    trial: Trial,
    limit: Trial,
    budget: float,
    cadence: int,
) -> Assessment:
    days = trial.weeks * WEEK / DAY
    tried = None
    if learning.may_alert and not quality.is_too_slow and np.isfinite(trial.error[row]):
        asked = next(each for each in trial.expected_alerts(row) if each.budget == budget)
        tried = Tried(trial.smallest(row), limit.smallest(row), asked, days)
    advice, why = advise(quality, learning, tried)
    gains = gains_over(tried.smallest, tried.limited) if tried else {}
    return Assessment(
        predictability=_gain(trial.error[row], trial.fixed_error[row]) if tried else None,
        season=season[0],
        season_strength=season[1],
        monthly=special.monthly,
        holidays=special.holidays,
        quality=quality,
        alerts=trial.expected_alerts(row) if tried else (),
        smallest=tuple(tried.smallest) if tried else (),
        limited=tuple(tried.limited) if tried else (),
        gain_over_fixed_limit=float(np.mean([*gains.values()])) if gains else None,
        gain_over_last_week=_gain(trial.error[row], trial.last_week_error[row]) if tried else None,
        learning=learning,
        days_still_needed=_days_still_needed(learning, 0 if tried else points_still_needed(quality), cadence),
        judged_weeks=trial.weeks if tried else 0.0,
        advice=advice,
        recommendation=why,
        course=trial.course(row) if tried else None,
    )


def _gain(error: float, other: float) -> float | None:
    if not (np.isfinite(error) and np.isfinite(other)) or other <= 0:
        return None
    return float(np.clip(1 - error / other, -1.0, 1.0))


def _days_still_needed(learning: Progress, points: int, cadence: int) -> int:
    return max(learning.of_days - learning.days, math.ceil(points * cadence / DAY), 0)


def _learning(values: Floats, history: History) -> Progress:
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return Progress(0, LEARNING_DAYS, False, f"less than {ALERT_AFTER_DAYS} days of history")
    first, last = int(history.timestamp[known[0]]), int(history.timestamp[known[-1]])
    return progress(points=len(known), first=first, last=last, cadence=history.cadence)


def _seasons(history: History) -> list[tuple[Season, float]]:
    """Which season each series has, and what share of its variance that is."""
    with np.errstate(all="ignore"):
        values = np.where(np.isfinite(history.values), history.values, np.nan)
        center, unit = center_and_unit(values)
        y = np.clip((values - center[:, None]) / unit[:, None], -CLIPPED, CLIPPED)
        profile = fit_profile(y, history.local, history.cadence)
        daily = np.tile(profile.hours.reshape(-1, 7, 24).mean(axis=1), 7)
        whole, day = (_explained(y, hours, profile.leverage, history) for hours in (profile.hours, daily))
    varies = np.nan_to_num(spread(y - median(y, 1)[:, None])) > 1e-9
    return [_season(float(w), float(d)) for w, d in zip(whole * varies, day * varies, strict=True)]


def _season(whole: float, day: float) -> tuple[Season, float]:
    if whole < 0.05:
        return Season.NONE, max(whole, 0.0)
    return (Season.WEEKLY if whole - day > 0.02 else Season.DAILY), whole


def _explained(y: Floats, hours: Floats, leverage: Floats, history: History) -> Floats:
    hour, following, weight = phase(history.local, history.cadence)
    rest = y - (hours[:, hour] * (1 - weight) + hours[:, following] * weight)
    rest = (rest - median(rest, 1)[:, None]) / (1 - leverage[:, None])
    before, after = spread(y - median(y, 1)[:, None]), spread(rest)
    return np.asarray(np.nan_to_num(1 - (after / np.maximum(before, 1e-12)) ** 2))
