"""Policies: stored in their order, read as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.store.series import Matcher
from app.store.tables import StoredPolicy


def in_order(session: Session) -> list[StoredPolicy]:
    """Every policy, the first to decide first."""
    return list(session.scalars(sa.select(StoredPolicy).order_by(StoredPolicy.position, StoredPolicy.id)))


def get(session: Session, policy_id: int) -> StoredPolicy | None:
    return session.get(StoredPolicy, policy_id)


def named(session: Session, name: str) -> StoredPolicy | None:
    return session.scalar(sa.select(StoredPolicy).where(StoredPolicy.name == name))


def add(
    session: Session,
    *,
    name: str,
    matcher: Matcher,
    settings: Mapping[str, Any],
    continues: bool,
    now: datetime,
    position: int | None = None,
) -> StoredPolicy:
    """A new policy at a place in the order, 0 the first; at the end where none is said."""
    policy = StoredPolicy(name=name, position=0, created_at=now, changed_at=now)
    write(policy, matcher=matcher, settings=settings, continues=continues, now=now)
    others = in_order(session)
    place = len(others) if position is None else min(position, len(others))
    put_in_order([*others[:place], policy, *others[place:]])
    session.add(policy)
    session.flush()
    return policy


def write(
    policy: StoredPolicy, *, matcher: Matcher, settings: Mapping[str, Any], continues: bool, now: datetime
) -> None:
    """What a policy says from now on."""
    policy.metric = matcher.metric
    policy.dimensions = {name: list(allowed) for name, allowed in matcher.dimensions.items()}
    policy.settings = dict(settings)
    policy.continues = continues
    policy.changed_at = now


def remove(session: Session, policy: StoredPolicy) -> None:
    """Forget a policy; those after it move up."""
    session.delete(policy)
    put_in_order([each for each in in_order(session) if each.id != policy.id])
    session.flush()


def put_in_order(ordered: Sequence[StoredPolicy]) -> None:
    """These are all policies, and this is their order."""
    for position, policy in enumerate(ordered):
        policy.position = position
