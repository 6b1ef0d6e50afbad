"""End open gaps on evidence: what was silent sends again, what was zero is not."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import structlog

from app.partitions.partition import UNKNOWN
from app.pipeline import gaps
from app.pipeline.ingest import Committer
from app.store import happenings as stored
from app.store import points
from app.store.tables import Gap
from detectors import loss
from detectors.contract import Ints

log = structlog.get_logger()

BACK = 0.5
"""Share of a gap's series that must be back for it to be over. The others send nothing that could be judged."""
SAMPLED = 50
BY_POINTS = "the points that came back"


def end_what_is_over(committer: Committer, now: datetime) -> int:
    """End every found gap whose series are back; returns how many."""
    with committer.database.reading() as session:
        open_gaps = [gap for gap in stored.standing(session, Gap) if gap.ended_at is None and stored.was_found(gap)]
        members = {gap.id: stored.series_ids_of(session, gap) for gap in open_gaps}
    ended = 0
    for gap in open_gaps:
        ended += _end_if_over(committer, gap, members[gap.id], now)
    return ended


def _end_if_over(committer: Committer, gap: Gap, members: Ints, now: datetime) -> bool:
    start = int(gap.started_at.timestamp())
    ids, cadence, wait = committer.call(lambda: _back(committer, gap, members))
    if not members.size or ids.size < BACK * members.size:
        return False
    sample = np.linspace(0, ids.size - 1, min(SAMPLED, ids.size)).astype(np.int64)
    with committer.database.reading() as session:
        batch = points.read_points(session, ids[sample].tolist(), start, int(now.timestamp()) + 1)
    since = []
    for series_id, step, usual in zip(ids[sample], cadence[sample], wait[sample], strict=True):
        mine = (batch.series == series_id) & np.isfinite(batch.value)
        if gap.origin == "zeros":
            mine &= batch.value != 0
        back = loss.back_since(batch.timestamp[mine], cadence=int(step), now=int(now.timestamp()), wait=float(usual))
        since += [back] if back is not None else []
    if len(since) < BACK * sample.size:
        return False
    at, longest = max(since), int(cadence.max())
    if at <= start + 2 * longest:  # its points came in one go, from the first on
        gaps.fill(committer, gap.id, now=now, by=BY_POINTS)
    else:
        gaps.end(committer, gap.id, at=datetime.fromtimestamp(at, UTC), now=now, by=BY_POINTS)
    log.info("gap_ended", gap=gap.id, by=BY_POINTS)
    return True


def _back(committer: Committer, gap: Gap, members: Ints) -> tuple[Ints, Ints, np.ndarray]:
    """Ids, cadences and usual waits of the series that have sent something since, that is not zero where it was."""
    start = int(gap.started_at.timestamp())
    ids, cadence, wait = [], [], []
    for partition in committer.partitions:
        slots = partition.slots_of(members)
        slots = slots[slots != UNKNOWN]
        slots = slots[partition.columns["last_at"][slots] >= start]
        if gap.origin == "zeros":
            slots = slots[partition.arrivals.columns["zero_run"][slots] == 0]
        ids.append(partition.columns["series_id"][slots].astype(np.int64))
        cadence.append(np.maximum(partition.columns["cadence"][slots], 1).astype(np.int64))
        wait.append(partition.arrivals.columns["wait"][slots])
    return np.concatenate(ids), np.concatenate(cadence), np.concatenate(wait)
