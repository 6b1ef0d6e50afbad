"""Score a batch of points in memory: nothing of the partition changes until `install`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.alerts import life as lives
from app.partitions.model import Model
from app.partitions.partition import Partition
from app.pipeline.attempts import Attempts, UnusableError
from app.pipeline.fall_back import FALL_BACK, FellBack, PastOf, stand_in, train_stand_ins, trained_on
from app.pipeline.watchdog import Beat
from app.pipeline.worth import Taught
from detectors import training
from detectors.bars import Bar, Bars
from detectors.calendar import local_seconds_of_many
from detectors.contract import Detector, Fields, Floats, Ints, Points, Scores, put, take
from detectors.days import kinds_of_day_of_many
from detectors.static import Static
from feedback import guards
from feedback.events import Explained, judge_in_events

RULES = lives.LifeRules()
MOST_ROUNDS = 3_000
"""Points of one series that a batch judges, its last ones: about half a second. What is longer is history to learn."""
CANDIDATE_MARGIN = guards.MOST_LOWERED  # decades under the threshold from which a run is kept to learn from


@dataclass(frozen=True)
class Run:
    """A run of strange points as it stood after one of them. Times in unix seconds, rarities in log10 weeks."""

    opened_at: int
    told_at: int
    last_abnormal_at: int
    direction: int
    peak_rarity: float
    peak_at: int
    peak_value: float
    peak_expected: float
    peak_lower: float
    peak_upper: float
    impact: float
    abnormal_points: int
    evidence: dict[str, float]


@dataclass(frozen=True)
class Transition:
    """What happened to the run of one series at one point.

    changes: some of told, grew, ended, reopened; with ended, aged if it is still abnormal, silent if points stay away.
    value: of that point, NaN where no point did it. threshold: what the run's direction was measured against, log10
    weeks; bar: the same without tolerance.
    may_alert: False while the series is warming up. days_seen: whole days of history that it has. kept: what triage
    learns from and made of it, of a run when it is told, or ends untold.
    """

    slot: int
    timestamp: int
    changes: frozenset[str]
    detector: str
    run: Run
    threshold: float
    bar: Bar
    may_alert: bool
    days_seen: int
    value: float = np.nan
    kept: dict[str, Any] = field(default_factory=dict)


@dataclass
class Judged:
    """The outcome of a batch: scores of every point, in the batch's order, and what `install` will put in place."""

    expected: Floats
    lower: Floats
    upper: Floats
    rarity: Floats
    transitions: list[Transition] = field(default_factory=list)
    slots: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    columns: Fields = field(default_factory=dict)
    life: list[tuple[Ints, Fields]] = field(default_factory=list)
    states: list[tuple[int, Ints, Fields]] = field(default_factory=list)
    stood_in: list[tuple[Ints, Fields]] = field(default_factory=list)
    fell_back: list[FellBack] = field(default_factory=list)


@dataclass(frozen=True)
class Batch:
    """Points to judge, (n,) each; no slot and time twice. timestamp: unix seconds. value: NaN if known to be missing.

    weight: of a ratio the events behind it, NaN where not given; None if none was.
    """

    slot: Ints
    timestamp: Ints
    value: Floats
    weight: Floats | None = None


def given(weight: NDArray[np.floating]) -> Floats | None:
    """The weights of a batch; None where no point has one, as nearly always."""
    return None if np.isnan(weight).all() else weight.astype(np.float64)


def judge(partition: Partition, batch: Batch, past: PastOf) -> Judged:
    """Score the points that are newer than what their series has seen, each series in time order.

    Late points keep NaN scores.
    `past` is asked only for series that fall back to `basic` at these points.
    """
    judged = Judged(*_unjudged(batch.slot.size))
    judged.slots, judged.columns = _advanced_columns(partition, batch.slot, batch.timestamp)
    before = take({name: partition.columns[name] for name in ("last_at", "point_count")}, judged.slots)
    begin = _Beginning(
        Model.state_of,
        lambda slots: take(partition.life, slots),
        slots=judged.slots,
        last_at=before["last_at"],
        first_at=judged.columns["first_at"],
        point_count=before["point_count"],
    )
    known = partition.happenings.without_lost(batch.slot, batch.timestamp, batch.value)
    _judge(partition, begin, replace(batch, value=known), past, judged)
    return judged


@dataclass
class Again:
    """How far series have been scored once more since their last training; a row for each of `slots`, ascending.

    last_at: points up to it are done. counted: how many those are. life: their runs. states: of each model (by its
    identity) the rows, ascending, whose state is no longer that of the training, and their state.
    """

    slots: Ints
    last_at: Ints
    counted: Ints
    life: Fields
    states: dict[int, tuple[Ints, Fields]] = field(default_factory=dict)

    @classmethod
    def as_trained(cls, partition: Partition, slots: Ints) -> Again:
        """Nothing is done yet."""
        last_at = partition.columns["anchor_at"][slots].copy()
        return cls(slots, last_at, np.zeros(slots.size, np.int64), take(partition.anchor_life, slots))

    def state_of(self, model: Model, rows: Ints) -> Fields:
        state = model.anchor_of(rows)
        if id(model) in self.states:
            known, later = self.states[id(model)]
            there = np.flatnonzero(np.isin(rows, known))
            put(state, there, take(later, np.searchsorted(known, rows[there])))
        return state

    def life_of(self, slots: Ints) -> Fields:
        return take(self.life, np.searchsorted(self.slots, slots))

    def go_on(self, partition: Partition, judged: Judged, batch: Batch) -> None:
        """These points are done too; no series fell back at them."""
        rows = np.searchsorted(self.slots, batch.slot)
        np.maximum.at(self.last_at, rows, batch.timestamp)
        self.counted += np.bincount(rows, minlength=self.slots.size)
        for code, of_model, state in judged.states:
            self._remember(partition.models[code], of_model, state)
        for of_model, state in judged.stood_in:
            self._remember(partition.stand_ins.model, of_model, state)
        for slots, life in judged.life:
            put(self.life, np.searchsorted(self.slots, slots), life)

    def complete(self, partition: Partition, judged: Judged) -> Judged:
        """What the last points made of these series, with what all before them did; they are done too."""
        before = (partition.columns[name][self.slots] for name in ("point_count", "since_anchor"))
        point_count, since_anchor = before
        columns = {
            "point_count": point_count - since_anchor + self.counted,
            "since_anchor": self.counted,
            "late_at": np.zeros(self.slots.size, np.int64),
        }
        states = [(c, *self.states[id(m)]) for c, m in enumerate(partition.models) if id(m) in self.states]
        stood_in = [self.states[id(m)] for m in [partition.stand_ins.model] if id(m) in self.states]
        life = [(self.slots, self.life)]
        return replace(judged, slots=self.slots, columns=columns, life=life, states=states, stood_in=stood_in)

    def _remember(self, model: Model, rows: Ints, state: Fields) -> None:
        known, before = self.states.get(id(model), (rows[:0], take(state, rows[:0])))
        others = np.flatnonzero(~np.isin(known, rows))
        every = np.concatenate([known[others], rows])
        order = np.argsort(every)
        kept = take(before, others)
        joined = {name: np.concatenate([kept[name], state[name]])[order] for name in state}
        self.states[id(model)] = every[order], joined


def judge_again(partition: Partition, batch: Batch, past: PastOf, again: Again) -> Judged:
    """Score points since their series' last training once more, each series in time order, from where that has got to.

    Arguments as in `judge`, and for every series that is named, all of its points of a span after those that are done.
    """
    judged = Judged(*_unjudged(batch.slot.size))
    slots = np.unique(batch.slot)
    rows = np.searchsorted(again.slots, slots)
    column = take({n: partition.columns[n] for n in ("first_at", "point_count", "since_anchor")}, slots)
    before, done = column["point_count"] - column["since_anchor"], again.counted[rows]
    begin = _Beginning(
        again.state_of,
        again.life_of,
        slots=slots,
        last_at=again.last_at[rows],
        first_at=column["first_at"],
        point_count=before + done,
    )
    known = partition.happenings.without_lost(batch.slot, batch.timestamp, batch.value)
    _judge(partition, begin, replace(batch, value=known), past, judged)
    return judged


@dataclass(frozen=True)
class _Beginning:
    """From where points are judged.

    state_of: the detector's state of rows of a model. life_of: the runs of some slots. The other arrays have a row for
    each of `slots`, ascending. last_at: points up to it are not judged. first_at: first point of all. point_count:
    points before the first one that is judged.
    """

    state_of: Callable[[Model, Ints], Fields]
    life_of: Callable[[Ints], Fields]
    slots: Ints
    last_at: Ints
    first_at: Ints
    point_count: Ints

    def rows(self, slots: Ints) -> Ints:
        return np.searchsorted(self.slots, slots)


@dataclass(frozen=True)
class _Part:
    """Some series of a batch, judged by one detector: `here` are the rows of the batch, all else is by series."""

    slots: Ints
    rows: Ints  # of the model
    state: Fields
    life: Fields
    here: Ints
    scores: Floats  # (4, rows of the batch): expected, lower, upper, rarity
    transitions: list[Transition]


def _judge(partition: Partition, begin: _Beginning, batch: Batch, past: PastOf, judged: Judged) -> None:
    order = np.lexsort((batch.timestamp, batch.slot))
    order = order[batch.timestamp[order] > begin.last_at[begin.rows(batch.slot[order])]]
    order = order[_places_from_the_end(batch.slot[order]) < MOST_ROUNDS]
    order = _judge_by_stand_ins(partition, begin, batch, past, order, judged)
    codes = partition.columns["model"][batch.slot[order]]
    failed: dict[int, str] = {}
    for code in np.unique(codes):
        model, mine = partition.models[code], order[codes == code]
        mine = mine[_can_judge(model, partition.columns["row"][batch.slot[mine]])]
        if not mine.size:
            continue
        attempts = _attempts(partition, begin, batch, model, partition.columns["row"])
        attempts.run(mine)
        for part in attempts.outcomes:
            _keep(judged, part)
            judged.states.append((int(code), part.rows, part.state))
        if model.detector.name != FALL_BACK:
            failed |= attempts.failed
    if failed:
        _fall_back(partition, begin, batch, past, order, failed, judged)


def _can_judge(model: Model, rows: Ints) -> NDArray[np.bool_]:
    """Of which rows a detector can say anything: those that were trained, or have limits that their owner fixed."""
    if isinstance(model.detector, Static):
        return np.ones(rows.size, bool)
    return np.asarray(model.baseline["trained"][rows])


def _judge_by_stand_ins(
    partition: Partition, begin: _Beginning, batch: Batch, past: PastOf, order: Ints, judged: Judged
) -> Ints:
    """Judge what a flag has the basic detector judge; returns what is left.

    It learns a series at the first point that it is to judge. That is no effect of the batch: it learns stored points.
    """
    mine = partition.stood_in_for(batch.slot[order])
    if not mine.any():
        return order
    stand_ins, slots = partition.stand_ins, np.unique(batch.slot[order[mine]])
    untrained = stand_ins.untrained(slots)
    if untrained.size:
        train_stand_ins(partition, untrained, begin.last_at[begin.rows(untrained)], past)
    attempts = _attempts(partition, begin, batch, stand_ins.model, stand_ins.row)
    attempts.run(order[mine])
    for part in attempts.outcomes:
        _keep(judged, part)
        judged.stood_in.append((part.rows, part.state))
    return order[~mine]


def _attempts(partition: Partition, begin: _Beginning, batch: Batch, model: Model, row: Ints) -> Attempts[_Part]:
    """`row`: where each slot lies in the model."""
    work = partial(_judge_with, partition, begin, batch, model, row)
    return Attempts(work, batch.slot, model.detector.name)


def _fall_back(
    partition: Partition,
    begin: _Beginning,
    batch: Batch,
    past: PastOf,
    order: Ints,
    failed: dict[int, str],
    judged: Judged,
) -> None:
    """Judge the series on which their detector failed by `basic`, trained on what came before these points.

    Where even that fails, the points stay unjudged until the next training.
    """
    slots = np.array(sorted(failed), np.int64)
    for known in past(partition, slots, begin.last_at[begin.rows(slots)]):
        model = trained_on(known)
        row = np.zeros(int(known.slots.max()) + 1, np.int64)
        row[known.slots] = np.arange(known.slots.size)
        attempts = _attempts(partition, begin, batch, model, row)
        attempts.run(order[np.isin(batch.slot[order], known.slots)])
        for part in attempts.outcomes:
            _keep(judged, part)
            judged.fell_back.append(
                FellBack(
                    slots=part.slots,
                    baseline=take(model.baseline, part.rows),
                    state=take(model.state, part.rows),
                    judged_state=part.state,
                    life=begin.life_of(part.slots),
                    anchor_at=begin.last_at[begin.rows(part.slots)],
                    point_count=np.unique(batch.slot[part.here], return_counts=True)[1],
                    why=[failed[slot] for slot in part.slots.tolist()],
                )
            )


def _keep(judged: Judged, part: _Part) -> None:
    for into, scores in zip((judged.expected, judged.lower, judged.upper, judged.rarity), part.scores, strict=True):
        into[part.here] = scores
    judged.life.append((part.slots, part.life))
    judged.transitions += part.transitions


def _places_from_the_end(slot: Ints) -> Ints:
    """How many points of its series follow each; `slot` is sorted."""
    _, counts = np.unique(slot, return_counts=True)
    return np.repeat(np.cumsum(counts), counts) - np.arange(slot.size) - 1


def install(partition: Partition, judged: Judged, log_id: int) -> None:
    """The batch is committed as log row `log_id`: let its effects on the state stand."""
    put(partition.columns, judged.slots, judged.columns)
    partition.columns["seen_log"][judged.slots] = log_id
    for slots, life in judged.life:
        put(partition.life, slots, life)
    for code, rows, state in judged.states:
        partition.models[code].remember(rows, state)
    for rows, state in judged.stood_in:
        partition.stand_ins.model.remember(rows, state)
    for fell_back in judged.fell_back:
        stand_in(partition, fell_back)
    partition.touch(judged.slots)


def ended_by_silence(partition: Partition, slot: int, timestamp: int) -> Transition:
    """The end of an open run for want of points."""
    detector = partition.judge_of(slot)[0].detector
    life = take(partition.life, np.array([slot]))
    down = life["direction"][0] < 0
    tolerance = (partition.tolerance_down if down else partition.tolerance_up)[slot]
    return Transition(
        slot=slot,
        timestamp=timestamp,
        changes=frozenset({"ended", "silent"}),
        detector=detector.name,
        run=_run(life, np.intp(0), detector.evidence),
        threshold=partition.bar(slot).threshold + float(tolerance),
        bar=partition.bar(slot),
        may_alert=True,
        days_seen=int(_days_seen(partition, np.array([slot]))[0]),
    )


def as_trained(partition: Partition, slot: int) -> Transition:
    """The run of one series as its last training found it."""
    detector = partition.judge_of(slot)[0].detector
    life = take(partition.anchor_life, np.array([slot]))
    closed_at = int(life["closed_at"][0])
    ended = {"ended", "aged"} if life["aged"][0] else {"ended"}
    tolerance = (partition.tolerance_down if life["direction"][0] < 0 else partition.tolerance_up)[slot]
    return Transition(
        slot=slot,
        timestamp=closed_at or int(life["last_abnormal_at"][0]),
        changes=frozenset(ended if closed_at else {"grew"}),
        detector=detector.name,
        run=_run(life, np.intp(0), detector.evidence),
        threshold=partition.bar(slot).threshold + float(tolerance),
        bar=partition.bar(slot),
        may_alert=True,
        days_seen=int(_days_seen(partition, np.array([slot]))[0]),
    )


def _unjudged(count: int) -> tuple[Floats, Floats, Floats, Floats]:
    return np.full(count, np.nan), np.full(count, np.nan), np.full(count, np.nan), np.full(count, np.nan)


def _advanced_columns(partition: Partition, slot: Ints, timestamp: Ints) -> tuple[Ints, Fields]:
    """Counts and times of the series that this batch touches, late points included."""
    slots, inverse, counts = np.unique(slot, return_inverse=True, return_counts=True)
    changing = ("first_at", "last_at", "point_count", "since_anchor", "late_at")
    columns = take({n: partition.columns[n] for n in changing}, slots)
    columns["point_count"] = columns["point_count"] + counts
    again = timestamp > partition.columns["anchor_at"][slot]
    columns["since_anchor"] = columns["since_anchor"] + np.bincount(inverse[again], minlength=slots.size)
    columns["late_at"] = _oldest_late(columns, inverse, timestamp, again)
    np.maximum.at(columns["last_at"], inverse, timestamp)
    first = np.where(columns["first_at"] == 0, np.iinfo(np.int64).max, columns["first_at"])
    np.minimum.at(first, inverse, timestamp)
    columns["first_at"] = first
    return slots, columns


def _oldest_late(columns: Fields, inverse: Ints, timestamp: Ints, again: NDArray[np.bool_]) -> Ints:
    """Since when each series waits to be scored again: 0 where it does not."""
    late = again & (timestamp <= columns["last_at"][inverse])
    if not late.any():
        return columns["late_at"]
    never = np.iinfo(np.int64).max
    oldest = np.where(columns["late_at"] == 0, never, columns["late_at"])
    np.minimum.at(oldest, inverse[late], timestamp[late])
    return np.where(oldest == never, 0, oldest)


def _judge_with(
    partition: Partition,
    begin: _Beginning,
    batch: Batch,
    model: Model,
    row: Ints,
    mine: Ints,
    beat: Beat,
) -> _Part:
    """Rounds of at most one point a series, all judged by one detector.

    Raises UnusableError, naming the series for which it gave no number where it should have, or an infinite one.
    """
    slots, start, counts = np.unique(batch.slot[mine], return_index=True, return_counts=True)
    rank = np.arange(mine.size) - np.repeat(start, counts)
    rows = row[slots].astype(np.int64)
    state, life = begin.state_of(model, rows), begin.life_of(slots)
    series = _SeriesFacts.of(partition, begin, slots)
    by_rank = np.argsort(rank, kind="stable")
    position = np.repeat(np.arange(slots.size), counts)
    explained = partition.happenings.explained(batch.slot[mine], batch.timestamp[mine])
    judged = np.empty((4, mine.size))
    transitions: list[Transition] = []
    for before, chunk in enumerate(np.split(by_rank, np.cumsum(np.bincount(rank))[:-1])):
        beat()
        here = mine[chunk]  # indices into the batch
        who = position[chunk]  # indices into slots
        everyone = who.size == slots.size
        local_state = state if everyone else take(state, who)
        local_life = life if everyone else take(life, who)
        points = series.points(who, rows, batch, here, lives.frozen(local_life) | partition.switches.frozen)
        scores, local_state = _scored(model, points, local_state, explained, chunk)
        may_alert = series.may_alert(who, before, points.timestamp)
        asked = series.taught.thresholds(who, local_life, points, scores, model.detector.evidence, RULES)
        local_life, changes = series.advance(who, local_life, points, scores, may_alert, asked)
        if everyone:
            state, life = local_state, local_life
        else:
            put(state, who, local_state)
            put(life, who, local_life)
        judged[:, chunk] = scores.expected, scores.lower, scores.upper, scores.rarity
        if changes.any():
            transitions += _transitions(series, who, points, changes, local_life, model.detector, may_alert, asked)
    unusable = _unusable(judged, batch.value[mine], model.baseline["trained"][rows][position])
    if unusable.any():
        raise UnusableError(slots[np.unique(position[unusable])])
    return _Part(slots, rows, state, life, mine, judged, transitions)


def _scored(
    model: Model, points: Points, state: Fields, explained: Explained | None, chunk: Ints
) -> tuple[Scores, Fields]:
    """What the detector makes of these points, and what remains of that where events explain a part."""
    known = explained.only(chunk) if explained is not None else None
    if known is None or not known.active.any():
        return model.detector.score(points, model.baseline, state)
    return judge_in_events(model.detector, points, model.baseline, state, known)


def _unusable(judged: Floats, value: Floats, trained: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where scores mean nothing: infinite, or missing although the series is trained and its point is there.

    One edge of the band may be missing: a person may fix the other alone.
    """
    finite = np.isfinite(judged).all(axis=0)
    if finite.all():
        return np.zeros(finite.size, bool)
    expected, lower, upper, rarity = np.isnan(judged)
    silent = (expected | rarity | (lower & upper)) & trained & np.isfinite(value)
    return np.asarray(silent | np.isinf(judged).any(axis=0))


@dataclass(frozen=True)
class _SeriesFacts:
    """What scoring needs to know of the distinct series of a batch, one row each."""

    slots: Ints
    cadence: Ints
    zone: Ints
    zones: list[str]
    threshold_up: Floats
    threshold_down: Floats
    bars: Bars
    first_at: Ints
    point_count: Ints  # before the batch
    siblings: Ints
    taught: Taught
    countries: list[str]
    country: Ints

    @classmethod
    def of(cls, partition: Partition, begin: _Beginning, slots: Ints) -> _SeriesFacts:
        column, bars = partition.columns, partition.bars(slots)
        return cls(
            slots=slots,
            cadence=column["cadence"][slots].astype(np.int64),
            zone=column["zone"][slots].astype(np.int64),
            zones=partition.zones.names,
            threshold_up=bars.threshold + partition.tolerance_up[slots],
            threshold_down=bars.threshold + partition.tolerance_down[slots],
            bars=bars,
            first_at=begin.first_at[begin.rows(slots)],
            point_count=begin.point_count[begin.rows(slots)],
            siblings=column["siblings"][slots],
            taught=Taught(
                partition.tolerances,
                column["series_id"][slots].astype(np.int64),
                column["metric"][slots].astype(np.int64),
                partition.metrics.names,
                bars.threshold,
            ),
            countries=partition.regimes.countries,
            country=partition.country(slots),
        )

    def may_alert(self, who: Ints, before: int, timestamp: Ints) -> NDArray[np.bool_]:
        """Whether there was ground for alerts just before these points, each after `before` others of its batch."""
        cadence = self.cadence[who]
        count, last = self.point_count[who] + before, timestamp - cadence
        return training.may_alert(count, self.first_at[who], last, cadence, self.siblings[who])

    def days_seen(self, who: Ints, timestamp: Ints) -> Ints:
        """Whole days of history that each series had just before its point."""
        return np.asarray((timestamp - self.first_at[who]) // training.DAY, np.int64)

    def points(self, who: Ints, rows: Ints, batch: Batch, here: Ints, frozen: NDArray[np.bool_]) -> Points:
        timestamp = batch.timestamp[here]
        local = local_seconds_of_many(timestamp, self.zones, self.zone[who])
        return Points(
            row=rows[who],
            timestamp=timestamp,
            local=local,
            value=batch.value[here],
            cadence=self.cadence[who],
            frozen=frozen,
            threshold_up=self.threshold_up[who],
            threshold_down=self.threshold_down[who],
            weight=None if batch.weight is None else batch.weight[here],
            kinds_of_day=kinds_of_day_of_many(local, self.countries, self.country[who]),
        )

    def advance(
        self,
        who: Ints,
        life: Fields,
        points: Points,
        scores: Scores,
        may_alert: NDArray[np.bool_],
        asked: tuple[Floats, Floats],
    ) -> tuple[Fields, lives.Changes]:
        """A series still warming up may run, but is never told.

        asked: thresholds of rises and of falls, log10 weeks.
        """
        held = ~may_alert
        bars = self.bars.only(who)
        up, down = (np.where(held, np.inf, each) for each in asked)
        return advance(life, points, scores, bars, (up, down), untolerated=np.where(held, np.inf, bars.threshold))


def advance(
    life: Fields,
    points: Points,
    scores: Scores,
    bars: Bars,
    asked: tuple[Floats, Floats],
    *,
    untolerated: Floats | None = None,
) -> tuple[Fields, lives.Changes]:
    """What one judged point each makes of the runs of series with these bars; a side that nobody watches is never told.

    asked: thresholds of rises and of falls, log10 weeks. untolerated: as of `life.advance`.
    """
    return lives.advance(
        life,
        points,
        scores,
        candidate=bars.threshold - CANDIDATE_MARGIN,
        threshold_up=np.where(bars.up, asked[0], np.inf),
        threshold_down=np.where(bars.down, asked[1], np.inf),
        rules=RULES,
        untolerated=untolerated,
        least_relative=bars.relative,
        least_absolute=bars.absolute,
    )


def _days_seen(partition: Partition, slots: Ints) -> Ints:
    first, last, cadence = (partition.columns[name][slots] for name in ("first_at", "last_at", "cadence"))
    return np.asarray((last - first + cadence) // training.DAY, np.int64)


def _transitions(
    series: _SeriesFacts,
    who: Ints,
    points: Points,
    changes: lives.Changes,
    life: Fields,
    detector: Detector,
    may_alert: NDArray[np.bool_],
    asked: tuple[Floats, Floats],
) -> list[Transition]:
    """The few series of a round to which something happened that the database must know."""
    grew = changes.grew & (life["told_at"] > 0)
    what = {name: getattr(changes, name) for name in ("told", "ended", "aged", "reopened")} | {"grew": grew}
    concerned = np.flatnonzero(changes.told | grew | changes.ended | changes.reopened)
    days_seen = series.days_seen(who, points.timestamp)
    return [
        Transition(
            slot=int(series.slots[who[row]]),
            timestamp=int(points.timestamp[row]),
            changes=frozenset(name for name, flags in what.items() if flags[row]),
            detector=detector.name,
            run=_run(life, row, detector.evidence),
            threshold=float(asked[int(life["direction"][row] < 0)][row]),
            bar=series.bars.one(int(who[row])),
            may_alert=bool(may_alert[row]),
            days_seen=int(days_seen[row]),
            value=float(points.value[row]),
            kept=series.taught.of_run(
                int(who[row]),
                life,
                int(row),
                int(points.local[row] - points.timestamp[row] + life["peak_at"][row]),
                detector.evidence,
            )
            if changes.told[row] or life["told_at"][row] == 0
            else {},
        )
        for row in concerned
    ]


def _run(life: Fields, row: np.intp, kinds: tuple[str, ...]) -> Run:
    numbers = {name: life[name][row].item() for name in Run.__dataclass_fields__ if name != "evidence"}
    spoke = zip(kinds, life["peak_evidence"][row].tolist(), strict=False)
    return Run(**numbers, evidence={kind: round(rarity, 3) for kind, rarity in spoke if np.isfinite(rarity)})
