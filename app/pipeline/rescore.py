"""Score again the series whose points came late or were corrected, as if all had come in their order.

From the state that the last training left, over all points stored since, so that the outcome does not depend on the
order of arrival (guarantee 5). It runs on the committer's thread, a little after the points, so that a hundred late
points cost one scoring; series that have nothing late cost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import structlog
from sqlalchemy.orm import Session

from app.alerts.rules import Delivery
from app.clock import wall_now
from app.partitions.partition import Partition
from app.pipeline import fall_back, recover, score, stale
from app.pipeline.amend import Again, amend
from app.pipeline.ingest import Committer
from app.pipeline.score import Judged, Transition
from app.store import points
from app.store.points import PointBatch
from detectors.contract import Fields, Ints, take

log = structlog.get_logger()

SCORES = ("expected", "lower", "upper", "rarity")
PORTION_SERIES = 2_000
MOST_POINTS = 3_000
"""Points of a series since its last training up to which it is scored again: 2 days of minutes, about half a second."""


def score_again(committer: Committer, now: datetime, *, asked: Delivery | None = None) -> int:
    """Score again every series that waits for it; returns how many. asked: who is told of new alerts, by default
    everybody of fresh ones.
    """
    return sum(_partition_again(committer, number, now, asked) for number in range(len(committer.partitions)))


def _partition_again(committer: Committer, number: int, now: datetime, asked: Delivery | None) -> int:
    waiting = committer.call(lambda: _waiting(committer.partitions[number]))
    for start in range(0, waiting.size, PORTION_SERIES):
        portion = waiting[start : start + PORTION_SERIES]
        committer.call(lambda slots=portion: _portion_again(committer, number, slots, now, asked))  # type: ignore[misc]
    return int(waiting.size)


def _waiting(partition: Partition) -> Ints:
    """Slots with late points, less those that have too many points since their training and wait for the next one."""
    late = np.flatnonzero(partition.columns["late_at"][: partition.count])
    too_many = partition.columns["since_anchor"][late] > MOST_POINTS
    if too_many.any():
        partition.columns["late_at"][late[too_many]] = 0
        partition.touch(late[too_many])
        log.info("late_points_wait_for_training", partition=partition.number, series=int(too_many.sum()))
    return late[~too_many]


def _portion_again(committer: Committer, number: int, slots: Ints, now: datetime, asked: Delivery | None) -> None:
    partition = committer.partitions[number]
    with committer.reloading(number), committer.database.writing() as session:
        since = _since_training(session, partition, slots)
        past = fall_back.stored_past(session)
        known = score.Batch(since.slot, since.batch.timestamp, since.batch.value, score.given(since.batch.weight))
        judged = score.judge_again(partition, known, past)
        fall_back.record(session, partition, judged.fell_back)
        rescored = _with_scores(since, judged, partition.columns["late_at"])
        log_id = partition.newest_log
        if len(rescored):
            log_id = points.append_log(
                session,
                partition=number,
                batch_id=f"again-{number}-{wall_now().isoformat()}",
                received_at=wall_now(),
                batch=rescored,
            )
        going_on = _known_before(partition, slots)
        ended = take(partition.life, slots)
        score.install(partition, judged, log_id)
        silent = stale.silent(partition, int(now.timestamp()))
        _keep_ended(partition, slots, ended, silent)
        due = amend(
            session,
            {slot: _again(partition, slot, silent) for slot in slots.tolist()},
            judged.transitions,
            before=going_on,
            now=now,
            wall_now=wall_now(),
            asked=asked,
        )
        recover.release_closed(session, partition, slots)
        recover.save(session, partition)
    recover.saved(partition)
    if len(rescored):
        partition.keep_tail(rescored, log_id, wall_now())
    if due:
        committer.told()
    log.info("scored_again", partition=number, series=int(slots.size), points=len(since.batch), changed=len(rescored))


def catch_up(session: Session, partition: Partition) -> int:
    """Show detectors the points since their anchor that others judged in their place, and judge nothing anew.

    Within the caller's transaction; returns how many series had some. What was told of these points stands.
    """
    slots = np.flatnonzero(partition.columns["since_anchor"][: partition.count])
    past = fall_back.stored_past(session)
    for start in range(0, slots.size, PORTION_SERIES):
        since = _since_training(session, partition, slots[start : start + PORTION_SERIES])
        known = score.Batch(since.slot, since.batch.timestamp, since.batch.value, score.given(since.batch.weight))
        for code, rows, state in score.judge_again(partition, known, past).states:
            partition.models[code].remember(rows, state)
    return int(slots.size)


@dataclass(frozen=True)
class _Since:
    """Points since the training of their series, by series and time; `slot` (n,) beside the columns of the batch."""

    slot: Ints
    batch: PointBatch


def _since_training(session: Session, partition: Partition, slots: Ints) -> _Since:
    ids, anchors, last = (partition.columns[name][slots] for name in ("series_id", "anchor_at", "last_at"))
    stored = points.read_points(session, ids.tolist(), int(anchors.min()) + 1, int(last.max()) + 1)
    order = np.argsort(ids)
    slot = slots[order][np.searchsorted(ids[order], stored.series)]
    counted = stored.timestamp > partition.columns["anchor_at"][slot]
    return _Since(slot[counted], _only(stored, np.flatnonzero(counted)))


def _only(batch: PointBatch, rows: Ints) -> PointBatch:
    return PointBatch(*(getattr(batch, name)[rows] for name in PointBatch.__dataclass_fields__))


def _with_scores(since: _Since, judged: Judged, late_at: Ints) -> PointBatch:
    """The points from the first late one of their series on, with their new scores; those before have theirs."""
    rows = np.flatnonzero(since.batch.timestamp >= late_at[since.slot])
    with np.errstate(over="ignore"):
        fresh = [getattr(judged, name)[rows].astype(np.float32) for name in SCORES]
    expected, lower, upper, rarity = fresh
    batch = _only(since.batch, rows)
    return replace(batch, expected=expected, lower=lower, upper=upper, rarity=rarity)


def _known_before(partition: Partition, slots: Ints) -> list[Transition]:
    """The runs as the training found them: those that nothing happens to since then stand as they were."""
    ran = slots[partition.anchor_life["told_at"][slots] > 0]
    return [score.as_trained(partition, slot) for slot in ran.tolist()]


def _keep_ended(partition: Partition, slots: Ints, before: Fields, silent: Ints) -> None:
    """A run that the silence of its series had ended stays so while the series is silent."""
    same = before["opened_at"] == partition.life["opened_at"][slots]
    rows = np.flatnonzero(same & (before["closed_at"] > 0) & np.isin(slots, silent))
    partition.life["closed_at"][slots[rows]] = before["closed_at"][rows]


def _again(partition: Partition, slot: int, silent: Ints) -> Again:
    series_id, anchor_at, cadence = (
        int(partition.columns[name][slot]) for name in ("series_id", "anchor_at", "cadence")
    )
    return Again(series_id, anchor_at, cadence, silent=bool((silent == slot).any()))
