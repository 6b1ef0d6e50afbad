"""Count what a candidate detector would have told, beside the live ones.

Every night each candidate is trained on what was known two days before it was last counted, then judges all that has
come since, and counts what it tells after the last count. Those two days tell it which runs go on from the night
before: none counts twice, and no state of it need be kept. So it judges nothing that it has learned from, its counts
are rows of the database and outlive any restart, and without shadows nothing is done at all.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import structlog

from app.alerts import life as lives
from app.partitions.partition import GROUND, KINDS, UNKNOWN, Partition
from app.pipeline.fall_back import FALL_BACK
from app.pipeline.ingest import Committer
from app.pipeline.score import advance
from app.pipeline.train import fold, grids, history_of, portions, window
from app.store import series as stored_series
from app.store import shadows
from app.store.happenings import exclusions
from app.store.series import Matcher
from app.store.tables import Shadow
from detectors import choice, registry, training
from detectors.bars import Bars
from detectors.contract import Detector, Fields, Floats, History, Ints, Points, take
from feedback.training_mask import Exclusions

log = structlog.get_logger()

WARM_SECONDS = 2 * training.DAY
"""Longer than a run lasts before it ends by age, and its cool-down."""
WARM_SHARE = 4
"""Of a young series at most such a part of what it has is not learned."""
BUDGET_MS = 60_000.0
"""What fitting one candidate may cost a night: 200,000 series by the default detector, 120 by the dearest."""


def count_shadows(committer: Committer, now: datetime) -> int:
    """Bring the counts of every shadow up to date; returns how many there are."""
    with committer.database.reading() as session:
        standing = shadows.list_all(session)
        excluded = exclusions(session, now) if standing else Exclusions.none()
    for shadow in standing:
        if shadow.detector in registry.DETECTORS:
            _count(committer, shadow, excluded, now)
    return len(standing)


def _count(committer: Committer, shadow: Shadow, excluded: Exclusions, now: datetime) -> None:
    candidate = registry.get(shadow.detector)
    affordable = int(BUDGET_MS // choice.COST_MS.get(candidate.name, BUDGET_MS))
    with committer.database.reading() as session:
        found = stored_series.matching(session, Matcher(shadow.metric, shadow.dimensions))
    ids = [series.id for series in found[:affordable]]
    judged: list[int] = []
    told = 0
    for number in range(len(committer.partitions)):
        fold(committer, number)
        slots = committer.call(lambda n=number: _learned(committer.partitions[n], ids))  # type: ignore[misc]
        for portion in portions(committer, number, slots):
            told += _judge_portion(committer, number, portion, candidate, excluded, shadow.counted_until)
        judged += committer.partitions[number].columns["series_id"][slots].tolist()
    with committer.database.writing() as session:
        live = shadows.live_alerts(session, judged, shadow.counted_until, now)
        shadows.count(session, shadow.id, until=now, series_count=len(judged), would_be_alerts=told, live_alerts=live)
    log.info("shadow_counted", shadow=shadow.id, detector=candidate.name, would_be_alerts=told, live_alerts=live)


def _learned(partition: Partition, series_ids: list[int]) -> Ints:
    """Slots of those series of which there is ground for alerts."""
    slots = partition.slots_of(series_ids)
    slots = slots[slots != UNKNOWN]
    column = partition.columns
    ready = training.may_alert(*(column[name][slots] for name in GROUND))
    learned: Ints = slots[ready & (column["cadence"][slots] > 0)]
    return learned


def _judge_portion(
    committer: Committer, number: int, slots: Ints, candidate: Detector, excluded: Exclusions, since: datetime
) -> int:
    """How many runs of these series the candidate would have told of since then."""
    partition = committer.partitions[number]
    start, end = window(partition, slots)
    told = 0
    with committer.database.reading() as session:
        for grid in grids(session, partition, slots, start, end):
            history, learned = history_of(partition, grid, _of_all(excluded)), history_of(partition, grid, excluded)
            mine = partition.slots_of(grid.series_ids)
            up, down = (tolerance[mine] for tolerance in (partition.tolerance_up, partition.tolerance_down))
            first = int(np.searchsorted(history.timestamp, since.timestamp(), side="right"))
            told += would_tell(candidate, history, learned, first, partition.bars(mine), up, down)
    return told


def _of_all(excluded: Exclusions) -> Exclusions:
    """Events and gaps alone: what labels and open alerts exclude is not learned from, but it is judged."""
    return replace(Exclusions.none(), shared=excluded.shared, level_changes=excluded.level_changes)


def would_tell(
    candidate: Detector,
    history: History,
    learned: History,
    first: int,
    bars: Bars,
    tolerance_up: Floats,
    tolerance_down: Floats,
) -> int:
    """Runs that reach the threshold from column `first` on, by the candidate trained up to two days before it.

    A run that reached it in those two days is not counted again. history: what it judges; learned: the same without
    what must not be learned from. bars, tolerance_up, tolerance_down (decades): of each series, (S,). Series that it
    can't be trained on count none.
    """
    columns = history.timestamp.size
    if first < 2 or first >= columns:
        return 0
    begin = first - min(WARM_SECONDS // history.cadence, first // WARM_SHARE)
    past = learned.within(slice(begin))
    fitted = training.fit_many(candidate, past, fall_back=registry.get(FALL_BACK))
    rows = np.flatnonzero(np.array(fitted.detector) == candidate.name)
    if not rows.size:
        return 0
    baseline, state = (take(fields[candidate.name], rows) for fields in (fitted.baselines, fitted.states))
    life: Fields = lives.newborn(rows.size, KINDS)
    bars = bars.only(rows)
    up, down = bars.threshold + tolerance_up[rows], bars.threshold + tolerance_down[rows]
    told = 0
    for column in range(begin, columns):
        here = Points(
            row=np.arange(rows.size),
            timestamp=np.full(rows.size, history.timestamp[column]),
            local=np.full(rows.size, history.local[column]),
            value=history.values[rows, column],
            cadence=np.full(rows.size, history.cadence),
            frozen=lives.frozen(life),
            threshold_up=up,
            threshold_down=down,
            weight=None if history.weights is None else history.weights[rows, column],
            kinds_of_day=history.kinds_at(np.full(rows.size, column)),
        )
        scores, state = candidate.score(here, baseline, state)
        life, changes = advance(life, here, scores, bars, (up, down))
        told += int(changes.told.sum()) if column >= first else 0
    return told
