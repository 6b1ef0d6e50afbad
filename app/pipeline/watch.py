"""How each series is watched right now: by which detector, and how far it has learned."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from app.alerts.policy import Resolved
from app.partitions.partition import GROUND, Partition
from app.pipeline.ingest import Committer
from detectors.training import Progress, progress

COLUMNS = (*GROUND, "trained_at", "version")


@dataclass(frozen=True)
class Watch:
    """The state of one series. Times are None where there is no such moment yet, baseline_version 0."""

    detector: str
    learning: Progress
    point_count: int
    first_point_at: datetime | None
    last_point_at: datetime | None
    trained_at: datetime | None
    baseline_version: int
    policy: Resolved


def watches(committer: Committer, series_ids: Iterable[int]) -> dict[int, Watch]:
    """The state of these series by id; those that no partition holds are left out."""
    wanted = list(series_ids)

    def look() -> dict[int, Watch]:
        found: dict[int, Watch] = {}
        for partition in committer.partitions:
            slots = partition.slots_of(wanted)
            found |= {s: _watch(partition, slot) for s, slot in zip(wanted, slots.tolist(), strict=True) if slot >= 0}
        return found

    return committer.call(look)


def _watch(partition: Partition, slot: int) -> Watch:
    column = {name: int(partition.columns[name][slot]) for name in COLUMNS}
    return Watch(
        detector=partition.judge_of(slot)[0].detector.name,
        learning=progress(*(column[name] for name in GROUND)),
        point_count=column["point_count"],
        first_point_at=_time(column["first_at"]),
        last_point_at=_time(column["last_at"]),
        trained_at=_time(column["trained_at"]),
        baseline_version=column["version"],
        policy=partition.policy(slot),
    )


def _time(seconds: int) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
