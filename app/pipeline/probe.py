"""What would be told: the band of the next point, and the share of injected drops and spikes that would be seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from app.alerts import life as lives
from app.partitions.partition import Partition
from app.pipeline.score import RULES, advance
from app.pipeline.worth import Taught
from detectors.calendar import local_seconds
from detectors.contract import Fields, Floats, Ints, Points, Scores, take
from feedback.receipt import Band, Power
from feedback.tolerance import Tolerances

WEEK, HOUR = 604_800, 3_600


def band(partition: Partition, slot: int, tolerances: Tolerances) -> Band | None:
    """The next point's band under these tolerances; None while nothing can be said of the series."""
    model, row = partition.judge_of(slot)
    next_at = partition.columns["last_at"][[slot]] + max(int(partition.columns["cadence"][slot]), 1)
    points = _points(partition, slot, np.asarray(next_at, np.int64), tolerances)
    scores = _scored(partition, slot, points, take(model.state, np.array([row])))
    if not np.isfinite([scores.expected[0], scores.lower[0], scores.upper[0]]).all():
        return None
    at = datetime.fromtimestamp(int(points.timestamp[0]), UTC)
    return Band(at, float(scores.expected[0]), float(scores.lower[0]), float(scores.upper[0]))


def power(partition: Partition, slot: int, worlds: Sequence[Tolerances]) -> list[Power] | None:
    """Share of single drops and spikes of the owner's size told under each, one at each phase of the coming week.

    None while nothing can be said of the series.
    """
    week = _coming_week(partition, slot)
    before = _before(partition, slot, week)
    found = [_power(partition, slot, each, week, before) for each in worlds]
    known = [each for each in found if each is not None]
    return known if len(known) == len(found) else None


def _power(partition: Partition, slot: int, tolerances: Tolerances, week: Ints, before: Fields) -> Power | None:
    size = partition.settings(slot).change_to_hear
    points = _points(partition, slot, week, tolerances)
    expected = _scored(partition, slot, points, before).expected
    if not np.isfinite(expected).all():
        return None
    drops, spikes = (_told(partition, slot, tolerances, points, before, expected, way * size) for way in (-1, 1))
    return None if drops is None or spikes is None else Power(drops=drops, spikes=spikes, size=size)


def _told(
    partition: Partition,
    slot: int,
    tolerances: Tolerances,
    points: Points,
    before: Fields,
    expected: Floats,
    change: float,
) -> float | None:
    """Share told of points that differ from what is expected by such a share of it, by all that scoring goes by.

    Each comes alone, after the run that goes on now is over. None where none can be judged.
    """
    injected = replace(points, value=expected + change * np.abs(expected))
    scores = _scored(partition, slot, injected, before)
    if np.isnan(scores.rarity).all():
        return None
    who = np.zeros(points.row.size, np.int64)
    bars = partition.bars(np.array([slot]))
    life = lives.let_go(take(partition.life, np.full(points.row.size, slot)))
    column = {name: partition.columns[name][[slot]].astype(np.int64) for name in ("series_id", "metric")}
    taught = Taught(tolerances, column["series_id"], column["metric"], partition.metrics.names, bars.threshold)
    detector = partition.judge_of(slot)[0].detector
    asked = taught.thresholds(who, life, injected, scores, detector.evidence, RULES)
    _, changes = advance(life, injected, scores, bars, asked)
    return float(np.mean(changes.told & (scores.direction == np.sign(change))))


def _coming_week(partition: Partition, slot: int) -> Ints:
    """Times in the coming week, an hour apart or the series' cadence if that is longer."""
    step = max(_cadence(partition, slot), HOUR)
    return np.asarray(partition.columns["last_at"][slot] + step * np.arange(1, max(WEEK // step, 1) + 1), np.int64)


def _cadence(partition: Partition, slot: int) -> int:
    return int(partition.columns["cadence"][slot]) or HOUR


def _before(partition: Partition, slot: int, timestamp: Ints) -> Fields:
    """What the detector remembers just before each of these points: the one before was as expected.

    From what the last training left, which no run that began since has touched.
    """
    model, row = partition.judge_of(slot)
    state = take(model.anchor, np.full(timestamp.size, row))
    points = _points(partition, slot, timestamp - _cadence(partition, slot), Tolerances())
    expected = model.detector.score(points, model.baseline, state)[0].expected
    return model.detector.score(replace(points, value=expected), model.baseline, state)[1]


def _points(partition: Partition, slot: int, timestamp: Ints, tolerances: Tolerances) -> Points:
    """Points of a series at these times that teach nothing; their values are missing."""
    column = {name: int(array[slot]) for name, array in partition.columns.items()}
    base = partition.bar(slot).threshold
    who = np.array([column["series_id"]]), np.array([column["metric"]]), partition.metrics.names
    up, down = (base + float(tolerances.asked(*who, direction)[0]) for direction in (1, -1))
    local = local_seconds(timestamp, partition.zones.names[column["zone"]])
    count = timestamp.size
    return Points(
        row=np.full(count, partition.judge_of(slot)[1]),
        timestamp=timestamp,
        local=local,
        value=np.full(count, np.nan),
        cadence=np.full(count, column["cadence"]),
        frozen=np.ones(count, bool),
        threshold_up=np.full(count, up),
        threshold_down=np.full(count, down),
        kinds_of_day=partition.kinds_of_day(np.array([slot]), local),
    )


def _scored(partition: Partition, slot: int, points: Points, before: Fields) -> Scores:
    """Judge each by what is remembered before it."""
    model, _ = partition.judge_of(slot)
    return model.detector.score(points, model.baseline, before)[0]
