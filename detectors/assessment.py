"""Can this be watched at all? What to expect of a series before anything is enabled, from its history alone.

The figures come from a trial of the detector, and one of a fixed limit, on the end of the history; see `injection`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from detectors.bars import Bars
from detectors.contract import Detector, Floats, History
from detectors.injection import BUDGETS, Course, ExpectedAlerts, Life, SmallestChange, Trial, judge_the_end
from detectors.profile import fit_profile, phase
from detectors.quality import Arrival, Quality, qualities_of
from detectors.robust import center_and_unit, median, spread
from detectors.special_days import Special, SpecialDays, special_days
from detectors.static import Static
from detectors.training import ALERT_AFTER_DAYS, LEARNING_DAYS, Progress, progress

CLIPPED = 10.0
WORTH_IT = 0.85
"""A model must see changes of at most so much of what a fixed limit sees, to be worth it."""
HARDLY_EVER_CHANGES = 0.95
"""Where so many points are one value, or repeat the one before, any other value is the news."""


class Season(StrEnum):
    """What repeats."""

    NONE = "none"
    DAILY = "daily"
    WEEKLY = "weekly"


class Advice(StrEnum):
    """The recommendation in one word."""

    WATCH = "watch"
    OUTAGES_ONLY = "outages_only"
    FIXED_LIMIT = "fixed_limit"
    WAIT = "wait"
    NOTHING_TO_SEE = "nothing_to_see"


@dataclass(frozen=True)
class Assessment:
    """What to expect of one series.

    predictability: share of the error of its median that the detector takes away, 0 to 1, on days it had not seen.
    season_strength: share of the variance that repeats. monthly: places in the month with an effect of their own.
    holidays: what is expected of those in this history, None where there was none, or no country is known.
    alerts: by budget. smallest: drops and spikes by points.
    gain_over_fixed_limit, gain_over_last_week: share by which errors are smaller; None where they cannot be compared.
    learning: days learned of those needed. judged_weeks: how much history the figures rest on.
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
    gain_over_fixed_limit: float | None
    gain_over_last_week: float | None
    learning: Progress
    judged_weeks: float
    advice: Advice
    recommendation: str
    course: Course | None = field(default=None, compare=False, repr=False)

    @property
    def days_still_needed(self) -> int:
        """Days of history after which the whole pattern is known."""
        return max(self.learning.of_days - self.learning.days, 0)


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
        _assessed(row, qualities[row], learnings[row], seasons[row], special[row], trial, limit, alerts_per_week)
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
) -> Assessment:
    judged = learning.may_alert and bool(np.isfinite(trial.error[row]))
    smallest = trial.smallest(row) if judged else ()
    alerts = trial.expected_alerts(row) if judged else ()
    advice, why = _advise(quality, learning, smallest, limit.smallest(row) if judged else (), alerts, budget)
    return Assessment(
        predictability=_gain(trial.error[row], trial.fixed_error[row]) if judged else None,
        season=season[0],
        season_strength=season[1],
        monthly=special.monthly,
        holidays=special.holidays,
        quality=quality,
        alerts=alerts,
        smallest=smallest,
        gain_over_fixed_limit=_saved(smallest, limit.smallest(row)) if judged else None,
        gain_over_last_week=_gain(trial.error[row], trial.last_week_error[row]) if judged else None,
        learning=learning,
        judged_weeks=trial.weeks if judged else 0.0,
        advice=advice,
        recommendation=why,
        course=trial.course(row) if judged else None,
    )


def _gain(error: float, other: float) -> float | None:
    if not (np.isfinite(error) and np.isfinite(other)) or other <= 0:
        return None
    return float(np.clip(1 - error / other, -1.0, 1.0))


def _saved(smallest: Sequence[SmallestChange], others: Sequence[SmallestChange]) -> float | None:
    """By how much smaller the changes seen within 3 points are, drops and spikes together; 1 where only we see any."""
    ours, theirs = (_visible(changes, 3) for changes in (smallest, others))
    if ours is None:
        return None
    return 1.0 if theirs is None else float(np.clip(1 - ours / theirs, -1.0, 1.0))


def _visible(changes: Sequence[SmallestChange], points: int) -> float | None:
    """Mean share of the smallest drop and spike within so many points; None where neither is seen."""
    shares = [change.share for change in changes if change.within_points == points and change.share is not None]
    return float(np.mean(shares)) if shares else None


def _advise(
    quality: Quality,
    learning: Progress,
    smallest: Sequence[SmallestChange],
    limited: Sequence[SmallestChange],
    alerts: Sequence[ExpectedAlerts],
    budget: float,
) -> tuple[Advice, str]:
    if quality.points == 0:
        return Advice.NOTHING_TO_SEE, "There is no value in this history."
    if not learning.may_alert:
        return Advice.WAIT, f"Too little history: {learning.reason}. Come back, or import more of it."
    if max(quality.usual_value, quality.repeated) > HARDLY_EVER_CHANGES:
        return Advice.FIXED_LIMIT, "It hardly ever changes. Not worth a model: use a fixed limit."
    return _advise_by_power(learning, smallest, limited, alerts, budget)


def _advise_by_power(
    learning: Progress,
    smallest: Sequence[SmallestChange],
    limited: Sequence[SmallestChange],
    alerts: Sequence[ExpectedAlerts],
    budget: float,
) -> tuple[Advice, str]:
    ours, theirs = _visible(smallest, 3), _visible(limited, 3)
    if theirs is not None and (ours is None or ours > WORTH_IT * theirs):
        return Advice.FIXED_LIMIT, (
            f"Not worth a model: a fixed limit sees changes of {_percent(theirs)} within 3 points, which is as good."
        )
    seen = _visible(smallest, 24)
    if seen is None:
        return Advice.NOTHING_TO_SEE, "It varies so much that even its loss would be told late or not at all."
    often = next((one.alerts_per_week for one in alerts if one.budget == budget), None)
    noisy = (
        f" It gave {often:.1f} alerts a week on its past: look at those first." if often and often > 3 * budget else ""
    )
    if seen > 0.5:
        return Advice.OUTAGES_ONLY, f"Watch it for outages: only {_in_words(smallest, 24)} are seen.{noisy}"
    when = "" if learning.done else f" The weekly pattern is known after {learning.of_days} days, {learning} so far."
    points = 24 if ours is None else 3
    return Advice.WATCH, f"Worth watching: {_in_words(smallest, points)} are seen within {points} points.{noisy}{when}"


def _in_words(changes: Sequence[SmallestChange], points: int) -> str:
    """`drops of 30 % and spikes of 20 %`, those that are seen within so many points."""
    return " and ".join(
        f"{change.kind}s of {_percent(change.share)}"
        for change in changes
        if change.within_points == points and change.share is not None
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


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
