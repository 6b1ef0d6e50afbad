"""Training many series at once: what each may be trained on yet, and what is done when one of them fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from detectors.contract import Bools, Detector, Fields, Floats, History, Ints, put

MINUTE, HOUR, DAY = 60, 3_600, 86_400
LEARNING_DAYS = 14
"""Days of history after which a weekly pattern is trusted and learning counts as done."""
SPARSEST = 1.25
"""A series may lack a fifth of its points and still count as known since its first."""
ALERT_AFTER_DAYS = 2
ALERT_AFTER_POINTS = 30
ALERT_AFTER_DAILY_POINTS = 14
WARM_AFTER_DAYS, WARM_AFTER_POINTS = 1, 24
"""The same for a series whose own days bear out what it borrowed from its siblings."""
SLOWEST_CADENCE = 7 * DAY
EARLY = 10
"""The last tenth before a step belongs to it."""

_USUAL = np.array(
    [1, 2, 5, 10, 15, 20, 30]
    + [MINUTE * m for m in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)]
    + [HOUR * h for h in (1, 2, 3, 4, 6, 8, 12)]
    + [DAY, SLOWEST_CADENCE],
    np.int64,
)


@dataclass(frozen=True)
class Progress:
    """How far a series has learned: "12 of 14 days".

    days: whole days of history seen. of_days: days until learning is done.
    may_alert: whether there is ground for alerts yet. reason: why not, in plain words; empty where it may.
    siblings: how many siblings' past it learned from, 0 where it learns alone.
    """

    days: int
    of_days: int
    may_alert: bool
    reason: str
    siblings: int = 0

    @property
    def done(self) -> bool:
        """Whether nothing is left to count down."""
        return self.days >= self.of_days

    def __str__(self) -> str:
        return f"{min(self.days, self.of_days)} of {self.of_days} days"


@dataclass(frozen=True)
class Trained:
    """What `fit_many` made of S series.

    baselines, states: fields of each detector that was used, for all S series (cold where it was not the one used).
    detector: which one each series got, (S,). reason: why it is not the one asked for, "" where it is, (S,).
    """

    baselines: dict[str, Fields]
    states: dict[str, Fields]
    detector: list[str]
    reason: list[str]


def usual_cadence(timestamp: Ints) -> int:
    """Usual spacing in seconds of rising unix seconds; 0 while fewer than 3 points tell.

    The median spacing, taken to the nearest round one (a minute, an hour, a day) if that is within a tenth.
    """
    steps = np.diff(np.asarray(timestamp))
    steps = steps[steps > 0]
    if len(steps) < 2:
        return 0
    spacing = float(np.median(steps))
    nearest = int(_USUAL[np.argmin(np.abs(np.log(_USUAL / spacing)))])
    if abs(spacing - nearest) <= 0.1 * nearest:
        return nearest
    return max(1, round(min(spacing, SLOWEST_CADENCE)))


def progress(points: int, first: int, last: int, cadence: int, siblings: int = 0) -> Progress:
    """Learning progress of a series of so many known points between two unix seconds.

    siblings: how many siblings' shape its own days bear out.
    """
    span = int(_span(*(np.array([each]) for each in (points, first, last, cadence)))[0])
    needed, days_needed = (int(each) for each in _ground(np.array(cadence), np.array(siblings)))
    reason = ""
    if last - first + cadence >= days_needed * DAY and points < needed:
        reason = f"{points} of {needed} points"
    elif span < days_needed * DAY:
        reason = f"less than {days_needed} days of history" if days_needed > 1 else "less than a day of history"
    of_days = max(LEARNING_DAYS, -(-needed * cadence // DAY))
    return Progress(int(span // DAY), of_days, may_alert=not reason, reason=reason, siblings=siblings)


def may_alert(points: Ints, first: Ints, last: Ints, cadence: Ints, siblings: Ints) -> Bools:
    """`Progress.may_alert` of many series at once, arrays of one shape."""
    needed, days = _ground(cadence, siblings)
    return np.asarray((points >= needed) & (_span(points, first, last, cadence) >= days * DAY))


def _ground(cadence: Ints, siblings: Ints) -> tuple[Ints, Ints]:
    """Points, and days, that there must be before the first alert."""
    daily, warm = cadence >= DAY, (siblings > 0) & (cadence < DAY)
    needed = np.where(daily, ALERT_AFTER_DAILY_POINTS, np.where(warm, WARM_AFTER_POINTS, ALERT_AFTER_POINTS))
    return needed, np.where(warm, WARM_AFTER_DAYS, ALERT_AFTER_DAYS)


def _span(points: Ints, first: Ints, last: Ints, cadence: Ints) -> Ints:
    """Seconds of history; one point of long ago does not make history of the years since."""
    known = np.where(cadence > 0, cadence, HOUR)
    return np.where(points > 0, np.minimum(last - first + cadence, SPARSEST * points * known), 0).astype(np.int64)


def steps_of(timestamp: Ints, cadence: int) -> Ints:
    """The steps of a grid, counted from 1970, that points (unix seconds) belong to.

    One a little before a step is of that step: clocks that are a second fast tear no holes, and midnight stays on its
    day where summer time begins it at 23:00 UTC.
    """
    return np.asarray((timestamp + cadence // EARLY) // cadence)


def after_their_steps(timestamp: Ints, cadence: int) -> Ints:
    """By how many seconds points lie after the steps that they belong to; less than none where they come early."""
    return np.asarray(timestamp - steps_of(timestamp, cadence) * cadence)


def times_of(steps: Ints, after: Floats, cadence: int) -> Ints:
    """Unix seconds of consecutive steps (N,); `after`: how many seconds later their points lie, NaN where none came.

    Points of less than a day keep to one distance from their steps. Days are counted from somebody's midnight, which
    summer time moves: each has its own, and one without a point has that of the day before.
    """
    known = np.flatnonzero(np.isfinite(after))
    if not known.size:
        return steps * cadence
    if cadence < DAY:
        return steps * cadence + int(np.median(after[known]))
    latest = known[np.maximum(np.searchsorted(known, np.arange(after.size), side="right") - 1, 0)]
    return np.asarray(steps * cadence + after[latest].astype(np.int64))


def on_grid(timestamp: Ints, value: Floats, cadence: int) -> tuple[Ints, Floats]:
    """One series' points on a regular grid: its columns' unix seconds and values, NaN where none fell.

    Of several points in one column the last one counts.
    """
    step = steps_of(timestamp, cadence)
    place = step - step[0]
    values = np.full(int(place[-1]) + 1, np.nan)
    after = np.full(values.size, np.nan)
    values[place], after[place] = value, after_their_steps(timestamp, cadence)
    return times_of(step[0] + np.arange(values.size), after, cadence), values


def fit_many(detector: Detector, history: History, *, fall_back: Detector) -> Trained:
    """Fit all series at once; where that fails, one by one, and with `fall_back` where even that fails."""
    series = len(history.values)
    try:
        baseline, state = detector.fit(history)
    except Exception:  # noqa: BLE001 - one series may fail in any way; the others must still be trained
        return _fit_each(detector, history, fall_back)
    return Trained({detector.name: baseline}, {detector.name: state}, [detector.name] * series, [""] * series)


def _fit_each(detector: Detector, history: History, fall_back: Detector) -> Trained:
    series = len(history.values)
    baselines, states = {}, {}
    for either in (detector, fall_back):
        baselines[either.name], states[either.name] = either.cold(series)
    used, reasons = [], []
    for row in range(series):
        one = history.of_series(slice(row, row + 1))
        name, reason, fields = _fit_one(detector, one, fall_back)
        if fields is not None:
            put(baselines[name], np.array([row]), fields[0])
            put(states[name], np.array([row]), fields[1])
        used.append(name)
        reasons.append(reason)
    return Trained(baselines, states, used, reasons)


def _fit_one(
    detector: Detector, history: History, fall_back: Detector
) -> tuple[str, str, tuple[Fields, Fields] | None]:
    reason = ""
    attempts: list[tuple[str, Callable[[History], tuple[Fields, Fields]]]] = [
        (detector.name, detector.fit),
        (fall_back.name, fall_back.fit),
    ]
    for name, fit in attempts:
        try:
            return name, reason, fit(history)
        except Exception as fault:  # noqa: BLE001
            reason = reason or f"{name} could not be trained: {type(fault).__name__}"
    return fall_back.name, reason, None


def training_window(cadence: int) -> int:
    """Seconds of the past that a training looks at: about 100,000 points, 10 weeks at least and 2 years at most."""
    return int(np.clip(100_000 * max(cadence, 1), 70 * DAY, 730 * DAY))
