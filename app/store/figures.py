"""Counts that an operator watches."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.store.tables import Alert, Notification, Series


def count_series(session: Session) -> int:
    return session.scalar(sa.select(sa.func.count()).select_from(Series)) or 0


def count_alerts_by_status(session: Session) -> dict[str, int]:
    return _count_by(session, Alert.status)


def count_notifications_by_status(session: Session) -> dict[str, int]:
    return _count_by(session, Notification.status)


def _count_by(session: Session, column: InstrumentedAttribute[str]) -> dict[str, int]:
    return dict(session.execute(sa.select(column, sa.func.count()).group_by(column)).all())
