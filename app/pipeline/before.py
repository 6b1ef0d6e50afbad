"""What series knew before a new normal was learned, kept for a while so that its undo brings just that back."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from sqlalchemy.orm import Session

from app.partitions import checkpoint
from app.partitions.partition import UNKNOWN, Partition
from app.partitions.snapshot import restorable, restore, snapshot
from app.pipeline import recover
from app.pipeline.ingest import Committer
from app.store import desensitisations, states
from detectors.contract import Fields, Ints

KEPT = timedelta(days=2)
"""A night's training goes beyond what was before, so hardly anything older can be brought back."""
SINCE = "learned"
"""Plane of the baseline versions that the new normal gave: a series with another learned something else since."""


@dataclass(frozen=True)
class Before:
    """What some series of a partition knew before a new normal."""

    partition: int
    planes: Fields

    @property
    def series_ids(self) -> Ints:
        return self.planes["series"]


def what_was(committer: Committer, series_ids: Collection[int]) -> list[Before]:
    """What these series know now; to be kept once they have learned otherwise."""

    def taken() -> list[Before]:
        found = []
        for partition in committer.partitions:
            slots = partition.slots_of(sorted(series_ids))
            slots = slots[slots != UNKNOWN]
            if slots.size:
                found.append(Before(partition.number, snapshot(partition, slots)))
        return found

    return committer.call(taken)


def keep(committer: Committer, desensitisation_id: int, before: Collection[Before]) -> None:
    """Keep what was before a new normal that its series have learned just now."""

    def kept() -> None:
        with committer.database.writing() as session:
            for each in before:
                partition = committer.partitions[each.partition]
                slots = partition.slots_of(each.series_ids)
                planes = each.planes | {SINCE: np.where(slots == UNKNOWN, 0, partition.columns["version"][slots])}
                kind = states.before_kind(desensitisation_id)
                states.put_block(session, partition.number, kind, 0, checkpoint.encode(planes))

    committer.call(kept)


def still_there(committer: Committer, desensitisation_ids: Collection[int]) -> dict[int, list[Before]]:
    """Of these new normals what was before them, of the series that learned nothing else since."""

    def found() -> dict[int, list[Before]]:
        with committer.database.reading() as session:
            return {
                each: [
                    standing
                    for partition in committer.partitions
                    if (standing := _standing(session, partition, each)) is not None
                ]
                for each in desensitisation_ids
            }

    return committer.call(found)


def _standing(session: Session, partition: Partition, desensitisation_id: int) -> Before | None:
    kind = states.before_kind(desensitisation_id)
    block = states.blocks_of(session, partition.number, kind).get((kind, 0))
    if block is None:
        return None
    planes = checkpoint.decode(block)
    slots = partition.slots_of(planes["series"])
    same = (slots != UNKNOWN) & (partition.columns["version"][slots] == planes[SINCE]) & restorable(partition, planes)
    rows = np.flatnonzero(same)
    return Before(partition.number, {name: plane[rows] for name, plane in planes.items()}) if rows.size else None


def bring_back(committer: Committer, desensitisation_id: int) -> set[int]:
    """Let its series know what they knew before, to be scored again since; returns the ids of those that can."""
    restored: set[int] = set()
    for before in still_there(committer, [desensitisation_id])[desensitisation_id]:
        committer.call(lambda before=before: _put_back(committer, before))  # type: ignore[misc]
        restored.update(before.series_ids.tolist())
    with committer.database.writing() as session:
        states.forget_kind(session, states.before_kind(desensitisation_id))
    return restored


def _put_back(committer: Committer, before: Before) -> None:
    partition = committer.partitions[before.partition]
    slots = partition.slots_of(before.series_ids)
    with committer.reloading(partition.number), committer.database.writing() as session:
        restore(partition, slots, before.planes, np.arange(slots.size))
        partition.columns["version"][slots] = before.planes["column.version"]
        partition.touch(slots)
        recover.save(session, partition)
    recover.saved(partition)


def forget_old(committer: Committer, now: datetime) -> None:
    """Drop what was before the new normals of long ago, and those that are gone."""
    with committer.database.reading() as session:
        made = {kind: desensitisations.get(session, states.id_of_before(kind)) for kind in states.before_kinds(session)}
    old = [kind for kind, row in made.items() if row is None or row.created_at < now - KEPT]
    if old:
        with committer.database.writing() as session:
            for kind in old:
                states.forget_kind(session, kind)
