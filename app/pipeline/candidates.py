"""What a retrain reads of its series: the past to learn from, the old baselines, and all that both are judged by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sqlalchemy.orm import Session

from app.partitions.partition import Partition
from app.pipeline.borrow import Lesson, lessons
from app.pipeline.train import LONGEST_WINDOW_STEPS, grids, history_of, window
from app.store import labels as stored_labels
from detectors import training
from detectors.contract import Bools, Detector, Fields, Floats, History, Ints, take
from feedback.labels import LabelEvidence
from feedback.retrain import Standing
from feedback.training_mask import Exclusions, SharedSpans

MOST_LABELS = 200
NEEDED = 0.7
"""Share of two weeks' points that a baseline needs."""
FEWEST_PACE = 48
"""Points that should have come since the last training, from which their pace is told."""


@dataclass(frozen=True)
class Asked:
    """What a retrain learns from. start, end: unix seconds, None where it is open; without: spans, ends included.

    overdue: unix seconds of event time; what nights have refused since then or before is replaced all the same.
    """

    start: int | None
    end: int | None
    without: Sequence[tuple[int, int]]
    force: bool
    overdue: int | None = None


@dataclass(frozen=True)
class Candidates:
    """Series that learn from one grid, as they were when they were read; arrays (S,), by the rows of the lesson.

    lesson: what the new baselines are fitted on. window: the columns of the history that it is of. history: all that
    may be learned, up to now. raw: the same as it came. old: the baselines by model, with the rows that they are of.
    life, point_count, last_at, newest_log: what a state fitted on this goes on from. trained_to: unix seconds up to
    which the old baselines know. pace: how many points came since, as a share of as many as usual.
    """

    slots: Ints
    ids: Ints
    lesson: Lesson
    window: slice
    history: History
    raw: History
    to_fit: Ints
    old: list[tuple[Detector, Ints, Fields]]
    life: Fields
    point_count: Ints
    last_at: Ints
    trained_to: Ints
    newest_log: int
    pace: Floats
    needed: Floats
    threshold: Floats
    size: Floats
    standing: Standing
    labels: list[LabelEvidence]


def read_candidates(
    session: Session,
    partitions: Sequence[Partition],
    partition: Partition,
    slots: Ints,
    excluded: Exclusions,
    in_gap: Ints,
    asked: Asked,
) -> Iterator[Candidates]:
    """What is known of these slots, in groups that learn together. Series without a point in reach are left out."""
    ids = partition.columns["series_id"][slots].astype(np.int64)
    excluded = _with_more(excluded, ids, asked)
    start, end = _reach(partition, slots, asked)
    changed = {each.series_id for each in excluded.level_changes if each.start >= start}
    labelled = stored_labels.standing_of_series(session, ids.tolist())[-MOST_LABELS:]
    for grid in grids(session, partition, slots, start, end):
        there = partition.slots_of(grid.series_ids)
        history = history_of(partition, grid, excluded)
        raw = replace(history, values=grid.values)
        inside = _columns_of_window(history, asked)
        if inside.start >= inside.stop:
            continue
        for lesson in lessons(session, partitions, partition, there, history.within(inside), excluded):
            mine = there[lesson.rows]
            yield Candidates(
                slots=mine,
                ids=grid.series_ids[lesson.rows],
                lesson=lesson,
                window=inside,
                history=history.of_series(lesson.rows),
                raw=raw.of_series(lesson.rows),
                to_fit=partition.to_fit(mine),
                old=_old_baselines(partition, mine),
                life=take(partition.life, mine),
                point_count=partition.columns["point_count"][mine],
                last_at=partition.columns["last_at"][mine],
                trained_to=partition.columns["anchor_at"][mine],
                newest_log=partition.newest_log,
                pace=_pace_since(partition, mine),
                needed=_needed(partition, mine, grid.cadence),
                threshold=partition.bars(mine).threshold,
                size=_owners_size(partition, mine),
                standing=Standing(
                    fitted=np.zeros(mine.size, bool),
                    trained=_is_trained(partition, mine),
                    other=partition.columns["model"][mine] != partition.to_fit(mine),
                    in_gap=np.isin(mine, in_gap),
                    has_new_level=np.isin(grid.series_ids[lesson.rows], list(changed)),
                    overdue=_is_overdue(partition, mine, asked),
                    forced=asked.force,
                    by_night=asked.overdue is not None,
                ),
                labels=[each for each in labelled if each.series_id in set(grid.series_ids[lesson.rows].tolist())],
            )


def _with_more(excluded: Exclusions, ids: Ints, asked: Asked) -> Exclusions:
    if not asked.without:
        return excluded
    start, end = np.array(asked.without, np.int64).T
    return replace(excluded, shared=[*excluded.shared, SharedSpans(ids, start, end)])


def _reach(partition: Partition, slots: Ints, asked: Asked) -> tuple[int, int]:
    """As far back as a training looks, or farther where a window was asked for."""
    start, end = window(partition, slots)
    if asked.start is not None and asked.start < start:
        longest = LONGEST_WINDOW_STEPS * int(np.maximum(partition.columns["cadence"][slots], 1).max())
        start = max(asked.start, int(partition.columns["first_at"][slots].min()), end - longest)
    return start, end


def _columns_of_window(history: History, asked: Asked) -> slice:
    first = 0 if asked.start is None else int(np.searchsorted(history.timestamp, asked.start))
    behind = history.timestamp.size if asked.end is None else int(np.searchsorted(history.timestamp, asked.end))
    return slice(first, behind)


def _old_baselines(partition: Partition, slots: Ints) -> list[tuple[Detector, Ints, Fields]]:
    code = partition.columns["model"][slots]
    found = []
    for each in np.unique(code).tolist():
        mine, model = np.flatnonzero(code == each), partition.models[each]
        rows = partition.columns["row"][slots[mine]].astype(np.int64)
        found.append((model.detector, mine, take(model.baseline, rows)))
    return found


def _is_trained(partition: Partition, slots: Ints) -> Bools:
    trained = np.zeros(slots.size, bool)
    for _, mine, baseline in _old_baselines(partition, slots):
        trained[mine] = baseline["trained"]
    return trained


def _is_overdue(partition: Partition, slots: Ints, asked: Asked) -> Bools:
    since = partition.columns["refused_since"][slots]
    return (since > 0) & (since <= (asked.overdue or 0))


def _owners_size(partition: Partition, slots: Ints) -> Floats:
    sizes = np.array([each.settings.change_to_hear for each in partition.regimes.resolved])
    return np.asarray(sizes[partition.columns["regime"][slots]])


def _needed(partition: Partition, slots: Ints, cadence: int) -> Floats:
    """Points that a baseline needs: the ground for alerts, and most of two weeks where the series has them."""
    count, first, last = (partition.columns[name][slots] for name in ("point_count", "first_at", "last_at"))
    pace = count / np.maximum((last - first) / cadence + 1, 1)  # points a step
    weeks = training.LEARNING_DAYS * training.DAY / cadence * np.minimum(pace, 1.0)
    ground = training.ALERT_AFTER_DAILY_POINTS if cadence >= training.DAY else training.ALERT_AFTER_POINTS
    return np.maximum(NEEDED * np.minimum(count, weeks), ground).astype(float)


def _pace_since(partition: Partition, slots: Ints) -> Floats:
    """How many points came since the last training, as a share of as many as usual; 1 where that is too short ago.

    Points that come at half the pace change the cadence: on the new grid none is missing.
    """
    names = ("point_count", "since_anchor", "first_at", "anchor_at", "last_at")
    count, since, first, anchor, last = (partition.columns[name][slots] for name in names)
    usual = np.maximum(count - since, 0) / np.maximum(anchor - first, 1) * (last - anchor)
    return np.where((anchor > first) & (usual >= FEWEST_PACE), since / np.maximum(usual, 1e-9), 1.0)
