"""Can this be watched at all? What to expect of a series before anything is enabled, from its history alone.

The first two thirds of a history are learned from; the last third is judged as it would have been live. Power is
measured, not derived: drops and spikes are injected into that last third, and the smallest that is told nine times of
ten is what the reader would see. A drop of 30 % leaves 70 % of each value; where values may be negative, it is 30 % of
the usual size. Starts that are told without any injection do not count, nor those at which next to nothing is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from detectors.calendar import DAY, WEEK
from detectors.contract import Bools, Detector, Fields, Floats, History, Ints, Points, take
from detectors.profile import fit_profile, phase
from detectors.rarity import WEEK_SECONDS
from detectors.robust import center_and_unit, mean, median, spread
from detectors.static import Static
from detectors.training import ALERT_AFTER_DAYS, LEARNING_DAYS, Progress, progress

LEARNED_SHARE = 2 / 3
MOST_JUDGED = 3_000
STARTS = 40
WITHIN_POINTS = (1, 3, 24)
POWER = 0.9
LEAST_SHARE = 0.2
"""A start needs a value of so much of the usual size: where a series rests at 0 every night, nothing can drop."""
SIZES = np.round(np.geomspace(0.02, 4.0, 30), 3)
"""Injected changes as a share of the usual size; a drop of more than the whole is not tried on series above zero."""
BUDGETS = (0.1, 0.25, 0.5, 1.0, 2.0, 7.0)
COOL_DOWN_SECONDS = 21_600
CLIPPED = 10.0
WORTH_IT = 0.85
"""A model must see changes of at most so much of what a fixed limit sees, to be worth it."""


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
class Quality:
    """What the history is like. Shares are of the columns between its first and last known point.

    missing: no value. repeated: same value as just before. zero: exactly 0. findings: what a reader should know.
    """

    points: int
    days: float
    missing: float
    repeated: float
    zero: float
    findings: tuple[str, ...]


@dataclass(frozen=True)
class SmallestChange:
    """The smallest change told nine times of ten within so many points, as a share of the usual size and in units.

    share, size: None where even the largest that was tried is missed more often.
    """

    kind: str
    within_points: int
    share: float | None
    size: float | None


@dataclass(frozen=True)
class ExpectedAlerts:
    """Alerts a week on the judged part of the history at one budget; labels aside, all of them."""

    budget: float
    alerts_per_week: float


@dataclass(frozen=True)
class Course:
    """How the last part of a history was judged, and how often injected changes were told in it: for pictures.

    first: column of the history from which on points were judged. expected, lower, upper, rarity: (judged,).
    power: share told, (sizes, 2, within) for drops then spikes, as SIZES and WITHIN_POINTS; NaN where nothing is known.
    """

    first: int
    expected: Floats
    lower: Floats
    upper: Floats
    rarity: Floats
    power: Floats

    def told(self, budget: float, cadence: int) -> list[tuple[int, int]]:
        """First and last column (of the judged ones) of each alert that there would have been at a budget a week."""
        columns = _told_columns(self.rarity, budget)
        breaks = np.flatnonzero(np.diff(columns) > _pause(cadence)) + 1
        return [(int(run[0]), int(run[-1])) for run in np.split(columns, breaks) if len(run)]


@dataclass(frozen=True)
class Assessment:
    """What to expect of one series.

    predictability: share of the error of its median that the detector takes away, 0 to 1, on days it had not seen.
    season_strength: share of the variance that repeats. alerts: by budget. smallest: drops and spikes by points.
    gain_over_fixed_limit, gain_over_last_week: share by which errors are smaller; None where they cannot be compared.
    learning: days learned of those needed. judged_weeks: how much history the figures rest on.
    course: what happened on the way, None where nothing could be judged.
    """

    predictability: float | None
    season: Season
    season_strength: float
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


def assess(history: History, *, detector: Detector, alerts_per_week: float = 1.0) -> list[Assessment]:
    """Assess each series of a history for one budget; power and alerts are at default settings."""
    qualities = [_quality(values, history) for values in history.values]
    learnings = [_learning(values, history) for values in history.values]
    seasons = _seasons(history)
    trial = _trial(history, detector, -float(np.log10(alerts_per_week)))
    limit = _trial(history, Static(), -float(np.log10(alerts_per_week)))
    return [
        _assessed(row, qualities[row], learnings[row], seasons[row], trial, limit, alerts_per_week)
        for row in range(len(history.values))
    ]


def _assessed(
    row: int,
    quality: Quality,
    learning: Progress,
    season: tuple[Season, float],
    trial: _Trial,
    limit: _Trial,
    budget: float,
) -> Assessment:
    judged = learning.may_alert and bool(np.isfinite(trial.error[row]))
    smallest = trial.smallest(row) if judged else ()
    alerts = trial.alerts(row, budget) if judged else ()
    advice, why = _advise(quality, learning, smallest, limit.smallest(row) if judged else (), alerts, budget)
    return Assessment(
        predictability=_gain(trial.error[row], trial.fixed_error[row]) if judged else None,
        season=season[0],
        season_strength=season[1],
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
    if quality.repeated > 0.98:
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


def _quality(values: Floats, history: History) -> Quality:
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return Quality(0, 0.0, 1.0, 0.0, 0.0, ("no values",))
    inside = values[known[0] : known[-1] + 1]
    present = values[known]
    missing = 1 - len(known) / len(inside)
    repeated = float((np.diff(present) == 0).mean()) if len(present) > 1 else 0.0
    zero = float((present == 0).mean())
    findings = []
    if missing > 0.05:
        findings.append(f"{_percent(missing)} of the points are missing")
    if repeated > 0.5:
        findings.append(f"{_percent(repeated)} of the points repeat the one before")
    if zero > 0.2:
        findings.append(f"{_percent(zero)} of the points are 0: make sure that 0 is not what missing looks like")
    days = len(inside) * history.cadence / DAY
    return Quality(len(known), days, missing, repeated, zero, tuple(findings))


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
    return [_season(float(w), float(d)) for w, d in zip(whole, day, strict=True)]


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


@dataclass(frozen=True)
class _Trial:
    """A detector on the last third of S series.

    error, fixed_error, last_week_error: mean cut error in robust units, (S,). first: the first judged column.
    expected, lower, upper, rarity: (S, judged). told: bool (S, sizes, 2, starts, within), counted: bool
    (S, starts, within), the starts that were calm by themselves for so long. usual: (S,).
    """

    error: Floats
    fixed_error: Floats
    last_week_error: Floats
    first: int
    expected: Floats
    lower: Floats
    upper: Floats
    rarity: Floats
    told: Bools
    counted: Bools
    usual: Floats
    cadence: int
    weeks: float

    def smallest(self, row: int) -> tuple[SmallestChange, ...]:
        """Smallest drop and spike within 1, 3 and 24 points."""
        return tuple(
            self._smallest(row, side, kind, place, points)
            for side, kind in enumerate(("drop", "spike"))
            for place, points in enumerate(WITHIN_POINTS)
        )

    def power(self, row: int) -> Floats:
        """Share of the calm starts at which each change was told, (sizes, 2, within); NaN where none was calm."""
        calm = self.counted[row]
        with np.errstate(invalid="ignore"):
            return np.asarray((self.told[row] & calm).sum(axis=2) / calm.sum(axis=0))

    def course(self, row: int) -> Course:
        """What happened to one series."""
        return Course(
            first=self.first,
            expected=self.expected[row],
            lower=self.lower[row],
            upper=self.upper[row],
            rarity=self.rarity[row],
            power=self.power(row),
        )

    def _smallest(self, row: int, side: int, kind: str, place: int, points: int) -> SmallestChange:
        power = np.nan_to_num(self.power(row)[:, side, place])
        enough = np.minimum.accumulate(power[::-1])[::-1] >= POWER
        if not enough.any():
            return SmallestChange(kind, points, None, None)
        share = float(SIZES[int(np.argmax(enough))])
        if kind == "drop" and share > 1.0:
            return SmallestChange(kind, points, None, None)
        return SmallestChange(kind, points, share, share * float(self.usual[row]))

    def alerts(self, row: int, asked: float) -> tuple[ExpectedAlerts, ...]:
        """Runs a week at each budget, the one asked for among them; those within the cool-down are joined."""
        counted = []
        for budget in sorted({*BUDGETS, asked}):
            told = _told_columns(self.rarity[row], budget)
            runs = int(len(told) > 0) + int((np.diff(told) > _pause(self.cadence)).sum())
            counted.append(ExpectedAlerts(budget, runs / self.weeks if self.weeks else 0.0))
        return tuple(counted)


def _told_columns(rarity: Floats, budget: float) -> Ints:
    return np.flatnonzero(rarity >= -np.log10(budget))


def _pause(cadence: int) -> int:
    """Columns within which runs are one alert."""
    return max(2, COOL_DOWN_SECONDS // cadence)


def _trial(history: History, detector: Detector, threshold: float) -> _Trial:
    """Learn from the first part, judge the last, and inject changes at many starts on the way."""
    values = np.where(np.isfinite(history.values), history.values, np.nan)
    series, columns = values.shape
    held = max(columns - MOST_JUDGED, int(columns * LEARNED_SHARE))
    past = History(values[:, :held], history.timestamp[:held], history.local[:held], history.cadence)
    baseline, state = detector.fit(past)
    judged = columns - held
    starts = (
        np.unique(np.linspace(0, max(judged - max(WITHIN_POINTS), 0), STARTS).astype(int)) if judged else np.array([0])
    )
    said = {name: np.full((series, judged), np.nan) for name in ("expected", "lower", "upper", "rarity")}
    snapshots: list[Fields] = []
    for step in range(judged):
        if step in starts:
            snapshots.append(take(state, np.arange(series)))
        points = _points(history, held + step, np.arange(series), values[:, held + step], threshold)
        scores, state = detector.score(points, baseline, state)
        for name, column in said.items():
            column[:, step] = getattr(scores, name)
    with np.errstate(all="ignore"):
        _, unit = center_and_unit(values)
        errors = _errors(values, said["expected"], held, history.cadence, unit)
        usual = np.nan_to_num(median(np.abs(values[:, held:]), 1)) if judged else np.zeros(series)
    told, counted = _inject(history, values, held, starts, snapshots, baseline, detector, threshold, usual)
    weeks = judged * history.cadence / WEEK_SECONDS
    return _Trial(
        *errors,
        first=held,
        **said,
        told=told,
        counted=counted,
        usual=usual,
        cadence=history.cadence,
        weeks=weeks,
    )


def _errors(values: Floats, expected: Floats, held: int, cadence: int, unit: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean cut errors of the detector, of the past's median, and of the same time a week before."""
    late, week = values[:, held:], max(1, WEEK // cadence)
    fixed = (
        np.repeat(median(values[:, :held], 1)[:, None], late.shape[1], axis=1) if held else np.full_like(late, np.nan)
    )
    before = np.full_like(late, np.nan)
    if held >= week:
        before = values[:, held - week : values.shape[1] - week]
    each = []
    for said in (expected, fixed, before):
        size = np.minimum(np.abs(late - said) / unit[:, None], CLIPPED)
        each.append(np.where((~np.isnan(size)).any(axis=1), mean(size, 1), np.nan))
    return each[0], each[1], each[2]


def _inject(
    history: History,
    values: Floats,
    held: int,
    starts: Ints,
    snapshots: list[Fields],
    baseline: Fields,
    detector: Detector,
    threshold: float,
    usual: Floats,
) -> tuple[Bools, Bools]:
    """Whether each injected change was told within 1, 3, 24 points of each start, and which starts count.

    All series, sizes, sides and starts advance together, one row each.
    """
    series, columns = values.shape
    sizes = np.concatenate([[0.0], SIZES])
    shape = (series, len(sizes), 2, len(snapshots))
    if not snapshots:
        return (
            np.zeros((series, len(SIZES), 2, 1, len(WITHIN_POINTS)), bool),
            np.zeros((series, 1, len(WITHIN_POINTS)), bool),
        )
    row, size, side, start = (index.ravel() for index in np.indices(shape))
    flat = start * series + row
    state = {name: np.concatenate([one[name] for one in snapshots])[flat] for name in snapshots[0]}
    share = np.where(side == 0, -1.0, 1.0) * sizes[size]
    may_be_negative = np.nanmin(values, axis=1, initial=0.0)[row] < 0
    first = np.full(len(row), np.inf)
    frozen = np.zeros(len(row), bool)
    for step in range(max(WITHIN_POINTS)):
        column = np.minimum(held + starts[start] + step, columns - 1)
        inside = held + starts[start] + step < columns
        there = values[row, column]
        value = np.where(inside, there + share * np.where(may_be_negative, usual[row], there), np.nan)
        points = _points(history, column, row, value, threshold, frozen)
        scores, state = detector.score(points, baseline, state)
        told = np.nan_to_num(scores.rarity, nan=-np.inf) >= threshold
        first = np.where(told & np.isinf(first), step, first)
        frozen = frozen | told
    within = np.stack([(first < points).reshape(shape) for points in WITHIN_POINTS], axis=-1)
    calm = ~within[:, 0, 0]
    calm[~(np.abs(values[:, held + starts]) >= LEAST_SHARE * usual[:, None])] = False
    return within[:, 1:], calm


def _points(
    history: History, column: Ints | int, row: Ints, value: Floats, threshold: float, frozen: Bools | None = None
) -> Points:
    count = len(row)
    thresholds = np.full(count, threshold)
    return Points(
        row=row,
        timestamp=np.broadcast_to(history.timestamp[column], count).astype(np.int64),
        local=np.broadcast_to(history.local[column], count).astype(np.int64),
        value=value,
        cadence=np.full(count, history.cadence, np.int64),
        frozen=np.zeros(count, bool) if frozen is None else frozen,
        threshold_up=thresholds,
        threshold_down=thresholds,
    )
