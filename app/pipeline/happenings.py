"""Put events and gaps where scoring finds them, and say what a change of them means for the series concerned."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
from sqlalchemy.orm import Session

from app.clock import wall_now
from app.partitions import checkpoint
from app.partitions.happenings import Happening, Happenings
from app.partitions.partition import UNKNOWN, Partition
from app.store import happenings as stored
from app.store.series import Matcher
from app.store.tables import Event, Gap
from detectors.contract import Ints
from feedback.events import Effect
from feedback.recurrence import occurrences

AHEAD = timedelta(days=400)
"""How far into the future events are laid out; that is done anew twice a day."""
EFFECT_FIELDS = ("series_id", "factor", "shift", "rise", "fall")


@dataclass(frozen=True)
class Changed:
    """What a change of events or gaps means. released: ids of series whose runs it ended.

    again: ids of series to be scored again, each from `since` on (unix seconds).
    """

    released: list[int] = field(default_factory=list)
    again: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    since: int = 0


def read(session: Session, partition: Partition) -> Happenings:
    """The standing events and the unfilled gaps, with those of their series that the partition holds."""
    until = wall_now() + AHEAD
    events = [_event(session, partition, event, until) for event in stored.standing(session, Event)]
    gaps = [_gap(session, partition, gap) for gap in stored.standing(session, Gap) if stored.judged_as_missing(gap)]
    return Happenings(events, gaps)


def heed(partition: Partition, happenings: Happenings, changed: Changed) -> None:
    """Judge by these from the next point on, and let go and score again what the change concerns."""
    partition.happenings = happenings
    released, again = (partition.slots_of(ids) for ids in (changed.released, changed.again))
    partition.release(released[released != UNKNOWN])
    partition.judge_again_from(again[again != UNKNOWN], changed.since)


def packed(effect: Effect | None) -> bytes | None:
    """An effect as it is stored with its event."""
    return checkpoint.encode({name: getattr(effect, name) for name in EFFECT_FIELDS}) if effect else None


def unpacked(learned: bytes | None) -> Effect | None:
    return Effect(**checkpoint.decode(learned)) if learned else None


def _event(session: Session, partition: Partition, event: Event, until: datetime) -> Happening:
    start, end = stored.as_seconds(occurrences(stored.recurring(event), until))
    happening = Happening(event.id, start, end, _matcher(event), unpacked(event.learned), event.label_id or 0)
    _fill(happening, partition, stored.series_ids_of(session, event))
    return happening


def _gap(session: Session, partition: Partition, gap: Gap) -> Happening:
    start = np.array([int(gap.started_at.timestamp())])
    end = np.array([int(gap.ended_at.timestamp()) if gap.ended_at else stored.FAR_FUTURE])
    is_found = stored.was_found(gap)
    matcher = _matcher(gap) if gap.token_id is None and not is_found else None
    happening = Happening(gap.id, start, end, matcher, label_id=gap.label_id or 0, is_found=is_found)
    _fill(happening, partition, stored.series_ids_of(session, gap))
    return happening


def _matcher(about: Event | Gap) -> Matcher | None:
    return Matcher(about.metric, about.dimensions) if about.series_id is None else None


def _fill(happening: Happening, partition: Partition, series_ids: Ints) -> None:
    slots = partition.slots_of(series_ids)
    ours = slots != UNKNOWN
    happening.join(slots[ours], series_ids[ours])
