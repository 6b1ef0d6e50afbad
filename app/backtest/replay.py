"""Replay recorded series as they would have been judged live: in time order, and from the past only.

Series of one cadence advance together, one point each a step. Every night, and every six hours while a series is
young, its baseline is fitted anew on its own past, without a told anomaly that is still open, which is what a live
partition does. So a verdict at one time rests on points up to that time, whatever follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from app.alerts.life import LifeRules, advance, frozen, is_told, newborn
from app.alerts.policy import LEAST_RELATIVE_CHANGE
from detectors.bars import least_of
from detectors.calendar import DAY, local_seconds
from detectors.contract import (
    TOGETHER,
    Bools,
    Detector,
    Floats,
    History,
    Ints,
    Points,
    Scores,
    put,
    score_in_turn,
    take,
)
from detectors.days import kinds_of_day
from detectors.registry import get
from detectors.training import (
    after_their_steps,
    may_alert,
    steps_of,
    times_of,
    training_window,
    usual_cadence,
)

FEWEST_AHEAD = 8
"""Points of each series that are judged ahead of what they do to its run; more while it stays calm."""
TICK = 21_600
"""Seconds of local time between two looks at whose baseline is due."""
YOUNG_DAYS = 4
CANDIDATE_DECADES = 0.6
"""How far below the threshold of its budget a run is already kept as a candidate, log10 weeks."""


@dataclass(frozen=True)
class Recorded:
    """A series to replay: `timestamp` int64 unix seconds, rising; `value` float64, NaN = known to be missing.

    weight: float64, of a ratio the number of events behind each value, NaN where not given; None if none was.
    """

    name: str
    timestamp: Ints
    value: Floats
    weight: Floats | None = None


@dataclass(frozen=True)
class Replayed:
    """The judgement of each point of a recorded series; arrays (n,) beside its `timestamp`.

    expected, lower, upper, rarity (log10 weeks): NaN where there was no ground for a judgement yet.
    direction: int8. anomalous: an anomaly that was told is open. alert: the point at which it was told.
    judged_from: index of the first point that was to be judged at all.
    """

    name: str
    timestamp: Ints
    value: Floats
    expected: Floats
    lower: Floats
    upper: Floats
    rarity: Floats
    direction: np.ndarray
    anomalous: Bools
    alert: Bools
    judged_from: int


Progressed = Callable[[int, int], None]
"""Told how many points of how many are done."""


def replay(
    series: Sequence[Recorded],
    *,
    alerts_per_week: float = 1.0,
    timezone: str = "UTC",
    country: str = "",
    train_until: int | None = None,
    train_fraction: float | None = None,
    detector: str = "seasonal",
    rules: LifeRules | None = None,
    progress: Progressed | None = None,
) -> list[Replayed]:
    """Judge every series causally; points before `train_until`, or in the first fraction, are only learned from."""
    threshold = -float(np.log10(alerts_per_week))
    starts = [_judged_from(one, train_until, train_fraction) for one in series]
    cadences = [
        usual_cadence(one.timestamp[: _before_first_fit(one, start)]) for one, start in zip(series, starts, strict=True)
    ]
    replayed: dict[int, Replayed] = {}
    total, done = sum(len(one.timestamp) for one in series), 0
    for cadence in sorted(set(cadences)):
        members = [index for index, own in enumerate(cadences) if own == cadence]
        course = _Course(
            [series[index] for index in members],
            [starts[index] for index in members],
            cadence=cadence,
            timezone=timezone,
            country=country,
            threshold=threshold,
            detector=get(detector),
            rules=rules or LifeRules(),
        )
        for judged in course.run() if cadence else ():
            done += judged
            if progress:
                progress(done, total)
        replayed |= dict(zip(members, course.replayed(), strict=True))
    return [replayed[index] for index in range(len(series))]


def _judged_from(one: Recorded, train_until: int | None, train_fraction: float | None) -> int:
    if train_until is not None:
        return int(np.searchsorted(one.timestamp, train_until))
    return int(len(one.timestamp) * (train_fraction or 0.0))


def _before_first_fit(one: Recorded, judged_from: int) -> int:
    """How many of the points come before any verdict: only they may say what the cadence is."""
    if judged_from or not len(one.timestamp):
        return judged_from
    young = int(np.searchsorted(one.timestamp, one.timestamp[0] + 2 * DAY, side="right"))
    return max(young, 30)


@dataclass(frozen=True)
class _Stretch:
    """Points [start, stop) of one series that lie between two looks at whose baseline is due."""

    row: int
    start: int
    stop: int


class _Course:
    """All series of one cadence on their way through time."""

    def __init__(
        self,
        series: Sequence[Recorded],
        starts: Sequence[int],
        *,
        cadence: int,
        timezone: str,
        country: str,
        threshold: float,
        detector: Detector,
        rules: LifeRules,
    ) -> None:
        self.series, self.starts, self.cadence, self.timezone = series, starts, cadence, timezone
        self.country = country
        self.threshold, self.detector, self.rules = threshold, detector, rules
        self.local = [local_seconds(one.timestamp, timezone) for one in series]
        self.column = [steps_of(one.timestamp, max(cadence, 1)) - self._origin(row) for row, one in enumerate(series)]
        self.past = [np.full(int(column[-1]) + 1 if len(column) else 0, np.nan) for column in self.column]
        self.past_weight = [np.full_like(past, np.nan) for past in self.past] if _weighted(series) else None
        self.after = [self._after(one, column) for one, column in zip(series, self.column, strict=True)]
        self.offset = [self._offset_of(one, start) for one, start in zip(series, starts, strict=True)]
        self.baseline, self.state = detector.cold(len(series))
        self.life = newborn(len(series), len(detector.evidence))
        self.least = np.zeros(len(series))
        self.fitted_on = np.full(len(series), -1)
        self.judged = [_blank(one, start) for one, start in zip(series, starts, strict=True)]

    def run(self) -> Iterator[int]:
        """Advance through all stretches in time order; yields how many points each step forward took."""
        for stretches in self._stretches():
            self._fit([stretch for stretch in stretches if self._is_due(stretch)])
            self._judge([stretch for stretch in stretches if stretch.stop > self.starts[stretch.row]])
            for stretch in stretches:
                self._remember(stretch)
            yield sum(stretch.stop - stretch.start for stretch in stretches)

    def replayed(self) -> list[Replayed]:
        """What came out."""
        return self.judged

    def _after(self, one: Recorded, column: Ints) -> Floats:
        """Seconds by which the point of each column lies after it; NaN where none came."""
        after = np.full(int(column[-1]) + 1 if len(column) else 0, np.nan)
        after[column] = after_their_steps(one.timestamp, max(self.cadence, 1))
        return after

    def _offset_of(self, one: Recorded, start: int) -> int:
        """Seconds by which the points usually lie after the columns of the grid."""
        known = one.timestamp[: max(_before_first_fit(one, start), 1)]
        if not self.cadence or not len(known):
            return 0
        return int(np.median(after_their_steps(known, self.cadence)))

    def _stretches(self) -> list[list[_Stretch]]:
        """Stretches of all series, gathered by the six hours of local time (and the end of training) they lie in."""
        by_tick: dict[int, list[_Stretch]] = {}
        for row, start in enumerate(self.starts):
            tick = np.maximum.accumulate(self.local[row] // TICK) * 2
            tick[start:] += 1
            ticks, begins = np.unique(tick, return_index=True)
            ends = np.append(begins[1:], len(tick))
            for key, begin, end in zip(ticks.tolist(), begins.tolist(), ends.tolist(), strict=True):
                by_tick.setdefault(key, []).append(_Stretch(row, begin, end))
        return [by_tick[key] for key in sorted(by_tick)]

    def _is_due(self, stretch: _Stretch) -> bool:
        """Whether a series is fitted before this stretch: after its training, nightly, oftener while young."""
        row, begin = stretch.row, stretch.start
        if begin < self.starts[row] or begin == 0:
            return False
        one, day = self.series[row], int(self.local[row][begin] // DAY)
        first, last = int(one.timestamp[0]), int(one.timestamp[begin - 1])
        counts = np.array([begin]), np.array([first]), np.array([last]), np.array([self.cadence]), np.array([0])
        if begin == self.starts[row] and begin > 0:
            return True
        if not may_alert(*counts)[0]:
            return False
        return bool(day > self.fitted_on[row] or last - first < YOUNG_DAYS * DAY)

    def _fit(self, due: list[_Stretch]) -> None:
        """Fit those due; those whose past lies on the very same grid together."""
        by_grid: dict[tuple[int, int, int], list[_Stretch]] = {}
        for stretch in due:
            by_grid.setdefault(self._grid(stretch), []).append(stretch)
        for grid, stretches in by_grid.items():
            rows = np.array([stretch.row for stretch in stretches])
            history = self._history(stretches, *grid)
            baseline, state = self.detector.fit(history)
            self.least[rows] = least_of(history.values)
            put(self.baseline, rows, baseline)
            put(self.state, rows, state)
            for stretch in stretches:
                self.fitted_on[stretch.row] = self.local[stretch.row][stretch.start] // DAY

    def _grid(self, stretch: _Stretch) -> tuple[int, int, int]:
        """First and last column (exclusive), as far as training looks back from a stretch, and the points' offset."""
        origin = self._origin(stretch.row)
        end = origin + int(self.column[stretch.row][stretch.start - 1]) + 1
        return max(origin, end - training_window(self.cadence) // self.cadence), end, self.offset[stretch.row]

    def _origin(self, row: int) -> int:
        return int(steps_of(np.array(_first(self.series[row])), max(self.cadence, 1)))

    def _history(self, stretches: list[_Stretch], begin: int, end: int, offset: int) -> History:
        within = [slice(begin - self._origin(stretch.row), end - self._origin(stretch.row)) for stretch in stretches]
        past = [self._learnable(stretch)[columns] for stretch, columns in zip(stretches, within, strict=True)]
        weights = None
        if self.past_weight is not None:
            alike = zip(stretches, within, strict=True)
            weights = np.stack([self.past_weight[stretch.row][columns] for stretch, columns in alike])
        timestamp = np.arange(begin, end, dtype=np.int64) * self.cadence + offset
        if self.cadence >= DAY:  # summer time moves the midnight from which days are counted
            timestamp = times_of(np.arange(begin, end), self.after[stretches[0].row][within[0]], self.cadence)
        local = local_seconds(timestamp, self.timezone)
        return History(np.stack(past), timestamp, local, self.cadence, weights, kinds_of_day(local, self.country))

    def _learnable(self, stretch: _Stretch) -> Floats:
        """The past on the grid, without the told anomaly that is still open, as in a live training."""
        row, past = stretch.row, self.past[stretch.row]
        if not is_told(self.life)[row]:
            return past
        opened = int(steps_of(self.life["opened_at"][row], self.cadence)) - self._origin(row)
        return np.where(np.arange(len(past)) < opened, past, np.nan)

    def _judge(self, stretches: list[_Stretch]) -> None:
        """Score the stretches point by point, the longer ones first so that those still running lead."""
        ordered = sorted(stretches, key=lambda stretch: stretch.start - stretch.stop)
        if not ordered:
            return
        rows = np.array([stretch.row for stretch in ordered])
        lengths = np.array([stretch.stop - stretch.start for stretch in ordered])
        table = _Table.of(ordered, self.series, self.local)
        begin = 0
        for end in np.unique(lengths).tolist():  # where a stretch ends, the others go on without its row
            self._judge_together(rows[lengths >= end], range(begin, end), table)
            begin = end
        for place, stretch in enumerate(ordered):
            table.write(place, stretch, self.judged[stretch.row])

    def _judge_together(self, rows: Ints, steps: range, table: _Table) -> None:
        """Score and live through some steps of the leading series of a table."""
        count = len(rows)
        state, life = take(self.state, rows), take(self.life, rows)
        threshold = np.full(count, self.threshold)
        levels = {
            "candidate": threshold - CANDIDATE_DECADES,
            "threshold_up": threshold,
            "threshold_down": threshold,
        }
        held, told, least = frozen(life), is_told(life), self.least[rows]
        begin, ahead, most = steps.start, FEWEST_AHEAD, max(1, TOGETHER // count)
        while begin < steps.stop:
            those = slice(begin, min(begin + ahead, steps.stop))
            points = self._points(rows, held, table, those)
            scored, states = score_in_turn(self.detector, points, those.stop - begin, self.baseline, state)
            before = held
            for place in range(those.stop - begin):
                mine = slice(place * count, (place + 1) * count)
                scores = scored.only(mine)
                lived, changes = advance(
                    life,
                    points.only(mine),
                    scores,
                    rules=self.rules,
                    least_relative=LEAST_RELATIVE_CHANGE,
                    least_absolute=least,
                    **levels,
                )
                if lived is not life:
                    life, held, told = lived, frozen(lived), is_told(lived)
                    table.alert[begin + place, :count] = changes.told
                table.keep(begin + place, count, scores, told)
                if (held != before).any():
                    break  # what was judged ahead learned where it must not, or the other way round
            state = {name: array[place] for name, array in states.items()}
            begin += place + 1
            ahead = min(2 * ahead, most) if begin == those.stop else FEWEST_AHEAD
        put(self.state, rows, state)
        put(self.life, rows, life)

    def _points(self, rows: Ints, held: Bools, table: _Table, steps: slice) -> Points:
        """The points of some steps, one step after the other."""
        count, size = len(rows), len(rows) * (steps.stop - steps.start)
        local = table.local[steps, :count].ravel()
        threshold = np.full(size, self.threshold)
        return Points(
            row=np.tile(rows, steps.stop - steps.start),
            timestamp=table.timestamp[steps, :count].ravel(),
            local=local,
            value=table.value[steps, :count].ravel(),
            cadence=np.full(size, self.cadence),
            frozen=np.tile(held, steps.stop - steps.start),
            threshold_up=threshold,
            threshold_down=threshold,
            weight=None if table.weight is None else table.weight[steps, :count].ravel(),
            kinds_of_day=kinds_of_day(local, self.country),
        )

    def _remember(self, stretch: _Stretch) -> None:
        """The points become past."""
        within = slice(stretch.start, stretch.stop)
        columns, one = self.column[stretch.row][within], self.series[stretch.row]
        self.past[stretch.row][columns] = one.value[within]
        if self.past_weight is not None and one.weight is not None:
            self.past_weight[stretch.row][columns] = one.weight[within]


def _weighted(series: Sequence[Recorded]) -> bool:
    return any(one.weight is not None for one in series)


@dataclass(frozen=True)
class _Table:
    """Points and judgements of some stretches side by side; arrays (steps, stretches). weight: None if none was."""

    timestamp: Ints
    local: Ints
    value: Floats
    weight: Floats | None
    expected: Floats
    lower: Floats
    upper: Floats
    rarity: Floats
    direction: np.ndarray
    anomalous: Bools
    alert: Bools

    @classmethod
    def of(cls, stretches: list[_Stretch], series: Sequence[Recorded], local: list[Ints]) -> _Table:
        shape = (max(stretch.stop - stretch.start for stretch in stretches), len(stretches))
        table = cls(
            timestamp=np.zeros(shape, np.int64),
            local=np.zeros(shape, np.int64),
            value=np.full(shape, np.nan),
            weight=np.full(shape, np.nan) if _weighted(series) else None,
            expected=np.full(shape, np.nan),
            lower=np.full(shape, np.nan),
            upper=np.full(shape, np.nan),
            rarity=np.full(shape, np.nan),
            direction=np.zeros(shape, np.int8),
            anomalous=np.zeros(shape, bool),
            alert=np.zeros(shape, bool),
        )
        for place, stretch in enumerate(stretches):
            within, length = slice(stretch.start, stretch.stop), stretch.stop - stretch.start
            table.timestamp[:length, place] = series[stretch.row].timestamp[within]
            table.local[:length, place] = local[stretch.row][within]
            one = series[stretch.row]
            table.value[:length, place] = one.value[within]
            if table.weight is not None and one.weight is not None:
                table.weight[:length, place] = one.weight[within]
        return table

    def keep(self, step: int, count: int, scores: Scores, anomalous: Bools) -> None:
        """Note what was said of the leading series at one step."""
        self.expected[step, :count] = scores.expected
        self.lower[step, :count] = scores.lower
        self.upper[step, :count] = scores.upper
        self.rarity[step, :count] = scores.rarity
        self.direction[step, :count] = scores.direction
        self.anomalous[step, :count] = anomalous

    def write(self, place: int, stretch: _Stretch, judged: Replayed) -> None:
        """Copy the judgements of one stretch to where they belong in its series."""
        length = stretch.stop - stretch.start
        for name in ("expected", "lower", "upper", "rarity", "direction", "anomalous", "alert"):
            getattr(judged, name)[stretch.start : stretch.stop] = getattr(self, name)[:length, place]


def _first(one: Recorded) -> int:
    return int(one.timestamp[0]) if len(one.timestamp) else 0


def _blank(one: Recorded, judged_from: int) -> Replayed:
    count = len(one.timestamp)
    return Replayed(
        name=one.name,
        timestamp=one.timestamp,
        value=one.value,
        expected=np.full(count, np.nan),
        lower=np.full(count, np.nan),
        upper=np.full(count, np.nan),
        rarity=np.full(count, np.nan),
        direction=np.zeros(count, np.int8),
        anomalous=np.zeros(count, bool),
        alert=np.zeros(count, bool),
        judged_from=judged_from,
    )
