"""Checkpoint and recovery of a partition: state = last checkpoint + replay of the log after it.

The anomalies and alerts of a log row were committed with it, so a replay only rebuilds numbers and tells nobody.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
import structlog
from sqlalchemy.orm import Session

from app.alerts import life as lives
from app.alerts.policy import Policies
from app.clock import wall_now
from app.partitions import checkpoint
from app.partitions.model import BLOCK, Model
from app.partitions.partition import REBUILT, UNKNOWN, USUAL, Partition, Switches
from app.partitions.regime import Regimes
from app.pipeline import fall_back, happenings, score
from app.pipeline.alert import as_time
from app.pipeline.policies import members
from app.store import alerts as stored_alerts
from app.store import choices, points, states
from detectors import registry
from detectors.contract import Bools, Fields, Floats, Ints, take
from feedback.tolerance import Tolerances

log = structlog.get_logger()

SERIES_KIND, ANCHOR_KIND = "series", "anchor"
LIFE_PREFIX = "life."
ARRIVAL_PREFIX = "arrival."
LIVE_SINCE = ARRIVAL_PREFIX + "live_since"


def load(
    session: Session, number: int, tolerances: Tolerances, policies: Policies, switches: Switches = USUAL
) -> Partition:
    """The partition as it was after its last commit."""
    partition = Partition(number)
    partition.switches = switches
    partition.tolerances = tolerances
    partition.regimes = Regimes(policies)
    known = members(session, number)
    blocks = states.blocks_of(session, number)
    saved = {block: checkpoint.decode(arrays) for (kind, block), arrays in blocks.items() if kind == SERIES_KIND}
    _make_room(partition, saved)
    for model in partition.models:
        _restore_model(model, blocks)
    restored = _restore_series(partition, saved)
    _restore_anchors(partition, blocks)
    partition.take_back(known, restored)
    partition.happenings = happenings.read(session, partition)
    _restore_choices(session, partition)
    replayed = _replay(session, partition)
    release_closed(session, partition, np.arange(partition.count))
    _forget_untold(session, partition)
    log.info("partition_loaded", partition=number, series=len(known), replayed_points=replayed)
    return partition


def save(session: Session, partition: Partition, baseline_version: int | None = None) -> None:
    """Write every block that changed since the last checkpoint, within the caller's transaction."""
    for block in sorted(partition.dirty_blocks):
        rows = _rows(block, partition.count)
        fields = {n: a[rows] for n, a in partition.columns.items() if n not in REBUILT}
        fields |= {LIFE_PREFIX + name: array[rows] for name, array in partition.life.items()}
        fields |= {ARRIVAL_PREFIX + name: array[rows] for name, array in partition.arrivals.columns.items()}
        states.put_block(session, partition.number, SERIES_KIND, block, checkpoint.encode(fields))
    for block in sorted(partition.dirty_anchors):
        arrays = checkpoint.encode(take(partition.anchor_life, _rows(block, partition.count)))
        states.put_block(session, partition.number, ANCHOR_KIND, block, arrays)
    for model in partition.models:
        for block in sorted(model.dirty_baselines):
            rows = _rows(block, model.count)
            arrays = checkpoint.encode(take(model.baseline, rows))
            states.put_block(session, partition.number, _kind("baseline", model), block, arrays, baseline_version)
            arrays = checkpoint.encode(take(model.anchor, rows))
            states.put_block(session, partition.number, _kind("anchor", model), block, arrays)
        for block in sorted(model.dirty_states):
            arrays = checkpoint.encode(take(model.state, _rows(block, model.count)))
            states.put_block(session, partition.number, _kind("state", model), block, arrays)


def saved(partition: Partition) -> None:
    """The checkpoint is committed."""
    partition.dirty_blocks.clear()
    partition.dirty_anchors.clear()
    for model in partition.models:
        model.dirty_baselines.clear()
        model.dirty_states.clear()


def _kind(part: str, model: Model) -> str:
    return f"{part}:{model.detector.name}:{model.detector.version}"


def _rows(block: int, count: int) -> Ints:
    return np.arange(block * BLOCK, min((block + 1) * BLOCK, count))


def _make_room(partition: Partition, saved_blocks: dict[int, Fields]) -> None:
    """Rows for every model that the checkpoint speaks of."""
    for code, model in enumerate(partition.models):
        rows = [fields["row"][fields["model"] == code].max(initial=-1) for fields in saved_blocks.values()]
        model.add_rows(int(max(rows, default=-1)) + 1)


def _restore_model(model: Model, blocks: dict[tuple[str, int], bytes]) -> None:
    """Rows whose detector has meanwhile changed its version stay cold, and are trained again soon."""
    for (kind, block), arrays in blocks.items():
        for part, fields in (("baseline", model.baseline), ("state", model.state), ("anchor", model.anchor)):
            if kind == _kind(part, model):
                _overwrite(fields, block, checkpoint.decode(arrays))
    model.dirty_baselines.clear()
    model.dirty_states.clear()


def _overwrite(fields: Fields, block: int, restored: Fields) -> None:
    for name, array in restored.items():
        if name in fields and len(fields[name]):
            end = min(block * BLOCK + len(array), len(fields[name]))
            fields[name][block * BLOCK : end] = array[: end - block * BLOCK]


def _restore_series(partition: Partition, saved_blocks: dict[int, Fields]) -> set[int]:
    """Fill columns and life from the checkpoint; returns the slots it knew."""
    restored: set[int] = set()
    for block, fields in saved_blocks.items():
        count = len(fields["row"])
        partition.make_room(block * BLOCK + count)
        rows = np.arange(block * BLOCK, block * BLOCK + count)
        for name, array in fields.items():
            into, own_name = _where(partition, name)
            if own_name in into:
                into[own_name][rows] = array
        if LIVE_SINCE not in fields:  # saved before that was noted
            partition.arrivals.columns["live_since"][rows] = fields["first_at"]
        restored.update(rows.tolist())
    return restored


def _where(partition: Partition, name: str) -> tuple[Fields, str]:
    """Which of the partition's fields a saved one belongs to, and its name there."""
    if name.startswith(LIFE_PREFIX):
        return partition.life, name.removeprefix(LIFE_PREFIX)
    if name.startswith(ARRIVAL_PREFIX):
        return partition.arrivals.columns, name.removeprefix(ARRIVAL_PREFIX)
    return partition.columns, name


def _restore_choices(session: Session, partition: Partition) -> None:
    """A detector that is no longer known is chosen anew."""
    for chosen in choices.of_partition(session, partition.number):
        if chosen.detector in registry.DETECTORS:
            at = int(chosen.at.timestamp()) if chosen.at else 0
            partition.choose(np.array([chosen.slot]), [chosen.detector], at)


def _restore_anchors(partition: Partition, blocks: dict[tuple[str, int], bytes]) -> None:
    for (kind, block), arrays in blocks.items():
        if kind == ANCHOR_KIND:
            _overwrite(partition.anchor_life, block, checkpoint.decode(arrays))


def _replay(session: Session, partition: Partition) -> int:
    """Score the log once more, in its order and its grouping, for the state alone."""
    replayed = 0
    past = fall_back.stored_past(session)
    for log_id, batch in points.read_log(session, partition.number):
        slots = partition.slots_of(batch.series)
        new = slots != UNKNOWN
        new[new] = partition.columns["seen_log"][slots[new]] < log_id
        known = score.Batch(slots[new], batch.timestamp[new], batch.value[new], score.given(batch.weight[new]))
        judged = score.judge(partition, known, past)
        note_arrivals(partition, slots[new], batch.timestamp[new], batch.value[new])
        score.install(partition, judged, log_id)
        partition.keep_tail(batch, log_id, wall_now())
        replayed += int(new.sum())
    return replayed


def note_arrivals(
    partition: Partition,
    slot: Ints,
    timestamp: Ints,
    value: Floats,
    *,
    corrected: Bools | None = None,
    now: datetime | None = None,
) -> None:
    """Count points (n,) that are not installed yet as they have come; nobody knows when those of a replay came."""
    order = np.lexsort((timestamp, slot))
    slots = slot[order]
    partition.arrivals.note(
        slots,
        timestamp[order],
        value[order],
        last_at=partition.columns["last_at"][slots],
        cadence=partition.columns["cadence"][slots],
        corrected=np.zeros(slots.size, bool) if corrected is None else corrected[order],
        now=now,
    )


def _forget_untold(session: Session, partition: Partition) -> None:
    """Runs that a replay under today's labels takes for told, though nobody was: their next strange point tells."""
    told = np.flatnonzero(lives.is_told(partition.life)[: partition.count])
    if not told.size:
        return
    keys = [(int(partition.columns["series_id"][s]), as_time(int(partition.life["opened_at"][s]))) for s in told]
    known = stored_alerts.anomalies_by_start(session, keys)
    untold = [s for s, key in zip(told, keys, strict=True) if key not in known or known[key].alert_id is None]
    partition.life["told_at"][untold] = 0


def newest(session: Session, number: int) -> int:
    """Newest event time of a partition's points, unix seconds; 0 where it has none."""
    blocks = states.blocks_of(session, number, kind=SERIES_KIND)
    checkpointed = (int(checkpoint.decode(arrays)["last_at"].max(initial=0)) for arrays in blocks.values())
    return max([points.newest_logged(session, number), *checkpointed])


def release_closed(session: Session, partition: Partition, slots: Ints) -> None:
    """Let go those runs whose alert somebody closed: what follows is a new run, and may be learned from."""
    ran = slots[lives.is_open(take(partition.life, slots))]
    ids = partition.columns["series_id"][ran].tolist()
    closed = stored_alerts.closed_runs(session, ids)
    over = [
        slot
        for slot, series_id in zip(ran.tolist(), ids, strict=True)
        if (series_id, int(partition.life["opened_at"][slot])) in closed
    ]
    if over:
        partition.release(np.array(over, np.int64))
