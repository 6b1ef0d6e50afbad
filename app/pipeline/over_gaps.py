"""End open gaps by themselves: on evidence that the data are back, or after the longest time that one may stay open.

What was silent sends again, what was zero is not, what was stuck moves, what was called bad looks normal again or has
been sent anew. A gap that somebody declared by hand stays open until somebody ends it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import structlog

from app.partitions.partition import UNKNOWN
from app.pipeline import gaps
from app.pipeline.ingest import Committer
from app.store import happenings as stored
from app.store import points
from app.store.points import PointBatch
from app.store.tables import Gap
from detectors import loss
from detectors.contract import Floats, Ints

log = structlog.get_logger()

BACK = 0.5
"""Share of a gap's series that must be back for it to be over. The others send nothing that could be judged."""
SAMPLED = 50
BY_POINTS = "the points that came back"
BY_NORMAL_POINTS = "points that look normal again"
BY_CORRECTIONS = "points that were sent again"
BY_AGE = "the longest time that a gap may stay open"


@dataclass(frozen=True)
class _Members:
    """The series of a gap that have sent something since it began; arrays (M,). wait: usual age of the newest point."""

    ids: Ints
    cadence: Ints
    wait: Floats

    def sample(self) -> _Members:
        rows = np.unique(np.linspace(0, self.ids.size - 1, SAMPLED).astype(np.int64))
        return _Members(self.ids[rows], self.cadence[rows], self.wait[rows])


def end_what_is_over(committer: Committer, now: datetime, longest: timedelta) -> int:
    """End every open gap that was found, or made by a verdict, and is over; returns how many."""
    with committer.database.reading() as session:
        open_gaps = [gap for gap in stored.standing(session, Gap) if gap.ended_at is None and _ends_by_itself(gap)]
        series = {gap.id: stored.series_ids_of(session, gap) for gap in open_gaps}
    return sum(_end_if_over(committer, gap, series[gap.id], now, longest) for gap in open_gaps)


def _ends_by_itself(gap: Gap) -> bool:
    return stored.was_found(gap) or gap.label_id is not None


def _end_if_over(committer: Committer, gap: Gap, series: Ints, now: datetime, longest: timedelta) -> bool:
    if now - max(gap.started_at, gap.created_at) >= longest:
        told = f"; given up after {longest.days} days, and judged again from now on"
        gaps.end(committer, gap.id, at=now, now=now, by=BY_AGE, told=told)
        log.info("gap_ended", gap=gap.id, by=BY_AGE)
        return True
    found = stored.was_found(gap)
    members = committer.call(lambda: _that_send(committer, gap, series))
    if not series.size or members.ids.size < BACK * series.size:
        return False
    if not found and gaps.was_corrected(committer, gap, now):
        gaps.fill(committer, gap.id, now=now, by=BY_CORRECTIONS)
        log.info("gap_ended", gap=gap.id, by=BY_CORRECTIONS)
        return True
    sample = members.sample()
    since = _back_since(committer, gap, sample, now)
    if len(since) < BACK * sample.ids.size:
        return False
    by, at = BY_POINTS if found else BY_NORMAL_POINTS, max(since)
    if found and at <= gap.started_at.timestamp() + 2 * int(members.cadence.max()):  # its points came in one go
        gaps.fill(committer, gap.id, now=now, by=by)
    else:
        gaps.end(committer, gap.id, at=datetime.fromtimestamp(at, UTC), now=now, by=by)
    log.info("gap_ended", gap=gap.id, by=by)
    return True


def _that_send(committer: Committer, gap: Gap, series: Ints) -> _Members:
    """Less those that were found at zero, or stuck, and still are."""
    start = int(gap.started_at.timestamp())
    ids, cadence, wait = [], [], []
    for partition in committer.partitions:
        slots = partition.slots_of(series)
        slots = slots[slots != UNKNOWN]
        slots = slots[partition.columns["last_at"][slots] >= start]
        if gap.origin == "zeros":
            slots = slots[partition.arrivals.columns["zero_run"][slots] == 0]
        elif gap.origin == "stuck":
            slots = slots[partition.arrivals.columns["repeat_run"][slots] == 0]
        ids.append(partition.columns["series_id"][slots].astype(np.int64))
        cadence.append(np.maximum(partition.columns["cadence"][slots], 1).astype(np.int64))
        wait.append(partition.arrivals.columns["wait"][slots])
    return _Members(np.concatenate(ids), np.concatenate(cadence), np.concatenate(wait))


def _back_since(committer: Committer, gap: Gap, members: _Members, now: datetime) -> list[int]:
    """Since when each of these series is back, of those that are; unix seconds."""
    start, present = int(gap.started_at.timestamp()), int(now.timestamp())
    with committer.database.reading() as session:
        batch = points.read_points(session, members.ids.tolist(), start, present + 1)
    since = []
    for series_id, step, wait in zip(members.ids, members.cadence.tolist(), members.wait.tolist(), strict=True):
        mine = (batch.series == series_id) & np.isfinite(batch.value)
        if stored.was_found(gap):
            rows = np.flatnonzero(mine)
            rows = rows[gaps.counts(gap, batch.value[rows])]
            back = loss.back_since(batch.timestamp[rows], cadence=step, now=present, wait=wait)
        else:
            back = _normal_since(batch, np.flatnonzero(mine), step)
        since += [back] if back is not None else []
    return since


def _normal_since(batch: PointBatch, rows: Ints, cadence: int) -> int | None:
    value = batch.value[rows]
    inside = (value >= batch.lower[rows]) & (value <= batch.upper[rows])
    return loss.normal_since(batch.timestamp[rows], value, inside, cadence)
