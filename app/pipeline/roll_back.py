"""Roll a retrain back: every series that it promoted has again what it had before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import structlog

from app.clock import wall_now
from app.errors import Conflict
from app.partitions.partition import UNKNOWN, Partition
from app.partitions.snapshot import restorable, restore
from app.pipeline import recover
from app.pipeline.ingest import Committer
from app.pipeline.rescore import score_again
from app.pipeline.retrain import existing
from app.store import retrains as stored
from app.store import states
from app.store.packing import Packed, pack
from app.store.tables import Retrain
from detectors.contract import Ints

log = structlog.get_logger()

KEPT = timedelta(days=30)
"""So long a retrain can be rolled back."""


@dataclass(frozen=True)
class RolledBack:
    """Ids of the series that have their old baselines again, and of those that keep theirs: a later retrain's."""

    restored: Ints
    kept: Ints


def roll_back(committer: Committer, retrain_id: int, *, by: str, now: datetime) -> RolledBack:
    """Bring back what every series that it promoted had before, except where a later retrain was. Raises Conflict.

    Where it had the baseline of a retrain that was rolled back meanwhile, it gets what it had before that.
    """
    with committer.database.reading() as session:
        retrain = existing(session, retrain_id)
        _refuse_rollback(retrain)
        is_kept = bool(stored.part_numbers(session, retrain_id))
    if retrain.promoted and not is_kept:
        raise Conflict(f"What was before is kept for {KEPT.days} days, which are over. Retrain with another window.")
    _restore(committer, retrain_id)
    with committer.database.writing() as session:
        retrain = existing(session, retrain_id)
        retrain.rolled_back_at, retrain.rolled_back_by = retrain.rolled_back_at or now, by
    score_again(committer, now)
    log.info("retrain_rolled_back", retrain=retrain_id, by=by)
    return rolled_back(committer, retrain_id)


def _refuse_rollback(retrain: Retrain) -> None:
    if retrain.cron:
        raise Conflict("This is a schedule. Roll back one of its runs: GET /v1/retrains?schedule_id= lists them.")
    if stored.is_of_a_night(retrain):
        raise Conflict("A night keeps nothing of before. Retrain without what is wrong: send `exclude` or `end`.")
    if retrain.status in (stored.SCHEDULED, stored.RUNNING):
        raise Conflict(f"The retrain is {retrain.status}. Cancel it first, with DELETE, or wait until it is done.")


def rolled_back(committer: Committer, retrain_id: int) -> RolledBack:
    """What a rollback did."""
    with committer.database.reading() as session:
        both = [stored.rolled_back_ids(each) for each in stored.parts(session, retrain_id)]
    nothing = np.zeros(0, np.int64)
    restored, kept = (np.sort(np.concatenate([nothing, *(pair[side] for pair in both)])) for side in (0, 1))
    return RolledBack(restored, kept)


def _restore(committer: Committer, retrain_id: int) -> None:
    with committer.database.reading() as session:
        numbers = stored.part_numbers(session, retrain_id)
    for number in numbers:
        committer.call(lambda number=number: _restore_part(committer, retrain_id, number))  # type: ignore[misc]
    for earlier in _rolled_back_before(committer, retrain_id):
        _restore(committer, earlier)


def _rolled_back_before(committer: Committer, retrain_id: int) -> list[int]:
    """Ids of earlier retrains that were rolled back, and that gave what a rollback of this one brought back."""
    restored = rolled_back(committer, retrain_id).restored

    def retrains_of(partition: Partition) -> Ints:
        slots = partition.slots_of(restored)
        return np.asarray(partition.columns["retrain"][slots[slots != UNKNOWN]], np.int64)

    found = committer.call(lambda: np.concatenate([retrains_of(each) for each in committer.partitions]))
    with committer.database.reading() as session:
        return stored.only_rolled_back(session, np.unique(found[found < retrain_id]).tolist())


def _restore_part(committer: Committer, retrain_id: int, number: int) -> None:
    """One commit: what a part's series had before, as a version of its own. Each of them is brought back once."""
    with committer.database.reading() as session:
        partition = committer.partitions[stored.part(session, retrain_id, number).partition]
    with committer.reloading(partition.number), committer.database.writing() as session:
        part = stored.part(session, retrain_id, number)
        if part.before is None:
            return
        planes = dict(Packed(part.before))
        slots = partition.slots_of(planes["series"])
        mine = (slots != UNKNOWN) & restorable(partition, planes)
        mine &= partition.columns["retrain"][np.maximum(slots, 0)] == retrain_id
        rows = np.flatnonzero(mine)
        if part.rolled_back is not None and not rows.size:
            return
        restored = np.union1d(stored.rolled_back_ids(part)[0], planes["series"][rows])
        part.rolled_back = pack({"restored": restored, "kept": np.setdiff1d(planes["series"], restored)})
        version = None
        if rows.size:
            restore(partition, slots[rows], planes, rows)
            version = states.new_version(
                session,
                partition=partition.number,
                reason=f"rollback of retrain {retrain_id}",
                series_count=rows.size,
                now=wall_now(),
            )
            partition.columns["version"][slots[rows]] = version
            partition.rest(slots[rows])
            recover.release_closed(session, partition, slots[rows])
        recover.save(session, partition, version)
    recover.saved(partition)


def forget_old(committer: Committer, now: datetime) -> str:
    """Drop what would roll back retrains of long ago, and what nights of long ago decided."""
    with committer.database.writing() as session:
        parts, nights = (forget(session, now - KEPT) for forget in (stored.forget_snapshots, stored.forget_nights))
    said = {"parts of old retrains can no longer be rolled back": parts, "old nights forgotten": nights}
    return ", ".join(f"{number} {what}" for what, number in said.items() if number)
