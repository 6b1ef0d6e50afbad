"""Fold the log into tiles, and train series on what the tiles and the log hold.

Both run on the committer's thread, a training in portions, so that points posted meanwhile wait for one portion only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import numpy as np
import structlog
from sqlalchemy.orm import Session

from app.clock import wall_now
from app.partitions.partition import DEFAULT_DETECTOR, Partition
from app.pipeline import recover
from app.pipeline.borrow import Lesson, lessons
from app.pipeline.fall_back import FALL_BACK, NOT_COMPARED
from app.pipeline.ingest import Committer
from app.pipeline.rescore import score_again
from app.store import choices, points, series, states
from app.store.happenings import exclusions
from app.store.points import PointBatch
from app.store.points.cadence import estimate_cadences
from detectors import choice, registry, training
from detectors.bars import least_of
from detectors.calendar import local_seconds
from detectors.contract import Bools, History, Ints, take
from feedback.training_mask import Exclusions, learnable

log = structlog.get_logger()

PORTION_SERIES = 256
PORTION_CELLS = 2_000_000
"""About 100 ms of fitting: what a POST may have to wait."""
LONGEST_WINDOW_STEPS = 50_000
PACE_POINTS = 8
"""Points from which the cadence of a series is told."""
LONGEST_PACE_SECONDS = 60 * training.DAY
LONGEST_WINDOW_DAYS = 400
WAIT_FOR_LATE_SECONDS = 3 * training.DAY
"""After the end of a gap its series keep their baseline for so long: a training ends the reach of late points."""
MOST_FIT_MS = 500.0
"""Dear detectors are fitted so few at a time."""


@dataclass(frozen=True)
class TrainingReport:
    """What a training did. `failed`: reason by series id of those that got the fall-back."""

    trained: int
    skipped: int
    failed: dict[int, str]


def fold(committer: Committer, number: int) -> int:
    """Move the log of a partition into tiles and checkpoint its state, in one commit. Returns how many points."""
    return committer.call(lambda: _fold(committer, number))


def _fold(committer: Committer, number: int) -> int:
    partition = committer.partitions[number]
    count = partition.tail_points
    if not count:
        return 0
    with committer.reloading(number), committer.database.writing() as session:
        _find_cadences(session, partition)
        points.fold(session, number, cadences=_known_cadences(partition))
        recover.save(session, partition)
    recover.saved(partition)
    partition.drop_tail()
    log.info("folded", partition=number, points=count)
    return count


def _find_cadences(session: Session, partition: Partition) -> None:
    """Give each series the usual spacing of its points: where it has none yet, or its points come at another pace."""
    slots = np.flatnonzero(_has_no_pace(partition) | _has_another_pace(partition))
    if not slots.size:
        return
    ids = partition.columns["series_id"][slots]
    last = partition.columns["last_at"][slots]
    stored = points.read_points(session, ids.tolist(), int(last.min()) - LONGEST_PACE_SECONDS, int(last.max()) + 1)
    found = estimate_cadences(_newest_of_each(stored))
    if found:
        _set_cadences(session, partition, partition.slots_of(found), np.array(list(found.values()), np.int64))


def _has_no_pace(partition: Partition) -> Bools:
    column = {name: array[: partition.count] for name, array in partition.columns.items()}
    return np.asarray((column["cadence"] == 0) & (column["point_count"] >= PACE_POINTS))


def _has_another_pace(partition: Partition) -> Bools:
    """Whether the points since the last training came much closer, or much farther apart, than the cadence says."""
    column = {name: array[: partition.count] for name, array in partition.columns.items()}
    count = np.maximum(column["since_anchor"], 1)
    pace = (column["last_at"] - column["anchor_at"]) / count / np.maximum(column["cadence"], 1)
    known = (column["cadence"] > 0) & (column["anchor_at"] > 0) & (column["since_anchor"] >= PACE_POINTS)
    return np.asarray(known & ((pace < 0.7) | (pace > 1.4)))


def _newest_of_each(batch: PointBatch) -> PointBatch:
    """The last points of each series, by which its present pace is told; `batch` is by series and time."""
    _, counts = np.unique(batch.series, return_counts=True)
    behind = np.repeat(np.cumsum(counts), counts) - np.arange(len(batch)) - 1
    newest = behind <= 2 * PACE_POINTS
    return PointBatch(batch.series[newest], batch.timestamp[newest], batch.value[newest])


def _set_cadences(session: Session, partition: Partition, slots: Ints, seconds: Ints) -> None:
    partition.columns["cadence"][slots] = seconds
    partition.touch(slots)
    ids = partition.columns["series_id"][slots]
    series.set_cadences(session, dict(zip(ids.tolist(), seconds.tolist(), strict=True)))


def _known_cadences(partition: Partition) -> dict[int, int]:
    ids, cadence = (partition.columns[name][: partition.count] for name in ("series_id", "cadence"))
    known = cadence > 0
    return dict(zip(ids[known].tolist(), cadence[known].tolist(), strict=True))


def train(
    committer: Committer,
    *,
    now: datetime,
    reason: str,
    wanted: Callable[[Partition], Ints],
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> TrainingReport:
    """Train the slots that `wanted` names of each partition on all that is stored of them up to `now`.

    None while a flag has learning frozen.
    """
    if committer.switches.frozen:
        return TrainingReport(0, 0, {})
    waits = int(now.timestamp()) - WAIT_FOR_LATE_SECONDS
    slots = {
        p.number: np.setdiff1d(wanted(p), p.happenings.in_gap(waits))
        for p in committer.call(lambda: list(committer.partitions))
    }
    total, done = sum(s.size for s in slots.values()), 0
    trained = 0
    failed: dict[int, str] = {}
    for number, those in slots.items():
        if not those.size:
            continue
        score_again(committer, now)
        fold(committer, number)
        with committer.database.reading() as session:
            excluded = exclusions(session, now)
        for portion in portions(committer, number, those):
            if cancelled() or not committer.is_running:
                return TrainingReport(trained, total - trained, failed)
            part = partial(_train_portion, committer, number, portion, excluded, now, reason)
            result = committer.call(part)
            trained += result.trained
            failed |= result.failed
            done += portion.size
            progress(done, total)
    return TrainingReport(trained, total - trained, failed)


def young(partition: Partition) -> Ints:
    """Slots with ground for a first training, or with twice the points of their last one while they are young."""
    column = {name: array[: partition.count] for name, array in partition.columns.items()}
    span = column["last_at"] - column["first_at"]
    learning = span < training.LEARNING_DAYS * training.DAY
    enough = column["point_count"] >= training.ALERT_AFTER_DAILY_POINTS
    grown = column["point_count"] >= 2 * column["trained_points"]
    never = column["trained_points"] == 0
    return np.flatnonzero(enough & (never | (learning & grown)))


def due(partition: Partition) -> Ints:
    """Slots that are to be trained before the night: young ones, and those that another detector is to judge."""
    return np.union1d(_awake(partition, young(partition)), _given_to_another(partition))


def _given_to_another(partition: Partition) -> Ints:
    """Slots that were trained for another detector than the one that policies and comparisons now want."""
    slots = np.flatnonzero(partition.columns["asked"][: partition.count])
    other: Ints = slots[partition.columns["asked"][slots] != partition.to_fit(slots) + 1]
    return other


def everything(partition: Partition) -> Ints:
    """Slots that have got points since they were trained, or whose labels may have changed what to learn from."""
    return _awake(partition, with_points(partition))


def with_points(partition: Partition) -> Ints:
    """Slots that have points at all."""
    return np.flatnonzero(partition.columns["point_count"][: partition.count] > 0)


def _awake(partition: Partition, slots: Ints) -> Ints:
    """Those that no retrain has left to their old baseline for a while, as their data had better not be learned."""
    return slots[partition.columns["rests_until"][slots] <= partition.columns["last_at"][slots]]


def portions(committer: Committer, number: int, slots: Ints) -> Iterator[Ints]:
    """Slots of one zone and country each, few enough that fitting them takes no longer than a POST may wait.

    Siblings are together, as they learn from each other.
    """
    partition = committer.partitions[number]
    column = partition.columns
    slots = slots[np.argsort(column["metric"][slots], kind="stable")]
    zone, cadence = column["zone"][slots], _pace_of(column["cadence"][slots])
    steps = np.minimum((column["last_at"][slots] - column["first_at"][slots]) // cadence + 1, LONGEST_WINDOW_STEPS)
    alike = np.stack([zone, cadence, partition.to_fit(slots), partition.country(slots)], axis=1)
    for one in np.unique(alike, axis=0):
        mine = (alike == one).all(axis=1)
        affordable = MOST_FIT_MS // choice.COST_MS.get(partition.models[one[2]].detector.name, 1.0)
        size = int(np.clip(PORTION_CELLS // max(int(steps[mine].max()), 1), 1, min(affordable, PORTION_SERIES)))
        chosen = slots[mine]
        for start in range(0, chosen.size, size):
            yield chosen[start : start + size]


def _pace_of(cadence: Ints) -> Ints:
    """The cadence, or the one that a series of unknown cadence is stored by."""
    return np.where(cadence > 0, cadence, training.HOUR)


def _train_portion(
    committer: Committer, number: int, slots: Ints, excluded: Exclusions, now: datetime, reason: str
) -> TrainingReport:
    partition = committer.partitions[number]
    failed: dict[int, str] = {}
    trained = 0
    with committer.reloading(number), committer.database.writing() as session:
        start, end = window(partition, slots)
        for grid in grids(session, partition, slots, start, end):
            history = history_of(partition, grid, excluded)
            there = partition.slots_of(grid.series_ids)
            for lesson in lessons(session, committer.partitions, partition, there, history, excluded):
                failed |= _learn(session, partition, grid, lesson, now)
            trained += grid.series_ids.size
        version = states.new_version(session, partition=number, reason=reason, series_count=trained, now=wall_now())
        partition.columns["version"][slots] = version
        recover.save(session, partition, version)
    recover.saved(partition)
    for series_id, why in failed.items():
        log.warning("detector_fell_back", series=series_id, reason=why)
    return TrainingReport(trained, slots.size - trained, failed)


def window(partition: Partition, slots: Ints) -> tuple[int, int]:
    """Unix seconds from which, and before which, points of these slots are learned from."""
    first = partition.columns["first_at"][slots].min()
    end = int(partition.columns["last_at"][slots].max()) + 1
    cadence = int(_pace_of(partition.columns["cadence"][slots]).max())
    longest = min(LONGEST_WINDOW_STEPS * cadence, LONGEST_WINDOW_DAYS * training.DAY)
    return max(int(first), end - longest), end


def grids(session: Session, partition: Partition, slots: Ints, start: int, end: int) -> Iterator[points.Grid]:
    """The points of these slots from start until before end (unix seconds), those that are still in the log too."""
    ids = partition.columns["series_id"][slots].tolist()
    for grid in points.read_grids(session, partition.number, start, end, series_ids=ids):
        yield grid.overlaid(tuple(partition.tail))


def history_of(partition: Partition, grid: points.Grid, excluded: Exclusions) -> History:
    """The grid without what must not be learned, and at the present level."""
    ids = grid.series_ids
    slots = partition.slots_of(ids)
    times = _times_of(grid)
    local = local_seconds(times, partition.zones.names[partition.columns["zone"][slots[0]]])
    kinds, kin = partition.kinds_of_day(slots[:1], local), partition.columns["metric"][slots]
    return learnable(History(grid.values, times, local, grid.cadence, grid.weights, kinds, kin), ids, excluded)


def _times_of(grid: points.Grid) -> Ints:
    """When the points of the grid's steps are: (N,) unix seconds."""
    after = np.where(np.isfinite(grid.values), 0.0 if grid.offset is None else grid.offset, np.nan)
    first_known = np.isfinite(after).argmax(axis=0)
    return training.times_of(
        grid.timestamp // grid.cadence, after[first_known, np.arange(first_known.size)], grid.cadence
    )


def _learn(session: Session, partition: Partition, grid: points.Grid, lesson: Lesson, now: datetime) -> dict[int, str]:
    """Fit some series of a grid, each by the detector chosen for it, and put what was learned in place.

    Returns why some got the fall-back.
    """
    ids, history = grid.series_ids[lesson.rows], lesson.history
    slots = partition.slots_of(ids)
    chosen = partition.to_fit(slots)
    failed: dict[int, str] = {}
    for code in np.unique(chosen).tolist():
        mine = np.flatnonzero(chosen == code)
        part = history.of_series(mine)
        fitted = training.fit_many(partition.models[code].detector, part, fall_back=registry.get(FALL_BACK))
        install(partition, slots[mine], fitted)
        failed |= {int(i): why for i, why in zip(ids[mine], fitted.reason, strict=True) if why}
    choices.record_fall_backs(session, ids.tolist(), failed, detector=DEFAULT_DETECTOR, reason=NOT_COMPARED)
    partition.columns["trained_points"][slots] = partition.columns["point_count"][slots]
    partition.columns["siblings"][slots] = lesson.siblings
    partition.columns["least"][slots] = least_of(history.values)
    partition.columns["asked"][slots] = chosen + 1
    partition.limit(slots)
    partition.columns["trained_at"][slots] = int(now.timestamp())
    partition.columns["refused_since"][slots] = 0
    partition.columns["seen_log"][slots] = partition.newest_log
    partition.anchor(slots)
    partition.touch(slots)
    return failed


def install(partition: Partition, slots: Ints, fitted: training.Trained) -> None:
    """Let what was fitted judge these series."""
    used = np.array(fitted.detector)
    for name in np.unique(used).tolist():
        mine = np.flatnonzero(used == name)
        rows = partition.move(slots[mine], name)
        model = partition.models[partition.model_code(name)]
        model.learn(rows, take(fitted.baselines[name], mine), take(fitted.states[name], mine))
