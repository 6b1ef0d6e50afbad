"""The fall-back in the act: `basic`, trained at once on what is stored of a series whose own detector failed on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import structlog
from sqlalchemy.orm import Session

from app.partitions.model import Model
from app.partitions.partition import DEFAULT_DETECTOR, Partition
from app.partitions.stand_ins import STAND_IN
from app.store import choices, points
from app.store.happenings import exclusions
from app.store.points import PointBatch
from detectors import registry, training
from detectors.calendar import local_seconds
from detectors.contract import Fields, Floats, History, Ints
from feedback.training_mask import Exclusions, learnable

log = structlog.get_logger()

FALL_BACK = STAND_IN
NOT_COMPARED = "the default, until it has history enough to compare detectors on"
WINDOW_SECONDS = 70 * training.DAY
MOST_STEPS = 50_000
MOST_CELLS = 2_000_000
MOST_SERIES = 256


@dataclass(frozen=True)
class Past:
    """What is known of some series up to the moment from which they are judged."""

    slots: Ints
    history: History


PastOf = Callable[[Partition, Ints, Ints], Iterator[Past]]
"""Slots, and for each the unix seconds up to which (S,), to their histories; of no slot twice, of none left out."""


@dataclass(frozen=True)
class FellBack:
    """Series that the fall-back judges from this batch on.

    baseline, state: rows of its model as trained. life, anchor_at: as they were before the first point that is judged.
    judged_state: after the batch. point_count: points judged. why: a reason for each.
    """

    slots: Ints
    baseline: Fields
    state: Fields
    judged_state: Fields
    life: Fields
    anchor_at: Ints
    point_count: Ints
    why: list[str]


def trained_on(past: Past) -> Model:
    """A model of the fall-back with a row for each series of the past, in its order."""
    model = Model(registry.get(FALL_BACK))
    model.learn(model.add_rows(past.slots.size), *model.detector.fit(past.history))
    return model


def stand_in(partition: Partition, fell_back: FellBack) -> None:
    """Let the fall-back judge these series until their next training, which fits their own detector again."""
    rows = partition.move(fell_back.slots, FALL_BACK)
    model = partition.models[partition.model_code(FALL_BACK)]
    model.learn(rows, fell_back.baseline, fell_back.state)
    model.remember(rows, fell_back.judged_state)
    partition.anchor_before(fell_back.slots, fell_back.anchor_at, fell_back.life, fell_back.point_count)
    for slot, why in zip(fell_back.slots.tolist(), fell_back.why, strict=True):
        log.warning("detector_fell_back", series=int(partition.columns["series_id"][slot]), reason=why)


def train_stand_ins(partition: Partition, slots: Ints, until: Ints, past: PastOf) -> None:
    """Let the basic detector learn the series that it is to judge in place of their own, up to these unix seconds."""
    for known in past(partition, slots, until):
        partition.stand_ins.learn(known.slots, *partition.stand_ins.model.detector.fit(known.history))


def record(session: Session, partition: Partition, those: Sequence[FellBack]) -> None:
    """Say why, for whoever looks at the series."""
    failed = {
        int(partition.columns["series_id"][slot]): why
        for each in those
        for slot, why in zip(each.slots.tolist(), each.why, strict=True)
    }
    if failed:
        choices.record_fall_backs(session, (), failed, detector=DEFAULT_DETECTOR, reason=NOT_COMPARED)


def stored_past(session: Session) -> PastOf:
    """The past as the database holds it, less what must not be learned from."""

    def past(partition: Partition, slots: Ints, until: Ints) -> Iterator[Past]:
        excluded = exclusions(session, datetime.fromtimestamp(int(until.max()), UTC))
        for here in _alike(partition, slots):
            yield _read(session, partition, slots[here], until[here], excluded)

    return past


def _alike(partition: Partition, slots: Ints) -> Iterator[Ints]:
    """Positions of slots of one zone, cadence and country each, few enough to hold their past in memory."""
    cadence = _pace(partition, slots)
    alike = np.stack([partition.columns["zone"][slots], cadence, partition.country(slots)], axis=1)
    for one in np.unique(alike, axis=0):
        mine = np.flatnonzero((alike == one).all(axis=1))
        steps = min(WINDOW_SECONDS // int(one[1]) + 1, MOST_STEPS)
        size = int(np.clip(MOST_CELLS // steps, 1, MOST_SERIES))
        for start in range(0, mine.size, size):
            yield mine[start : start + size]


def _pace(partition: Partition, slots: Ints) -> Ints:
    cadence = partition.columns["cadence"][slots]
    return np.where(cadence > 0, cadence, training.HOUR).astype(np.int64)


def _read(session: Session, partition: Partition, slots: Ints, until: Ints, excluded: Exclusions) -> Past:
    cadence = int(_pace(partition, slots)[0])
    ids = partition.columns["series_id"][slots]
    end = int(until.max())
    start = end - min(WINDOW_SECONDS, MOST_STEPS * cadence)
    stored = points.read_points(session, ids.tolist(), start, end + 1)
    steps = np.arange(start // cadence, end // cadence + 2)
    place = training.steps_of(stored.timestamp, cadence) - steps[0]
    after = np.full(steps.size, np.nan)
    after[place] = training.after_their_steps(stored.timestamp, cadence)
    timestamp = training.times_of(steps, after, cadence)
    values, weights = _cells(stored, ids, until, place, steps.size)
    zone = partition.zones.names[int(partition.columns["zone"][slots[0]])]
    local = local_seconds(timestamp, zone)
    kinds = partition.kinds_of_day(slots[:1], local)
    history = History(values, timestamp, local, cadence, weights, kinds, partition.columns["metric"][slots])
    return Past(slots, learnable(history, ids, excluded))


def _cells(stored: PointBatch, ids: Ints, until: Ints, place: Ints, steps: int) -> tuple[Floats, Floats | None]:
    """Values and weights on a grid of so many steps, (S, N): what lies after a series' `until` left out."""
    order = np.argsort(ids)
    row = order[np.searchsorted(ids[order], stored.series)]
    known = np.flatnonzero(stored.timestamp <= until[row])
    cells = row[known], place[known]
    values = np.full((ids.size, steps), np.nan)
    values[cells] = stored.value[known]
    if np.isnan(stored.weight).all():
        return values, None
    weights = np.full_like(values, np.nan)
    weights[cells] = stored.weight[known]
    return values, weights
