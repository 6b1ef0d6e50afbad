"""Candidate detectors beside the live ones: begun, listed, counted, ended."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.store.database import is_among
from app.store.series import Matcher
from app.store.tables import Anomaly, Shadow


def begin(session: Session, matcher: Matcher, detector: str, *, event_now: datetime, now: datetime) -> Shadow:
    """A shadow that counts from `event_now` on."""
    shadow = Shadow(
        metric=matcher.metric,
        dimensions={name: list(allowed) for name, allowed in matcher.dimensions.items()},
        detector=detector,
        created_at=now,
        counted_from=event_now,
        counted_until=event_now,
        series_count=0,
        would_be_alerts=0,
        live_alerts=0,
    )
    session.add(shadow)
    session.flush()
    return shadow


def get(session: Session, shadow_id: int) -> Shadow | None:
    return session.get(Shadow, shadow_id)


def list_all(session: Session) -> list[Shadow]:
    return list(session.scalars(sa.select(Shadow).order_by(Shadow.id.desc())))


def end(session: Session, shadow_id: int) -> Shadow | None:
    """Forget a shadow; returns what it had counted."""
    shadow = get(session, shadow_id)
    if shadow is not None:
        session.delete(shadow)
    return shadow


def count(
    session: Session, shadow_id: int, *, until: datetime, series_count: int, would_be_alerts: int, live_alerts: int
) -> None:
    """Add what a stretch up to `until` brought, unless the shadow was ended meanwhile."""
    added = {
        "counted_until": until,
        "series_count": series_count,
        "would_be_alerts": Shadow.would_be_alerts + would_be_alerts,
        "live_alerts": Shadow.live_alerts + live_alerts,
    }
    session.execute(sa.update(Shadow).where(Shadow.id == shadow_id).values(added))


def live_alerts(session: Session, series_ids: Iterable[int], after: datetime, until: datetime) -> int:
    """Alerts that the live detectors opened for these series, by the time they began."""
    query = sa.select(sa.func.count()).where(
        is_among(session, Anomaly.series_id, series_ids),
        Anomaly.alert_id.is_not(None),
        Anomaly.outcome != "withdrawn",
        Anomaly.started_at > after,
        Anomaly.started_at <= until,
    )
    return session.scalar(query) or 0
