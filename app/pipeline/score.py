"""Score a batch of points in memory: nothing of the partition changes until `install`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import structlog
from numpy.typing import NDArray

from app.alerts import life as lives
from app.partitions.model import Model
from app.partitions.partition import Partition
from detectors import training
from detectors.calendar import local_seconds_of_many
from detectors.contract import Detector, Fields, Floats, Ints, Points, Scores, put, take

log = structlog.get_logger()

RULES = lives.LifeRules()
MOST_ROUNDS = 3_000
"""Points of one series that a batch judges, its last ones: about half a second. What is longer is history to learn."""
CANDIDATE_MARGIN = 0.6  # decades under the threshold from which a run is kept to learn from (four times as frequent)


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

    changes: some of told, grew, ended, reopened. threshold: what the run's direction was measured against, log10 weeks.
    may_alert: False while the series is warming up. days_seen: whole days of history that it has.
    """

    slot: int
    timestamp: int
    changes: frozenset[str]
    detector: str
    run: Run
    threshold: float
    may_alert: bool
    days_seen: int


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


def judge(partition: Partition, slot: Ints, timestamp: Ints, value: Floats, threshold: float) -> Judged:
    """Score the points that are newer than what their series has seen, each series in time order.

    slot, timestamp (unix seconds), value (NaN: known to be missing) have shape (n,); no (slot, timestamp) twice.
    `threshold` is the budget's rarity in log10 weeks, without tolerance. Late points keep NaN scores.
    """
    judged = Judged(*_unjudged(slot.size))
    judged.slots, judged.columns = _advanced_columns(partition, slot, timestamp)
    column = partition.columns
    first = column["first_at"].copy()
    first[judged.slots] = judged.columns["first_at"]
    begin = _Beginning(Model.state_of, partition.life, column["last_at"], first, column["point_count"])
    _judge(partition, begin, slot, timestamp, value, threshold, judged)
    return judged


def judge_again(partition: Partition, slot: Ints, timestamp: Ints, value: Floats, threshold: float) -> Judged:
    """Score all points since their series' last training once more, each series in time order, from what it left.

    Arguments as in `judge`, and for every series that is named, all of its points after `anchor_at`.
    """
    judged = Judged(*_unjudged(slot.size))
    column = partition.columns
    before = column["point_count"] - column["since_anchor"]
    begin = _Beginning(Model.anchor_of, partition.anchor_life, column["anchor_at"], column["first_at"], before)
    slots, counts = np.unique(slot, return_counts=True)
    judged.slots = slots
    judged.columns = {
        "point_count": before[slots] + counts,
        "since_anchor": counts,
        "late_at": np.zeros(slots.size, np.int64),
    }
    _judge(partition, begin, slot, timestamp, value, threshold, judged)
    return judged


@dataclass(frozen=True)
class _Beginning:
    """From where a partition's points are judged. All arrays have a row for each slot.

    state_of: the detector's state of rows of a model. last_at: points up to it are not judged. first_at: first point of
    all. point_count: points before the first one that is judged.
    """

    state_of: Callable[[Model, Ints], Fields]
    life: Fields
    last_at: Ints
    first_at: Ints
    point_count: Ints


def _judge(
    partition: Partition,
    begin: _Beginning,
    slot: Ints,
    timestamp: Ints,
    value: Floats,
    threshold: float,
    judged: Judged,
) -> None:
    order = np.lexsort((timestamp, slot))
    order = order[timestamp[order] > begin.last_at[slot[order]]]
    order = order[_places_from_the_end(slot[order]) < MOST_ROUNDS]
    codes = partition.columns["model"][slot[order]]
    for code in np.unique(codes):
        judge_rows = partial(_judge_with, partition, begin, int(code), slot, timestamp, value, threshold, judged)
        _judge_what_can_be(judge_rows, slot, order[codes == code], judged)


def _judge_what_can_be(judge_rows: Callable[[Ints], None], slot: Ints, mine: Ints, judged: Judged) -> None:
    """Judge these rows of the batch; a series on which the detector fails stays unjudged, the others are on time.

    Its points are stored all the same, and the next training fits it anew.
    """
    transitions = len(judged.transitions)
    try:
        judge_rows(mine)
    except Exception:
        del judged.transitions[transitions:]
        for scores in (judged.expected, judged.lower, judged.upper, judged.rarity):
            scores[mine] = np.nan
        series = np.unique(slot[mine])
        if series.size == 1:
            log.exception("scoring_failed", slot=int(series[0]), points=int(mine.size))
            return
        first_half = slot[mine] < series[series.size // 2]
        _judge_what_can_be(judge_rows, slot, mine[first_half], judged)
        _judge_what_can_be(judge_rows, slot, mine[~first_half], judged)


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
    partition.touch(judged.slots)


def ended_by_silence(partition: Partition, slot: int, timestamp: int, threshold: float) -> Transition:
    """The end of an open run for want of points."""
    detector = partition.models[int(partition.columns["model"][slot])].detector
    life = take(partition.life, np.array([slot]))
    down = life["direction"][0] < 0
    tolerance = (partition.tolerance_down if down else partition.tolerance_up)[slot]
    return Transition(
        slot=slot,
        timestamp=timestamp,
        changes=frozenset({"ended"}),
        detector=detector.name,
        run=_run(life, np.intp(0), detector.evidence),
        threshold=threshold + float(tolerance),
        may_alert=True,
        days_seen=int(_days_seen(partition, np.array([slot]))[0]),
    )


def as_trained(partition: Partition, slot: int, threshold: float) -> Transition:
    """The run of one series as its last training found it."""
    detector = partition.models[int(partition.columns["model"][slot])].detector
    life = take(partition.anchor_life, np.array([slot]))
    closed_at = int(life["closed_at"][0])
    tolerance = (partition.tolerance_down if life["direction"][0] < 0 else partition.tolerance_up)[slot]
    return Transition(
        slot=slot,
        timestamp=closed_at or int(life["last_abnormal_at"][0]),
        changes=frozenset({"ended" if closed_at else "grew"}),
        detector=detector.name,
        run=_run(life, np.intp(0), detector.evidence),
        threshold=threshold + float(tolerance),
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
    code: int,
    slot: Ints,
    timestamp: Ints,
    value: Floats,
    threshold: float,
    judged: Judged,
    mine: Ints,
) -> None:
    """Rounds of at most one point a series, all judged by the detector `code`."""
    model = partition.models[code]
    slots, start, counts = np.unique(slot[mine], return_index=True, return_counts=True)
    rank = np.arange(mine.size) - np.repeat(start, counts)
    rows = partition.columns["row"][slots].astype(np.int64)
    state, life = begin.state_of(model, rows), take(begin.life, slots)
    series = _SeriesFacts.of(partition, begin, slots, threshold)
    by_rank = np.argsort(rank, kind="stable")
    position = np.repeat(np.arange(slots.size), counts)
    for before, chunk in enumerate(np.split(by_rank, np.cumsum(np.bincount(rank))[:-1])):
        here = mine[chunk]  # indices into the batch
        who = position[chunk]  # indices into slots
        everyone = who.size == slots.size
        local_state = state if everyone else take(state, who)
        local_life = life if everyone else take(life, who)
        points = series.points(who, rows, timestamp[here], value[here], lives.frozen(local_life))
        scores, local_state = model.detector.score(points, model.baseline, local_state)
        may_alert = series.may_alert(who, before, points.timestamp)
        local_life, changes = series.advance(who, local_life, points, scores, may_alert)
        if everyone:
            state, life = local_state, local_life
        else:
            put(state, who, local_state)
            put(life, who, local_life)
        _keep_scores(judged, here, scores)
        if changes.any():
            judged.transitions.extend(_transitions(series, who, points, changes, local_life, model.detector, may_alert))
    judged.states.append((code, rows, state))
    judged.life.append((slots, life))


@dataclass(frozen=True)
class _SeriesFacts:
    """What scoring needs to know of the distinct series of a batch, one row each."""

    slots: Ints
    cadence: Ints
    zone: Ints
    zones: list[str]
    threshold_up: Floats
    threshold_down: Floats
    candidate: float
    first_at: Ints
    point_count: Ints  # before the batch

    @classmethod
    def of(cls, partition: Partition, begin: _Beginning, slots: Ints, threshold: float) -> _SeriesFacts:
        column = partition.columns
        return cls(
            slots=slots,
            cadence=column["cadence"][slots].astype(np.int64),
            zone=column["zone"][slots].astype(np.int64),
            zones=partition.zones.names,
            threshold_up=threshold + partition.tolerance_up[slots],
            threshold_down=threshold + partition.tolerance_down[slots],
            candidate=threshold - CANDIDATE_MARGIN,
            first_at=begin.first_at[slots],
            point_count=begin.point_count[slots],
        )

    def may_alert(self, who: Ints, before: int, timestamp: Ints) -> NDArray[np.bool_]:
        """Whether there was ground for alerts just before these points, each after `before` others of its batch."""
        cadence = self.cadence[who]
        return training.may_alert(self.point_count[who] + before, self.first_at[who], timestamp - cadence, cadence)

    def days_seen(self, who: Ints, timestamp: Ints) -> Ints:
        """Whole days of history that each series had just before its point."""
        return np.asarray((timestamp - self.first_at[who]) // training.DAY, np.int64)

    def points(self, who: Ints, rows: Ints, timestamp: Ints, value: Floats, frozen: NDArray[np.bool_]) -> Points:
        return Points(
            row=rows[who],
            timestamp=timestamp,
            local=local_seconds_of_many(timestamp, self.zones, self.zone[who]),
            value=value,
            cadence=self.cadence[who],
            frozen=frozen,
            threshold_up=self.threshold_up[who],
            threshold_down=self.threshold_down[who],
        )

    def advance(
        self, who: Ints, life: Fields, points: Points, scores: Scores, may_alert: NDArray[np.bool_]
    ) -> tuple[Fields, lives.Changes]:
        """A series still warming up may run, but is never told."""
        held = ~may_alert
        return lives.advance(
            life,
            points,
            scores,
            candidate=np.full(who.size, self.candidate),
            threshold_up=np.where(held, np.inf, points.threshold_up),
            threshold_down=np.where(held, np.inf, points.threshold_down),
            rules=RULES,
            untolerated=np.where(held, np.inf, self.candidate + CANDIDATE_MARGIN),
        )


def _days_seen(partition: Partition, slots: Ints) -> Ints:
    first, last, cadence = (partition.columns[name][slots] for name in ("first_at", "last_at", "cadence"))
    return np.asarray((last - first + cadence) // training.DAY, np.int64)


def _keep_scores(judged: Judged, here: Ints, scores: Scores) -> None:
    judged.expected[here] = scores.expected
    judged.lower[here] = scores.lower
    judged.upper[here] = scores.upper
    judged.rarity[here] = scores.rarity


def _transitions(
    series: _SeriesFacts,
    who: Ints,
    points: Points,
    changes: lives.Changes,
    life: Fields,
    detector: Detector,
    may_alert: NDArray[np.bool_],
) -> list[Transition]:
    """The few series of a round to which something happened that the database must know."""
    grew = changes.grew & (life["told_at"] > 0)
    what = {"told": changes.told, "grew": grew, "ended": changes.ended, "reopened": changes.reopened}
    concerned = np.flatnonzero(changes.told | grew | changes.ended | changes.reopened)
    days_seen = series.days_seen(who, points.timestamp)
    return [
        Transition(
            slot=int(series.slots[who[row]]),
            timestamp=int(points.timestamp[row]),
            changes=frozenset(name for name, flags in what.items() if flags[row]),
            detector=detector.name,
            run=_run(life, row, detector.evidence),
            threshold=float((points.threshold_down if life["direction"][row] < 0 else points.threshold_up)[row]),
            may_alert=bool(may_alert[row]),
            days_seen=int(days_seen[row]),
        )
        for row in concerned
    ]


def _run(life: Fields, row: np.intp, kinds: tuple[str, ...]) -> Run:
    numbers = {name: life[name][row].item() for name in Run.__dataclass_fields__ if name != "evidence"}
    spoke = zip(kinds, life["peak_evidence"][row].tolist(), strict=False)
    return Run(**numbers, evidence={kind: round(rarity, 3) for kind, rarity in spoke if np.isfinite(rarity)})
