"""What would be told: the band of the next point, and the share of injected drops and spikes that would be seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from app.partitions.partition import Partition
from detectors.calendar import local_seconds
from detectors.contract import Floats, Points, Scores, take
from feedback import guards
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
    """Share of single drops and spikes of the owner's size told, one at each phase of the coming week."""
    size = partition.settings(slot).change_to_hear
    step = max(int(partition.columns["cadence"][slot]), HOUR)
    points = _coming(partition, slot, tolerances, count=max(WEEK // step, 1))
    expected = _score(partition, slot, points).expected
    if not np.isfinite(expected).all():
        return None
    drops = _told(partition, slot, points, expected - size * np.abs(expected), -1)
    spikes = _told(partition, slot, points, expected + size * np.abs(expected), 1)
    return None if drops is None or spikes is None else Power(drops=drops, spikes=spikes, size=size)


def _told(partition: Partition, slot: int, points: Points, value: Floats, direction: int) -> float | None:
    scores = _score(partition, slot, replace(points, value=value))
    if np.isnan(scores.rarity).all():
        return None
    threshold = points.threshold_up if direction > 0 else points.threshold_down
    return float(np.mean((scores.rarity >= threshold) & (scores.direction == direction)))


def _coming(partition: Partition, slot: int, tolerances: Tolerances, *, count: int) -> Points:
    """The next `count` points of a series, an hour apart or its cadence if that is longer; their values are missing."""
    column = {name: int(array[slot]) for name, array in partition.columns.items()}
    cadence = max(column["cadence"], 1)
    step = cadence if count == 1 else max(cadence, HOUR)
    timestamp = column["last_at"] + step * np.arange(1, count + 1)
    metric = partition.metrics.names[column["metric"]]
    base = partition.bar(slot).threshold
    general = (tolerances.of(column["series_id"], metric, direction) for direction in (1, -1))
    up, down = (base + min(each, guards.GENERAL_CEILING) for each in general)
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
