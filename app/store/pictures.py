"""Pictures of alerts, each as it was at one time, so that it is drawn once."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from app.store.tables import Picture


def get(session: Session, alert_id: int, until: int) -> bytes | None:
    wanted = sa.select(Picture.png).where(Picture.alert_id == alert_id, Picture.until == until)
    return session.scalar(wanted)


def put(session: Session, alert_id: int, until: int, png: bytes, now: datetime) -> None:
    """Keep it; where another process was faster, its own is kept."""
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    insert = dialect.insert(Picture).values(alert_id=alert_id, until=until, png=png, drawn_at=now)
    session.execute(insert.on_conflict_do_nothing())


def delete_older(session: Session, drawn_before: datetime) -> int:
    deleted = session.execute(sa.delete(Picture).where(Picture.drawn_at < drawn_before))
    assert isinstance(deleted, CursorResult)
    return deleted.rowcount
