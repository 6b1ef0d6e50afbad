"""Silences: made, found, changed, and the alerts that they keep from being sent."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.store.tables import Alert, Anomaly, Series, Silence


def get(session: Session, silence_id: int) -> Silence | None:
    return session.get(Silence, silence_id)


def by_id(session: Session, silence_ids: Iterable[int]) -> dict[int, Silence]:
    found = session.scalars(sa.select(Silence).where(Silence.id.in_(set(silence_ids))))
    return {each.id: each for each in found}


def page(session: Session, *, limit: int, before_id: int, in_force_at: datetime | None) -> list[Silence]:
    """The newest first; only those in force then, where that is given."""
    query = sa.select(Silence).where(Silence.id < before_id).order_by(Silence.id.desc()).limit(limit)
    if in_force_at is not None:
        query = query.where(Silence.started_at <= in_force_at, Silence.ended_at > in_force_at)
    return list(session.scalars(query))


def in_force(session: Session, now: datetime) -> list[Silence]:
    """Those that keep alerts from being sent now, the one that lasts longest first."""
    standing = sa.select(Silence).where(Silence.started_at <= now, Silence.ended_at > now)
    return list(session.scalars(standing.order_by(Silence.ended_at.desc(), Silence.id)))


def not_over(session: Session, now: datetime) -> list[Silence]:
    """Those in force, and those to come; the oldest first."""
    return list(session.scalars(sa.select(Silence).where(Silence.ended_at > now).order_by(Silence.id)))


def count_alerts(session: Session, silence_ids: Iterable[int]) -> dict[int, int]:
    """How many alerts each of these kept from being sent, or keeps."""
    counted = sa.select(Alert.silence_id, sa.func.count()).where(Alert.silence_id.in_(set(silence_ids)))
    rows = session.execute(counted.group_by(Alert.silence_id))
    return {silence_id: count for silence_id, count in rows if silence_id is not None}


def matter(session: Session, now: datetime) -> bool:
    """Whether any silence is in force, or holds back what another one does not."""
    return bool(in_force(session, now)) or session.scalar(_silenced().limit(1)) is not None


def _silenced() -> sa.Select[int]:
    held = (Alert.status == "firing") | (Alert.delivery == "live")
    return sa.select(Alert.id).where(Alert.kind == "anomaly", Alert.silence_id.is_not(None), held)


def concerned(session: Session, *, all_firing: bool) -> list[Alert]:
    """Alerts of series that a silence may begin or cease to cover: with all that go on, or those silenced alone."""
    going_on = (Alert.kind == "anomaly") & (Alert.status == "firing") & Alert.delivery.in_(("live", "silenced"))
    silenced = Alert.id.in_(_silenced())
    query = sa.select(Alert).where(silenced | going_on if all_firing else silenced)
    return list(session.scalars(query.order_by(Alert.id).with_for_update()))


def series_of_alerts(session: Session, alert_ids: Iterable[int]) -> dict[int, list[Series]]:
    """The series whose anomalies of each of these alerts go on, or all once none does."""
    wanted = list(alert_ids)
    query = sa.select(Anomaly, Series).join(Series, Series.id == Anomaly.series_id)
    found: dict[int, list[Series]] = {each: [] for each in wanted}
    over: dict[int, list[Series]] = {each: [] for each in wanted}
    for start in range(0, len(wanted), 500):
        part = query.where(Anomaly.alert_id.in_(wanted[start : start + 500]))
        for anomaly, series in session.execute(part):
            (found if anomaly.ended_at is None else over)[anomaly.alert_id or 0].append(series)
    return {each: found[each] or over[each] for each in wanted}
