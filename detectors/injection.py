"""A detector tried on the end of a history: how it would have judged it live, and what changes it would have told.

The first two thirds of a history are learned from; the last third is judged as it would have been live. Power is
measured, not derived: drops and spikes are injected into that last third, and the smallest that is told nine times of
ten is what the reader would see. A drop of 30 % leaves 70 % of each value; where values may be negative, it is 30 % of
the usual size. Of counts of single events it leaves out three events of ten by chance, and a spike of 30 % adds so many
by chance. Starts that are told without any injection do not count, nor those within an alert, nor those at which next
to nothing is there, nor those whose points go beyond the end. From few of them nothing is said: unknown is not unseen.

What is told is not decided here but by whoever decides it live: a `Life`. So nothing is promised that it would keep to
itself, because the change is too small or on a side that nobody watches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from detectors.bars import Bars
from detectors.calendar import DAY, HOUR, WEEK
from detectors.choice import few_events
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
FEWEST_LEARNED = 14
"""Points, fewer of which no detector learns from."""
STARTS = 40
WITHIN_POINTS = (1, 3, 24)
POWER = 0.9
FEWEST_TRIALS = 10
"""Calm starts, fewer of which cannot tell nine times of ten."""
FEWEST_JUDGED = FEWEST_TRIALS + WITHIN_POINTS[1] - 1
MOST_JUDGED = 10_080
"""A week of minutes."""
LEAST_SHARE = 0.2
"""A start needs a value of so much of the usual size: where a series rests at 0 every night, nothing can drop."""
WHOLE = 1.0
SIZES = np.sort(np.append(np.round(np.geomspace(0.02, 4.0, 30), 3), WHOLE))
"""Injected changes as a share of the usual size; a larger drop than the whole is the whole, on series above zero."""
MOST_EVENTS = 1e9
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

    share, size: None where even the largest that was tried is missed more often, and where too few starts were calm for
    so long to tell. trials: how many were; what is seen within fewer points is seen within more, whatever their number.
    """

    kind: str
    within_points: int
    share: float | None
    size: float | None
    trials: int

    @property
    def is_known(self) -> bool:
        """Whether it is seen, or surely not."""
        return self.share is not None or self.trials >= FEWEST_TRIALS

    @property
    def reason(self) -> str | None:
        """Why there is no share; None where there is one."""
        if self.share is not None:
            return None
        return "even the largest that was tried is missed" if self.is_known else "too few calm stretches to tell"


@dataclass(frozen=True)
class ExpectedAlerts:
    """Alerts on the judged part of the history at one budget, and a week; labels aside, all of them."""

    budget: float
    alerts_per_week: float
    alerts: int


@dataclass(frozen=True)
class Course:
    """How the last part of a history was judged, and how often injected changes were told in it: for pictures.

    first: column of the history from which on points were judged. expected, lower, upper, rarity: (judged,).
    power: share told, (sizes, 2, within) for drops then spikes, as SIZES and WITHIN_POINTS; NaN where it is not known.
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

    def trials(self, row: int) -> Ints:
        """How many starts were calm for 1, 3 and 24 points."""
        return np.asarray(self.counted[row].sum(axis=0))

    def power(self, row: int) -> Floats:
        """Share of the calm starts at which each change was told, (sizes, 2, within); NaN where too few were calm.

        What is told within fewer points is told within more.
        """
        calm, trials = self.counted[row], self.trials(row)
        told = (self.told[row] & calm).sum(axis=2) / np.maximum(trials, 1)
        return np.asarray(np.fmax.accumulate(np.where(trials >= FEWEST_TRIALS, told, np.nan), axis=-1))

    def course(self, row: int) -> Course:
        """What happened to one series."""
        lived = self.lived
        judged = {name: getattr(lived, name)[row] for name in ("expected", "lower", "upper", "rarity")}
        return Course(first=lived.first, **judged, power=self.power(row), alerts=lived.alerts(row))

    def _smallest(self, row: int, side: int, kind: str, place: int, points: int) -> SmallestChange:
        trials, power = int(self.trials(row)[place]), self.power(row)[:, side, place]
        enough = np.minimum.accumulate(power[::-1])[::-1] >= POWER
        if not enough.any():
            return SmallestChange(kind, points, None, None, trials)
        share = float(SIZES[int(np.argmax(enough))])
        return SmallestChange(kind, points, share, share * float(self.usual[row]), trials)

    def expected_alerts(self, row: int) -> tuple[ExpectedAlerts, ...]:
        """Alerts a week at each budget. A larger one never brings fewer: there, alerts only run into each other."""
        most = np.maximum.accumulate(self.lived.told[:, row])
        return tuple(
            ExpectedAlerts(budget, float(count) / self.weeks if self.weeks else 0.0, int(count))
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
        told = np.zeros((len(budgets), series), np.int64)
        return cls(held, expected, lower, upper, rarity, since, last, budgets, told, _starts(judged), [])

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


def _starts(judged: int) -> Ints:
    """Where changes are put into so many columns: at each while they are few, spread evenly over more."""
    room = judged - max(WITHIN_POINTS)
    return np.arange(judged) if room < STARTS else np.unique(np.linspace(0, room, STARTS).astype(np.int64))


def judge_the_end(
    history: History, detector: Detector, *, life: Life, bars: Bars, asked: float, budgets: Sequence[float] = ()
) -> Trial:
    """Learn from the first part, judge the last at the budget that is asked for, and inject changes on the way.

    bars: of each series, (S,); their thresholds give way to those of the budgets. budgets: more for which alerts count.
    """
    values = np.where(np.isfinite(history.values), history.values, np.nan)
    known = replace(history, values=values)
    columns = values.shape[1]
    held = max(columns - MOST_JUDGED, min(int(columns * LEARNED_SHARE), columns - FEWEST_JUDGED), 0)
    baseline, state = detector.fit(known.within(slice(held)))
    judge = _Judge(known, detector, baseline, life, bars, asked)
    lived = judge.live(state, held, tuple(sorted({*budgets, asked})))
    with np.errstate(all="ignore"):
        _, unit = center_and_unit(values)
        errors = _errors(values, lived.expected, held, history.cadence, unit)
    injected = _Injected.into(judge, lived)
    told, counted = injected.changes()
    weeks = (columns - held) * history.cadence / WEEK_SECONDS
    return Trial(*errors, lived=lived, told=told, counted=counted, usual=injected.usual, weeks=weeks)


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
        points = self.points(column, row, np.tile(frozen, steps), self.history.values[row, column])
        scored, after = score_in_turn(self.detector, points, steps, self.baseline, state)
        at_each = np.tile(np.arange(len(row)).reshape(steps, 1, series), (len(lived.budgets), 1)).ravel()
        points, scored, bars = points.only(at_each), scored.only(at_each), self.bars_at(lived.budgets)
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

    def bars_at(self, budgets: Sequence[float]) -> Bars:
        """The bars of all series at the first budget, then at the second, and so on."""
        each = np.tile(np.arange(len(self.history.values)), len(budgets))
        thresholds = np.repeat([_threshold(budget) for budget in budgets], len(self.history.values))
        return replace(self.bars.only(each), threshold=thresholds)

    def points(self, column: Ints, row: Ints, frozen: Bools, value: Floats) -> Points:
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


@dataclass(frozen=True)
class _Injected:
    """Changes put into the judged part of S series, at starts from which all advance together, one row each.

    usual: (S,), the size that changes are a share of. rate: (S, judged), the mean at that time of day. events: bool
    (S,), which count single events. negative: bool (S,), which may be negative.
    """

    judge: _Judge
    lived: Lived
    usual: Floats
    rate: Floats
    events: Bools
    negative: Bools

    @classmethod
    def into(cls, judge: _Judge, lived: Lived) -> _Injected:
        values = judge.history.values
        late, events = np.abs(values[:, lived.first :]), few_events(values)
        with np.errstate(over="ignore"):
            usual = np.nan_to_num(median(late, 1)) if late.size else np.zeros(len(values))
            usual = np.where(events | (usual == 0), np.nan_to_num(mean(late, 1)), usual)
            rate = _by_time_of_day(judge.history)[:, lived.first :]
        return cls(judge, lived, usual, rate, events, np.nanmin(values, axis=1, initial=0.0) < 0)

    def changes(self) -> tuple[Bools, Bools]:
        """Whether each change was told within 1, 3, 24 points of each start, and which starts count."""
        sizes = np.concatenate([[0.0], SIZES])
        shape = (len(self.usual), len(sizes), 2, len(self.lived.starts))
        row, size, side, start = (index.ravel() for index in np.indices(shape))
        share = np.where(side == 0, -1.0, 1.0) * sizes[size]
        first = self._first_told(row, start, share).reshape(shape)
        within = np.stack([first < points for points in WITHIN_POINTS], axis=-1)
        return within[:, 1:], self._calm(first[:, 0, 0])

    def _first_told(self, row: Ints, start: Ints, share: Floats) -> Floats:
        """The step, counted from its start, at which each row is first told; inf where it is not.

        row: series. start: place in `starts`. share: of the change, less than none for drops. None of the rows
        remembers an alert.
        """
        judge, lived = self.judge, self.lived
        flat = start * len(self.usual) + row
        state = {name: np.concatenate([one[name] for one in lived.states])[flat] for name in lived.states[0]}
        bars = judge.bars_at([judge.asked]).only(row)
        runs = judge.life.begin(len(row), len(judge.detector.evidence))
        chance = [np.random.default_rng(0) for _ in self.usual]
        judged = lived.expected.shape[1]
        first = np.full(len(row), np.inf)
        for step in range(max(WITHIN_POINTS)):
            place = lived.starts[start] + step
            there = np.minimum(place, judged - 1)
            value = np.where(place < judged, self._changed(row, there, share, chance), np.nan)
            points = judge.points(lived.first + there, row, judge.life.frozen(runs), value)
            scores, state = judge.detector.score(points, judge.baseline, state)
            runs, told = judge.life.advance(runs, points, scores, bars)
            first = np.where(told, np.minimum(first, step), first)
        return first

    def _changed(self, row: Ints, place: Ints, share: Floats, chance: Sequence[np.random.Generator]) -> Floats:
        """The values (n,) in these judged columns with their changes; a generator for each series."""
        value = self.judge.history.values[row, self.lived.first + place]
        size = np.where(self.negative[row], self.usual[row], value)
        changed = value + np.where(self.negative[row], share, np.maximum(share, -WHOLE)) * size
        for series, is_counted in enumerate(self.events):
            if is_counted:
                mine = row == series
                rate = self.rate[series, place[mine]]
                changed[mine] = _counted(value[mine], rate, share[mine], chance[series])
        return np.asarray(changed)

    def _calm(self, first: Floats) -> Bools:
        """Which starts count: bool (S, starts, within), from when (S, starts) each is told without any change."""
        lived, starts = self.lived, self.lived.starts
        left = lived.expected.shape[1] - starts
        calm = np.stack([(first >= points) & (left >= points) for points in WITHIN_POINTS], axis=-1)
        there = np.where(self.events[:, None], self.rate, self.judge.history.values[:, lived.first :])[:, starts]
        calm[~(np.abs(there) >= LEAST_SHARE * self.usual[:, None])] = False
        calm[:, 1:][lived.since[:, starts[1:] - 1] > 0] = False
        return calm


def _by_time_of_day(history: History) -> Floats:
    """The mean of each series at the time of day, in hours or the steps that are longer, of each column: (S, N)."""
    phase = history.local % DAY // max(history.cadence, HOUR)
    means = np.zeros_like(history.values)
    for one in np.unique(phase):
        means[:, phase == one] = mean(history.values[:, phase == one], 1)[:, None]
    return means


def _counted(value: Floats, rate: Floats, share: Floats, chance: np.random.Generator) -> Floats:
    """Counts (n,), of which each event is left out by chance, or to which events are added by chance."""
    known = np.nan_to_num(value)
    fewer = known - chance.binomial(np.minimum(known, MOST_EVENTS).astype(np.int64), np.clip(-share, 0, 1))
    more = known + chance.poisson(np.minimum(np.maximum(share, 0) * rate, MOST_EVENTS))
    return np.where(np.isnan(value), np.nan, np.where(share < 0, fewer, more))
