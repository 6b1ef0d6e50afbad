"""A detector tried on the end of a history: how it would have judged it live, and what changes it would have told.

The first two thirds of a history are learned from; the last third is judged as it would have been live. Power is
measured, not derived: drops and spikes are injected into that last third, and the smallest that is told nine times of
ten is what the reader would see. A drop of 30 % leaves 70 % of each value; where values may be negative, it is 30 % of
the usual size. Starts that are told without any injection do not count, nor those within an alert, nor those at which
next to nothing is there.

What is told is not decided here but by whoever decides it live: a `Life`. So nothing is promised that it would keep to
itself, because the change is too small or on a side that nobody watches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from detectors.bars import Bars
from detectors.calendar import WEEK
from detectors.contract import (
    TOGETHER,
    Bools,
    Detector,
    Fields,
    Floats,
    History,
    Ints,
    Points,
    Scores,
    score_in_turn,
)
from detectors.rarity import WEEK_SECONDS
from detectors.robust import center_and_unit, mean, median

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
CLIPPED = 10.0
FEWEST_AHEAD = 8
"""Points that are judged ahead of what is made of them; more while all stays calm."""


class Life(Protocol):
    """What is made of judged points live: whether they are told, and when nothing must be learned.

    `runs` is what it remembers of each series, a struct of arrays that it never changes.
    """

    def begin(self, count: int, kinds: int) -> Fields:
        """Runs of series of which nothing was ever told; `kinds` is the number of kinds of evidence."""
        ...

    def advance(self, runs: Fields, points: Points, scores: Scores, bars: Bars) -> tuple[Fields, Bools]:
        """The runs after one point each, and which of them are told at it; `bars` is what each must pass."""
        ...

    def frozen(self, runs: Fields) -> Bools:
        """Which of them must not learn."""
        ...

    def open_alerts(self, runs: Fields) -> tuple[Ints, Ints]:
        """First and last strange moment so far, unix seconds, of the alert that is open; 0 where none is."""
        ...


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
    alerts: first and last strange moment, unix seconds, of each alert that there would have been.
    """

    first: int
    expected: Floats
    lower: Floats
    upper: Floats
    rarity: Floats
    power: Floats
    alerts: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Trial:
    """A detector on the last third of S series.

    error, fixed_error, last_week_error: mean cut error in robust units, (S,). lived: how the last third went.
    told: bool (S, sizes, 2, starts, within), counted: bool (S, starts, within), the starts that were calm by themselves
    for so long. usual: (S,).
    """

    error: Floats
    fixed_error: Floats
    last_week_error: Floats
    lived: Lived
    told: Bools
    counted: Bools
    usual: Floats
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
        lived = self.lived
        judged = {name: getattr(lived, name)[row] for name in ("expected", "lower", "upper", "rarity")}
        return Course(first=lived.first, **judged, power=self.power(row), alerts=lived.alerts(row))

    def _smallest(self, row: int, side: int, kind: str, place: int, points: int) -> SmallestChange:
        power = np.nan_to_num(self.power(row)[:, side, place])
        enough = np.minimum.accumulate(power[::-1])[::-1] >= POWER
        if not enough.any():
            return SmallestChange(kind, points, None, None)
        share = float(SIZES[int(np.argmax(enough))])
        if kind == "drop" and share > 1.0:
            return SmallestChange(kind, points, None, None)
        return SmallestChange(kind, points, share, share * float(self.usual[row]))

    def expected_alerts(self, row: int) -> tuple[ExpectedAlerts, ...]:
        """Alerts a week at each budget. A larger one never brings fewer: there, alerts only run into each other."""
        most = np.maximum.accumulate(self.lived.told[:, row])
        return tuple(
            ExpectedAlerts(budget, float(count) / self.weeks if self.weeks else 0.0)
            for budget, count in zip(self.lived.budgets, most, strict=True)
        )


@dataclass(frozen=True)
class Lived:
    """The judged part of S series as it went live at one budget.

    first: the first judged column. expected, lower, upper, rarity: (S, judged). since, last: int64 (S, judged), unix
    seconds, of the alert that was open after each point, 0 where none was. told: int64 (budgets, S), how many alerts
    there were at each of `budgets`, which rise. states: what was remembered before each start, `at_start`.
    """

    first: int
    expected: Floats
    lower: Floats
    upper: Floats
    rarity: Floats
    since: Ints
    last: Ints
    budgets: tuple[float, ...]
    told: Ints
    starts: Ints
    states: list[Fields]

    @classmethod
    def blank(cls, series: int, held: int, columns: int, budgets: tuple[float, ...]) -> Lived:
        """Nothing of it yet."""
        judged = columns - held
        expected, lower, upper, rarity = np.full((4, series, judged), np.nan)
        since, last = np.zeros((2, series, judged), np.int64)
        starts = np.unique(np.linspace(0, max(judged - max(WITHIN_POINTS), 0), STARTS).astype(np.int64))
        told = np.zeros((len(budgets), series), np.int64)
        return cls(held, expected, lower, upper, rarity, since, last, budgets, told, starts[:judged], [])

    def note(self, at: int, scores: Scores, told: Bools, since: Ints, last: Ints) -> None:
        """What was said at one column, told at each budget, and open then at the one asked for."""
        for name in ("expected", "lower", "upper", "rarity"):
            getattr(self, name)[:, at] = getattr(scores, name)
        self.since[:, at], self.last[:, at] = since, last
        self.told[:] += told.reshape(self.told.shape)

    def alerts(self, row: int) -> tuple[tuple[int, int], ...]:
        """First and last strange moment of each alert of a series."""
        found = dict(zip(self.since[row].tolist(), self.last[row].tolist(), strict=True))
        return tuple((since, last) for since, last in found.items() if since)


def judge_the_end(
    history: History, detector: Detector, *, life: Life, bars: Bars, asked: float, budgets: Sequence[float] = ()
) -> Trial:
    """Learn from the first part, judge the last at the budget that is asked for, and inject changes on the way.

    bars: of each series, (S,); their thresholds give way to those of the budgets. budgets: more for which alerts count.
    """
    values = np.where(np.isfinite(history.values), history.values, np.nan)
    known = replace(history, values=values)
    columns = values.shape[1]
    held = max(columns - MOST_JUDGED, int(columns * LEARNED_SHARE))
    baseline, state = detector.fit(known.within(slice(held)))
    judge = _Judge(known, detector, baseline, life, bars, asked)
    lived = judge.live(state, held, tuple(sorted({*budgets, asked})))
    with np.errstate(all="ignore"):
        _, unit = center_and_unit(values)
        errors = _errors(values, lived.expected, held, history.cadence, unit)
        usual = np.nan_to_num(median(np.abs(values[:, held:]), 1)) if held < columns else np.zeros(len(values))
    told, counted = judge.inject(lived, usual)
    weeks = (columns - held) * history.cadence / WEEK_SECONDS
    return Trial(*errors, lived=lived, told=told, counted=counted, usual=usual, weeks=weeks)


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


def _threshold(budget: float) -> float:
    return -float(np.log10(budget))


@dataclass(frozen=True)
class _Judge:
    """A trained detector and what is made of its verdicts, on a history without infinite values."""

    history: History
    detector: Detector
    baseline: Fields
    life: Life
    bars: Bars
    asked: float

    def live(self, state: Fields, held: int, budgets: tuple[float, ...]) -> Lived:
        """Judge the columns from `held` on; what is told at the budget asked for decides when nothing is learned."""
        series, columns = self.history.values.shape
        lived = Lived.blank(series, held, columns, budgets)
        stops = {*lived.starts.tolist(), columns - held}
        runs = self.life.begin(series * len(budgets), len(self.detector.evidence))
        begin, ahead = 0, FEWEST_AHEAD
        while begin < columns - held:
            if begin in stops:
                lived.states.append(state)
            end = min(begin + ahead, *(stop for stop in stops if stop > begin))
            done, state, runs = self._live(lived, runs, state, begin, end)
            begin += done
            ahead = min(2 * ahead, max(1, TOGETHER // series)) if begin == end else FEWEST_AHEAD
        return lived

    def _live(self, lived: Lived, runs: Fields, state: Fields, begin: int, end: int) -> tuple[int, Fields, Fields]:
        """Some steps of `live`, judged together until one decides that series learn, or do not: how many, and after.

        runs: of all series at the first budget, then at the second, and so on.
        """
        series, steps = len(self.history.values), end - begin
        place = lived.budgets.index(self.asked) * series
        asked = slice(place, place + series)
        frozen = self.life.frozen(runs)[asked]
        row = np.tile(np.arange(series), steps)
        column = lived.first + np.repeat(np.arange(begin, end), series)
        points = self._points(column, row, np.tile(frozen, steps), self.history.values[row, column])
        scored, after = score_in_turn(self.detector, points, steps, self.baseline, state)
        at_each = np.tile(np.arange(len(row)).reshape(steps, 1, series), (len(lived.budgets), 1)).ravel()
        points, scored, bars = points.only(at_each), scored.only(at_each), self._bars_at(lived.budgets)
        size = series * len(lived.budgets)
        for step in range(steps):
            mine = slice(step * size, (step + 1) * size)
            scores = scored.only(mine)
            runs, told = self.life.advance(runs, points.only(mine), scores, bars)
            since, last = self.life.open_alerts(runs)
            lived.note(begin + step, scores.only(asked), told, since[asked], last[asked])
            if (self.life.frozen(runs)[asked] != frozen).any():
                break
        return step + 1, {name: array[step] for name, array in after.items()}, runs

    def _bars_at(self, budgets: Sequence[float]) -> Bars:
        """The bars of all series at the first budget, then at the second, and so on."""
        each = np.tile(np.arange(len(self.history.values)), len(budgets))
        thresholds = np.repeat([_threshold(budget) for budget in budgets], len(self.history.values))
        return replace(self.bars.only(each), threshold=thresholds)

    def inject(self, lived: Lived, usual: Floats) -> tuple[Bools, Bools]:
        """Whether each injected change was told within 1, 3, 24 points of each start, and which starts count.

        All series, sizes, sides and starts advance together, one row each, and none of them remembers an alert.
        """
        values, held, starts = self.history.values, lived.first, lived.starts
        series, columns = values.shape
        sizes = np.concatenate([[0.0], SIZES])
        shape = (series, len(sizes), 2, len(starts))
        if not len(starts):
            return (
                np.zeros((series, len(SIZES), 2, 1, len(WITHIN_POINTS)), bool),
                np.zeros((series, 1, len(WITHIN_POINTS)), bool),
            )
        row, size, side, start = (index.ravel() for index in np.indices(shape))
        flat = start * series + row
        state = {name: np.concatenate([one[name] for one in lived.states])[flat] for name in lived.states[0]}
        bars = self._bars_at([self.asked]).only(row)
        runs = self.life.begin(len(row), len(self.detector.evidence))
        share = np.where(side == 0, -1.0, 1.0) * sizes[size]
        may_be_negative = np.nanmin(values, axis=1, initial=0.0)[row] < 0
        first = np.full(len(row), np.inf)
        for step in range(max(WITHIN_POINTS)):
            column = held + starts[start] + step
            there = np.minimum(column, columns - 1)
            value = values[row, there]
            value = value + share * np.where(may_be_negative, usual[row], value)
            points = self._points(there, row, self.life.frozen(runs), np.where(column < columns, value, np.nan))
            scores, state = self.detector.score(points, self.baseline, state)
            runs, told = self.life.advance(runs, points, scores, bars)
            first = np.where(told, np.minimum(first, step), first)
        within = np.stack([(first < points).reshape(shape) for points in WITHIN_POINTS], axis=-1)
        calm = ~within[:, 0, 0]
        calm[~(np.abs(values[:, held + starts]) >= LEAST_SHARE * usual[:, None])] = False
        calm[:, 1:][lived.since[:, starts[1:] - 1] > 0] = False
        return within[:, 1:], calm

    def _points(self, column: Ints, row: Ints, frozen: Bools, value: Floats) -> Points:
        """These values (n,) as points of the given series, in the given columns."""
        history, thresholds = self.history, np.full(len(row), _threshold(self.asked))
        return Points(
            row=row,
            timestamp=history.timestamp[column],
            local=history.local[column],
            value=value,
            cadence=np.full(len(row), history.cadence, np.int64),
            frozen=frozen,
            threshold_up=thresholds,
            threshold_down=thresholds,
            weight=None if history.weights is None else history.weights[row, column],
            kinds_of_day=history.kinds_at(column),
        )
