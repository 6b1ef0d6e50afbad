"""A new normal: forget the old level, keep the season's shape, and tell when the series has settled.

The history before a change of level is moved onto the level since: by a factor or by a difference, whichever leaves
less unexplained. A detector fitted on that knows the new level and the old shape without knowing of the change. The
series has settled once the residuals of its last full season cannot be told from those of before the change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np

from detectors.contract import Bools, Floats, History, Ints
from detectors.profile import fit_profile, phase
from detectors.robust import median, spread

DAY, WEEK = 86_400, 604_800
WIDEST = 2.0
"""Decades by which tolerance is widened at first, when little is known of the new level; it narrows with the square."""
LONGEST = timedelta(weeks=2)
FEWEST_OLD = 14
"""Known points before the change from which a shape can be told."""
NEW_SPAN = 2 * WEEK
"""So much of what followed the change tells the new level; what drifts later is learned as any drift is."""
CLEARLY = 0.9
"""A difference must leave so much less unexplained than a factor, which keeps the spread in proportion too."""
BEYOND_NOISE = 1.2
"""And the factor must leave more than noise does: a few points at one phase can't tell the two apart."""
FEWEST_OF_SEASON = 0.8
FAR, WIDE, LOPSIDED = 0.75, 1.6, 0.35
"""Of settled noise: how far off the middle may be, how much wider the spread, how far from a half the signs."""
PERSISTENT_POINTS, PERSISTENT_DAYS, PERSISTENT_SPAN = 12, 5, 21_600
OFF = 0.75
"""Share of half the band by which a point of the new level is off what the old one would have brought."""
PERSISTENT_SHARE = 0.9
PERSISTENT_SIZE = 1.5
"""A shift persists where so many points (or days, if they come daily) over so many seconds at least, such a share of
them on one side, lie so many noises off."""


@dataclass(frozen=True)
class LevelChange:
    """The series has a new level since `start`, unix seconds."""

    series_id: int
    start: int


@dataclass(frozen=True)
class Shift:
    """What takes the old level to the new one: value * factor + offset."""

    factor: float
    offset: float

    def of(self, values: Floats) -> Floats:
        return np.asarray(values * self.factor + self.offset)

    @property
    def back(self) -> Shift:
        """What takes the new level to the old one."""
        return Shift(1 / self.factor, -self.offset / self.factor)


@dataclass(frozen=True)
class Settling:
    """How far a series has settled: progress 0 to 1, and in words what is still missing."""

    progress: float
    settled: bool
    reason: str


def relevelled(history: History, series_id: Ints, changes: Sequence[LevelChange]) -> History:
    """The history as if each series had always been at the level of its last change. series_id: (S,)."""
    here = set(series_id.tolist())
    wanted = sorted((each for each in changes if each.series_id in here), key=lambda each: each.start)
    if not wanted:
        return history
    values = history.values.copy()
    for row in np.flatnonzero(np.isin(series_id, [each.series_id for each in wanted])):
        starts = [each.start for each in wanted if each.series_id == series_id[row]]
        for start, end in zip(starts, [*starts[1:], np.inf], strict=True):
            before = history.timestamp < start
            since = (history.timestamp >= start) & (history.timestamp < min(end, start + NEW_SPAN))
            shift = shift_between(values[row], history, before, since)
            if shift is not None:
                values[row, before] = shift.of(values[row, before])
    return replace(history, values=values)


def shift_between(values: Floats, history: History, before: Bools, since: Bools) -> Shift | None:
    """The shift of one series' values (N,) that explains the columns `since` by the shape of those `before`.

    None where too little is known of either.
    """
    old = _usual(values, history, before)
    if old is None:
        return None
    known = since & np.isfinite(values)
    if not known.any():
        return None
    new, usual = values[known], old.expected[known]
    difference = float(np.median(new - usual))
    sizeable = np.abs(usual) > 0.1 * np.median(np.abs(usual))
    if not sizeable.any() or np.median(usual) == 0:
        return Shift(1.0, difference)
    factor = float(np.median(new[sizeable] / usual[sizeable]))
    unexplained = [float(np.median(np.abs(new - each))) for each in (usual * factor, usual + difference)]
    told_apart = unexplained[0] > BEYOND_NOISE * old.noise * max(factor, 1.0)
    if factor <= 0 or (told_apart and unexplained[1] < CLEARLY * unexplained[0]):
        return Shift(1.0, difference)
    return Shift(factor, 0.0)


def onset(timestamp: Ints, off_by: Floats, half_band: Floats) -> int:
    """When the level changed, of points (n,) from the opening of a run to its strangest one; unix seconds.

    A run may open at a point that is strange for another reason, and what came before the change would blur the new
    level. off_by: distance from expected towards the run's direction; NaN is not off.
    """
    is_off = off_by >= OFF * half_band
    calm_before = np.concatenate([[0], np.cumsum(np.where(is_off, -1, 1))[:-1]])
    return int(timestamp[int(np.argmax(calm_before))])


def season_of(values: Floats, history: History, start: int) -> int:
    """Length in seconds of the season that one series had before `start`: a week where its days differ, else a day."""
    if history.cadence >= DAY:
        return WEEK
    old = _usual(values, history, history.timestamp < start)
    if old is None:
        return WEEK
    days = old.hours.reshape(7, 24)
    apart = np.quantile(np.abs(days - days.mean(axis=0)), 0.9)
    return WEEK if apart > old.noise else DAY


def settling(values: Floats, history: History, start: int) -> Settling:
    """How far one series, values (N,), has settled on the level that it has had since `start`."""
    season = season_of(values, history, start)
    before, since = history.timestamp < start, history.timestamp >= start
    shift = shift_between(values, history, before, since & (history.timestamp < start + NEW_SPAN))
    old = _usual(values, history, before)
    if shift is None or old is None:
        return Settling(0.0, settled=False, reason="no points yet since the change")
    end = int(history.timestamp[np.isfinite(values)][-1]) + history.cadence
    last = since & (history.timestamp >= end - season) & np.isfinite(values)
    residual = values[last] - shift.of(old.expected[last])
    noise = old.noise * abs(shift.factor)
    # the part of the season that has passed, as far as points came in it
    expected_points = FEWEST_OF_SEASON * season / history.cadence
    passed = min((end - start) / season, residual.size / expected_points, 1.0)
    likeness, doubt = _likeness(residual, noise)
    settled = passed >= 1.0 and not doubt
    return Settling(
        progress=1.0 if settled else min(passed * likeness, 0.99),
        settled=settled,
        reason=doubt if passed >= 1.0 else "a full season has not passed yet",
    )


def persists(values: Floats, history: History, start: int) -> bool:
    """Whether one series has kept to one side of what was usual before `start`, clearly and for long enough."""
    known = (history.timestamp >= start) & np.isfinite(values)
    enough = PERSISTENT_DAYS if history.cadence >= DAY else PERSISTENT_POINTS
    if known.sum() < enough or known.sum() * history.cadence < PERSISTENT_SPAN:
        return False
    old = _usual(values, history, history.timestamp < start)
    if old is None:
        return False
    residual = (values - old.expected)[known]
    one_side = max(np.mean(residual > 0), np.mean(residual < 0))
    recent = residual[-enough:]
    goes_on = abs(float(np.median(recent))) >= PERSISTENT_SIZE * old.noise and np.unique(np.sign(recent)).size == 1
    return bool(one_side >= PERSISTENT_SHARE and goes_on)


def widened(progress: float) -> float:
    """Decades added to the tolerance of a series that has settled so far."""
    return float(WIDEST * (1.0 - min(max(progress, 0.0), 1.0)) ** 2)


@dataclass(frozen=True)
class _Usual:
    """What the old level would have brought: expected (N,) over the whole history, its shape (168,), and its noise."""

    expected: Floats
    hours: Floats
    noise: float


def _usual(values: Floats, history: History, before: Bools) -> _Usual | None:
    columns = np.flatnonzero(before)
    if np.isfinite(values[columns]).sum() < FEWEST_OLD:
        return None
    profile = fit_profile(values[None, columns], history.local[columns], history.cadence)
    hour, following, weight = phase(history.local, history.cadence)
    shape = profile.hours[0, hour] * (1 - weight) + profile.hours[0, following] * weight
    residual = (values - shape)[None, columns]
    level = float(median(residual[:, -_recent_columns(history.cadence) :], 1)[0])
    if not np.isfinite(level):
        level = float(median(residual, 1)[0])
    floor = max(0.003 * abs(level), 1e-12)
    return _Usual(shape + level, profile.hours[0], max(float(spread(residual - level)[0]), floor))


def _recent_columns(cadence: int) -> int:
    return max(WEEK // cadence, FEWEST_OLD)


def _likeness(residual: Floats, noise: float) -> tuple[float, str]:
    """How like settled noise the residuals are, 0 to 1, and what tells them from it; nothing where they are alike."""
    if not residual.size:
        return 0.0, "no points in the last season"
    middle = float(np.median(residual))
    off = abs(middle) / noise
    wide = 1.4826 * float(np.median(np.abs(residual - middle))) / noise
    lopsided = abs(float(np.mean(residual > 0)) - 0.5)
    tests = [
        (off, FAR, "the level is still off"),
        (wide, WIDE, "it still scatters more than before"),
        (lopsided if off > FAR / 2 else 0.0, LOPSIDED, "it still keeps to one side"),
    ]
    likeness = min(1.0 if value <= limit else limit / value for value, limit, _ in tests)
    return likeness, "; ".join(words for value, limit, words in tests if value > limit)
