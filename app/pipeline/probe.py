"""What would be told: the band of the next point, and the share of injected drops and spikes that would be seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from app.alerts import life as lives
from app.partitions.happenings import Happening, Happenings
from app.partitions.partition import Partition
from app.pipeline.creations import Conditions, ToCome
from app.pipeline.learn import NEWEST
from app.pipeline.score import RULES, advance
from app.pipeline.worth import Taught
from app.store.happenings import FAR_FUTURE
from detectors.calendar import local_seconds
from detectors.contract import Bools, Fields, Ints, Points, Scores, take
from detectors.loss import points_to_look_normal
from feedback.events import Explained, judge_in_events
from feedback.receipt import Band, Power
from feedback.tolerance import Tolerances

WEEK, DAY, HOUR = 604_800, 86_400, 3_600


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


def power(partition: Partition, slot: int, worlds: Sequence[Conditions]) -> list[Power] | None:
    """Share of single drops and spikes of the owner's size told under each, one at each phase of the coming week.

    Of the first week of what is to come, where that begins later. None while nothing can be said of the series.
    """
    begins = _begins(partition, slot, [each for world in worlds for each in world.to_come])
    step = max(_cadence(partition, slot), HOUR)
    week = np.asarray(begins + step * np.arange(1, max(WEEK // step, 1) + 1), np.int64)
    before = _before(partition, slot, week)
    comes_later = begins - partition.columns["last_at"][slot] > DAY
    since = datetime.fromtimestamp(begins, UTC) if comes_later else None
    found = [_power(partition, slot, each, week, before) for each in worlds]
    known = [replace(each, since=since) for each in found if each is not None]
    return known if len(known) == len(found) else None


def _begins(partition: Partition, slot: int, to_come: Sequence[ToCome]) -> int:
    """Before the first point that could lie in what is to come, or the next one; unix seconds."""
    last_at, series_id = (int(partition.columns[name][slot]) for name in ("last_at", "series_id"))
    starts = [
        int(one.start[one.end > last_at].min(initial=FAR_FUTURE)) for one in to_come if series_id in one.series_id
    ]
    first = min(starts, default=FAR_FUTURE)
    return last_at if first == FAR_FUTURE else max(last_at, first - 1)


def _power(partition: Partition, slot: int, world: Conditions, week: Ints, before: Fields) -> Power | None:
    size = partition.settings(slot).change_to_hear
    points = _points(partition, slot, week, world.tolerances)
    slots, happenings = np.full(week.size, slot), _happenings(partition, slot, world)
    explained = happenings.explained(slots, week)
    lost = np.isnan(happenings.without_lost(slots, week, np.zeros(week.size)))
    expected = _scored(partition, slot, points, before, explained).expected
    if not np.isfinite(expected).all():
        return None
    told = []
    for way in (-1, 1):
        injected = replace(points, value=expected + way * size * np.abs(expected))
        scores = _scored(partition, slot, injected, before, explained)
        if np.isnan(scores.rarity).all():
            return None
        is_told = _told(partition, slot, world.tolerances, injected, scores) & (scores.direction == way)
        told.append(float(np.mean(is_told & ~lost)))
    drops, spikes = told
    return Power(drops=drops, spikes=spikes, size=size)


def _told(partition: Partition, slot: int, tolerances: Tolerances, points: Points, scores: Scores) -> Bools:
    """Which of these are told, each alone, once the run that goes on now is over, by all that scoring goes by."""
    who = np.zeros(points.row.size, np.int64)
    bars = partition.bars(np.array([slot]))
    life = lives.let_go(take(partition.life, np.full(points.row.size, slot)))
    column = {name: partition.columns[name][[slot]].astype(np.int64) for name in ("series_id", "metric")}
    taught = Taught(tolerances, column["series_id"], column["metric"], partition.metrics.names, bars.threshold)
    detector = partition.judge_of(slot)[0].detector
    asked = taught.thresholds(who, life, points, scores, detector.evidence, RULES)
    return advance(life, points, scores, bars, asked)[1].told


def _happenings(partition: Partition, slot: int, world: Conditions) -> Happenings:
    """What takes place for this series, when all goes as usual: open gaps that end by themselves do so soon."""
    alone, series_id = np.array([slot]), partition.columns["series_id"][[slot]].astype(np.int64)
    to_come = [
        Happening(0, each.start, each.end, None, each.effect, label_id=NEWEST)
        for each in world.to_come
        if series_id[0] in each.series_id
    ]
    for each in to_come:
        each.join(alone, series_id)
    standing = partition.happenings
    events, gaps = (
        [each for each in those if each.has_any(alone) and each.label_id not in world.without]
        for those in (standing.events, standing.gaps)
    )
    gaps += [each for each in to_come if each.effect is None]
    soon = int(partition.columns["last_at"][slot])
    soon += _cadence(partition, slot) * points_to_look_normal(_cadence(partition, slot)) + 1
    return Happenings(
        events + [each for each in to_come if each.effect is not None],
        [
            replace(each, end=np.minimum(each.end, soon)) if each.label_id and each.end[-1] >= FAR_FUTURE else each
            for each in gaps
            if not (each.is_found and each.end[-1] >= FAR_FUTURE)
        ],
    )


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


def _scored(
    partition: Partition, slot: int, points: Points, before: Fields, explained: Explained | None = None
) -> Scores:
    """Judge each by what is remembered before it, and by what events explain."""
    model, _ = partition.judge_of(slot)
    if explained is None:
        return model.detector.score(points, model.baseline, before)[0]
    return judge_in_events(model.detector, points, model.baseline, before, explained)[0]
