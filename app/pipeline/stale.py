"""End anomalies of series that have gone silent: nothing that comes could end them any more."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import structlog

from app.alerts import life as lives
from app.alerts.rules import Delivery
from app.clock import wall_now
from app.partitions.partition import Partition
from app.pipeline import alert, score
from app.pipeline.ingest import Committer
from detectors.contract import Ints

log = structlog.get_logger()

SILENT_SECONDS = 86_400
SILENT_STEPS = 10


def end_silent(committer: Committer, now: datetime) -> int:
    """End every told run whose series sent nothing for a day, or ten of its steps if that is longer."""
    return committer.call(lambda: sum(_end_silent(committer, partition, now) for partition in committer.partitions))


def _end_silent(committer: Committer, partition: Partition, now: datetime) -> int:
    slots = silent(partition, int(now.timestamp()))
    if not slots.size:
        return 0
    transitions = [score.ended_by_silence(partition, int(slot), int(now.timestamp())) for slot in slots]
    recording = alert.Recording(
        series_id=lambda slot: int(partition.columns["series_id"][slot]),
        delivery=lambda _transition: Delivery.LIVE,
        wall_now=wall_now(),
        now=now,
    )
    with committer.database.writing() as session:
        due = alert.record(session, transitions, recording)
    partition.life["closed_at"][slots] = int(now.timestamp())
    partition.touch(slots)
    log.info("silent_anomalies_ended", partition=partition.number, count=int(slots.size))
    if due:
        committer.told()
    return int(slots.size)


def silent(partition: Partition, now: int) -> Ints:
    """Slots with a told run whose series has sent nothing for long."""
    told = np.flatnonzero(lives.is_told(partition.life)[: partition.count])
    patience = np.maximum(SILENT_SECONDS, SILENT_STEPS * partition.columns["cadence"][told])
    quiet: Ints = told[now - partition.columns["last_at"][told] > patience]
    return quiet
