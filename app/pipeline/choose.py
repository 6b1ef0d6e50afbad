"""Choose for each series the detector that did best on the end of its own past; the next training fits it.

Comparing costs far more than fitting, so it is not done for every series every night: series are compared once they
have learned, again after four weeks, so many a night, and the dear detectors only within a cost budget. It runs on the
thread of the job: points posted meanwhile wait for nothing but the record of the choice.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import numpy as np
import structlog

from app.partitions.partition import DEFAULT_DETECTOR, Partition
from app.pipeline.ingest import Committer
from app.pipeline.train import fold, grids, history_of, portions, window
from app.store import choices
from app.store.happenings import exclusions
from detectors import choice, registry, training
from detectors.contract import Ints
from feedback.training_mask import Exclusions

log = structlog.get_logger()

AGAIN_AFTER_DAYS = 28
MOST_A_NIGHT = 500
MOST_COLUMNS = 10_000
"""Newest steps of a history that are compared on: a year of hours, a week of minutes."""


def choose_detectors(committer: Committer, *, now: datetime, budget_ms: float, most: int = MOST_A_NIGHT) -> int:
    """Compare the detectors on the series that are due for it, so many in all at most; returns how many."""
    compared = 0
    for number in range(len(committer.partitions)):
        fold(committer, number)
        due = committer.call(lambda n=number: _due(committer.partitions[n], now))[: most - compared]  # type: ignore[misc]
        if not due.size:
            continue
        with committer.database.reading() as session:
            excluded = exclusions(session, now)
        for portion in portions(committer, number, due):
            budget_ms -= _compare(committer, number, portion, excluded, now, budget_ms)
            compared += portion.size
    return compared


def _due(partition: Partition, now: datetime) -> Ints:
    """Slots that have learned, and were never compared or not for weeks; those that wait longest first."""
    column = {name: array[: partition.count] for name, array in partition.columns.items()}
    learned = column["last_at"] - column["first_at"] >= training.LEARNING_DAYS * training.DAY
    waited = now.timestamp() - column["chosen_at"] >= AGAIN_AFTER_DAYS * training.DAY
    free = np.array([each.settings.must_judge is None for each in partition.regimes.resolved])[column["regime"]]
    due = np.flatnonzero(learned & waited & free & (column["cadence"] > 0))
    return due[np.argsort(column["chosen_at"][due], kind="stable")]


def _compare(
    committer: Committer, number: int, slots: Ints, excluded: Exclusions, now: datetime, budget_ms: float
) -> float:
    """Returns what of the budget was spent."""
    partition = committer.partitions[number]
    start, end = window(partition, slots)
    start = max(start, end - MOST_COLUMNS * int(partition.columns["cadence"][slots].max()))
    others = [each for each in registry.DETECTORS.values() if each.name != DEFAULT_DETECTOR]
    chosen: dict[int, tuple[str, str]] = {}
    spent_ms = 0.0
    with committer.database.reading() as session:
        for grid in grids(session, partition, slots, start, end):
            history = history_of(partition, grid, excluded)
            left_ms = budget_ms - spent_ms
            best = choice.choose(history, default=registry.get(DEFAULT_DETECTOR), others=others, budget_ms=left_ms)
            spent_ms += best.spent_ms
            reasons = zip(best.detector, best.reason, strict=True)
            chosen |= dict(zip(grid.series_ids.tolist(), reasons, strict=True))
    committer.call(lambda: _record(committer, number, chosen, now))
    return spent_ms


def _record(committer: Committer, number: int, chosen: dict[int, tuple[str, str]], now: datetime) -> None:
    with committer.database.writing() as session:
        choices.record(session, chosen, now)
    partition = committer.partitions[number]
    partition.choose(partition.slots_of(chosen), [detector for detector, _ in chosen.values()], int(now.timestamp()))
    log.info("detectors_chosen", partition=number, **Counter(detector for detector, _ in chosen.values()))
