"""A detector tried on the end of a history: how it would have judged it live, and what changes it would have told.

The first two thirds of a history are learned from; the last third is judged as it would have been live. Power is
measured, not derived: drops and spikes are injected into that last third, and the smallest that is told nine times of
ten is what the reader would see. A drop of 30 % leaves 70 % of each value; where values may be negative, it is 30 % of
the usual size. Starts that are told without any injection do not count, nor those at which next to nothing is there.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np

from detectors.calendar import WEEK
from detectors.contract import Bools, Detector, Fields, Floats, History, Ints, Points
from detectors.rarity import WEEK_SECONDS
from detectors.robust import center_and_unit, mean, median
from detectors.trial import go_on

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
class Trial:
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
        budgets, most = sorted({*BUDGETS, asked}), 0
        counted = []
        for budget in budgets:
            told = _told_columns(self.rarity[row], budget)
            runs = int(len(told) > 0) + int((np.diff(told) > _pause(self.cadence)).sum())
            most = max(most, runs)  # where nearly all is told, runs merge, but alerts do not get fewer
            counted.append(ExpectedAlerts(budget, most / self.weeks if self.weeks else 0.0))
        return tuple(counted)


def _told_columns(rarity: Floats, budget: float) -> Ints:
    return np.flatnonzero(rarity >= -np.log10(budget))


def _pause(cadence: int) -> int:
    """Columns within which runs are one alert."""
    return max(2, COOL_DOWN_SECONDS // cadence)


def judge_the_end(history: History, detector: Detector, threshold: float) -> Trial:
    """Learn from the first part, judge the last, and inject changes at many starts on the way."""
    values = np.where(np.isfinite(history.values), history.values, np.nan)
    series, columns = values.shape
    held = max(columns - MOST_JUDGED, int(columns * LEARNED_SHARE))
    known = replace(history, values=values)
    baseline, state = detector.fit(known.within(slice(held)))
    judged = columns - held
    starts = (
        np.unique(np.linspace(0, max(judged - max(WITHIN_POINTS), 0), STARTS).astype(int)) if judged else np.array([0])
    )
    said = {name: np.full((series, judged), np.nan) for name in ("expected", "lower", "upper", "rarity")}
    snapshots: list[Fields] = []
    for begin, end in itertools.pairwise([*starts.tolist(), judged] if judged else ()):
        snapshots.append(state)
        judgements, state = go_on(
            detector, baseline, state, known, first=held + begin, until=held + end, threshold=threshold
        )
        for name, column in said.items():
            column[:, begin:end] = getattr(judgements, name)
    with np.errstate(all="ignore"):
        _, unit = center_and_unit(values)
        errors = _errors(values, said["expected"], held, history.cadence, unit)
        usual = np.nan_to_num(median(np.abs(values[:, held:]), 1)) if judged else np.zeros(series)
    told, counted = _inject(history, values, held, starts, snapshots, baseline, detector, threshold, usual)
    weeks = judged * history.cadence / WEEK_SECONDS
    return Trial(
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


def _points(history: History, column: Ints | int, row: Ints, value: Floats, threshold: float, frozen: Bools) -> Points:
    count = len(row)
    thresholds = np.full(count, threshold)
    return Points(
        row=row,
        timestamp=np.broadcast_to(history.timestamp[column], count).astype(np.int64),
        local=np.broadcast_to(history.local[column], count).astype(np.int64),
        value=value,
        cadence=np.full(count, history.cadence, np.int64),
        frozen=frozen,
        threshold_up=thresholds,
        threshold_down=thresholds,
        kinds_of_day=history.kinds_at(np.broadcast_to(column, count)),
    )
