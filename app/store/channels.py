"""Queries on channels: where alerts go, and whether they may go there now."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from app.store.tables import Channel


def find_channels(session: Session) -> list[Channel]:
    """Every channel, oldest first."""
    return list(session.scalars(sa.select(Channel).order_by(Channel.id)))


def get_channel(session: Session, channel_id: int) -> Channel | None:
    return session.get(Channel, channel_id)


def enabled_channels(session: Session) -> dict[str, int]:
    """Name to id, the oldest first."""
    enabled = sa.select(Channel.name, Channel.id).where(Channel.disabled_at.is_(None)).order_by(Channel.id)
    return dict(session.execute(enabled).all())


def with_hours(session: Session) -> list[Channel]:
    """Enabled channels whose readers are not always there."""
    return list(session.scalars(sa.select(Channel).where(Channel.timezone.is_not(None), Channel.disabled_at.is_(None))))


def names(session: Session) -> set[str]:
    return set(session.scalars(sa.select(Channel.name)))


def channel_named(session: Session, name: str) -> Channel | None:
    return session.scalar(sa.select(Channel).where(Channel.name == name))


def disable_channel(session: Session, channel_id: int, reason: str, now: datetime) -> bool:
    """Nothing is sent to it any more. False if it was disabled already."""
    enabled = sa.update(Channel).where(Channel.id == channel_id, Channel.disabled_at.is_(None))
    return _changed_one(session, enabled.values(disabled_at=now, disabled_reason=reason))


def enable_channel(session: Session, channel_id: int) -> bool:
    """Sent to again, starting with what was held back. False if it was not disabled."""
    disabled = sa.update(Channel).where(Channel.id == channel_id, Channel.disabled_at.is_not(None))
    return _changed_one(session, disabled.values(disabled_at=None, disabled_reason=None, not_before=None))


def pause_channel(session: Session, channel_id: int, until: datetime) -> None:
    """Leave it alone until then, as its receiver asked."""
    session.execute(sa.update(Channel).where(Channel.id == channel_id).values(not_before=until))


def _changed_one(session: Session, statement: sa.Update) -> bool:
    result = session.execute(statement)
    assert isinstance(result, CursorResult)
    return result.rowcount == 1
