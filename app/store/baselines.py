"""Trainings that were done: each made a version of the baselines of one partition's series."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.store.tables import BaselineVersion


def get(session: Session, version_id: int) -> BaselineVersion | None:
    return session.get(BaselineVersion, version_id)


def find(session: Session, *, limit: int, before_id: int) -> list[BaselineVersion]:
    """A page of versions, the newest first."""
    query = sa.select(BaselineVersion).where(BaselineVersion.id < before_id)
    return list(session.scalars(query.order_by(BaselineVersion.id.desc()).limit(limit)))
