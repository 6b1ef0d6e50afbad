"""Checkpoints of partitions, block by block, and the versions of their baselines."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.store.tables import BaselineVersion, StateBlock

BEFORE = "before:"


def blocks_of(session: Session, partition: int, kind: str | None = None) -> dict[tuple[str, int], bytes]:
    """Every checkpointed block of a partition, or those of one kind, by kind and number."""
    query = sa.select(StateBlock.kind, StateBlock.block, StateBlock.arrays).where(StateBlock.partition == partition)
    if kind is not None:
        query = query.where(StateBlock.kind == kind)
    return {(kind, block): arrays for kind, block, arrays in session.execute(query)}


def put_block(
    session: Session, partition: int, kind: str, block: int, arrays: bytes, baseline_version_id: int | None = None
) -> None:
    """Write a block over its last checkpoint."""
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    row = {
        "partition": partition,
        "kind": kind,
        "block": block,
        "arrays": arrays,
        "baseline_version_id": baseline_version_id,
    }
    insert = dialect.insert(StateBlock).values(row)
    changed = {name: insert.excluded[name] for name in ("arrays", "baseline_version_id")}
    session.execute(insert.on_conflict_do_update(index_elements=["partition", "block", "kind"], set_=changed))


def before_kind(desensitisation_id: int) -> str:
    """Kind of the blocks that hold what series knew before a new normal."""
    return f"{BEFORE}{desensitisation_id}"


def id_of_before(kind: str) -> int:
    return int(kind.removeprefix(BEFORE))


def before_kinds(session: Session) -> list[str]:
    query = sa.select(StateBlock.kind).where(StateBlock.kind.startswith(BEFORE)).distinct()
    return list(session.scalars(query))


def forget_kind(session: Session, kind: str) -> None:
    session.execute(sa.delete(StateBlock).where(StateBlock.kind == kind))


def new_version(session: Session, *, partition: int, reason: str, series_count: int, now: datetime) -> int:
    """Enter a training of some series of a partition; returns the version's id."""
    version = BaselineVersion(partition=partition, created_at=now, reason=reason, series_count=series_count)
    session.add(version)
    session.flush()
    return version.id
