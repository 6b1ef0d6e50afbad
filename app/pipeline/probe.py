"""What would be told: the band of the next point, and the share of injected drops and spikes that would be seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from app.alerts import life as lives
from app.partitions.partition import Partition
from app.pipeline.score import RULES, advance
from app.pipeline.worth import Taught
from detectors.calendar import local_seconds
from detectors.contract import Floats, Points, Scores, take
from feedback.receipt import Band, Power
from feedback.tolerance import Tolerances

WEEK, HOUR = 604_800, 3_600


def band(partition: Partition, slot: int, tolerances: Tolerances) -> Band | None:
    """The next point's band under these tolerances; None while nothing can be said of the series."""
    points = _coming(partition, slot, tolerances, count=1)
    scores = _score(partition, slot, points)
    if not np.isfinite([scores.expected[0], scores.lower[0], scores.upper[0]]).all():
        return None
    at = datetime.fromtimestamp(int(points.timestamp[0]), UTC)
    return Band(at, float(scores.expected[0]), float(scores.lower[0]), float(scores.upper[0]))


def power(partition: Partition, slot: int, tolerances: Tolerances) -> Power | None:
    """Share of single drops and spikes of the owner's size told, one at each phase of the coming week.

    None while nothing can be said of the series.
    """
    size = partition.settings(slot).change_to_hear
    step = max(int(partition.columns["cadence"][slot]), HOUR)
    points = _coming(partition, slot, tolerances, count=max(WEEK // step, 1))
    expected = _score(partition, slot, points).expected
    if not np.isfinite(expected).all():
        return None
    drops, spikes = (_told(partition, slot, tolerances, points, expected, way * size) for way in (-1, 1))
    return None if drops is None or spikes is None else Power(drops=drops, spikes=spikes, size=size)


def _told(
    partition: Partition, slot: int, tolerances: Tolerances, points: Points, expected: Floats, change: float
) -> float | None:
    """Share told of points that differ from what is expected by such a share of it, by all that scoring goes by.

    Each comes alone, after the run that goes on now is over. None where none can be judged.
    """
    injected = replace(points, value=expected + change * np.abs(expected))
    scores = _score(partition, slot, injected)
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


def _coming(partition: Partition, slot: int, tolerances: Tolerances, *, count: int) -> Points:
    """The next `count` points of a series, an hour apart or its cadence if that is longer; their values are missing."""
    column = {name: int(array[slot]) for name, array in partition.columns.items()}
    cadence = max(column["cadence"], 1)
    step = cadence if count == 1 else max(cadence, HOUR)
    timestamp = column["last_at"] + step * np.arange(1, count + 1)
    base = partition.bar(slot).threshold
    who = np.array([column["series_id"]]), np.array([column["metric"]]), partition.metrics.names
    up, down = (base + float(tolerances.asked(*who, direction)[0]) for direction in (1, -1))
    local = local_seconds(timestamp, partition.zones.names[column["zone"]])
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


def _score(partition: Partition, slot: int, points: Points) -> Scores:
    """Judge each as if it were the very next point of the series."""
    model, _ = partition.judge_of(slot)
    state = take(model.state, np.full(points.row.size, points.row[0]))
    return model.detector.score(points, model.baseline, state)[0]
