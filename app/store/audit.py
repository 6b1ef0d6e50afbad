"""Who did what can't be undone, and when. An entry names its subject by id alone: what was erased is not repeated."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.store.tables import AuditEntry


def record(session: Session, action: str, *, actor: str, subject: Mapping[str, int], now: datetime) -> None:
    session.add(AuditEntry(at=now, actor=actor, action=action, subject=dict(subject)))


def find(session: Session, *, limit: int, before_id: int) -> list[AuditEntry]:
    """A page of entries, the newest first."""
    query = sa.select(AuditEntry).where(AuditEntry.id < before_id)
    return list(session.scalars(query.order_by(AuditEntry.id.desc()).limit(limit)))
