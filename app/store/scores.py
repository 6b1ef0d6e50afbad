"""What the scorecard counts: alerts that were told, what was said of them, and what labels kept from being told."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.store.alerts import SENT
from app.store.database import is_among
from app.store.tables import Alert, Anomaly, Label


@dataclass(frozen=True)
class ToldAlert:
    """An alert with the series and the detector of its rarest anomaly. told_at: event time."""

    alert_id: int
    told_at: datetime
    series_id: int
    detector: str


@dataclass(frozen=True)
class SilencedCount:
    """Anomalies of a series that labels kept from being told."""

    series_id: int
    detector: str
    count: int


@dataclass(frozen=True)
class MissedSpan:
    """A reported miss. silenced: an anomaly that labels had kept from being told lies in its span."""

    series_id: int
    silenced: bool


def told_since(session: Session, since: datetime) -> list[ToldAlert]:
    """Alerts about anomalies that people were told of, the oldest first."""
    rank = sa.func.row_number().over(partition_by=Anomaly.alert_id, order_by=(Anomaly.rarity.desc(), Anomaly.id))
    rarest = sa.select(Anomaly.alert_id, Anomaly.series_id, Anomaly.detector, rank.label("rank")).where(
        Anomaly.alert_id.is_not(None)
    )
    ranked = rarest.subquery()
    query = (
        sa.select(Alert.id, Alert.created_at, ranked.c.series_id, ranked.c.detector)
        .join(ranked, (ranked.c.alert_id == Alert.id) & (ranked.c.rank == 1))
        .where(Alert.kind == "anomaly", Alert.delivery.in_(SENT), Alert.created_at >= since)
        .order_by(Alert.id)
    )
    return [ToldAlert(*row) for row in session.execute(query)]


def silenced_since(session: Session, since: datetime) -> list[SilencedCount]:
    """How many anomalies of which series labels kept from being told."""
    counted = (
        sa.select(Anomaly.series_id, Anomaly.detector, sa.func.count())
        .where(Anomaly.outcome == "tolerated", Anomaly.started_at >= since)
        .group_by(Anomaly.series_id, Anomaly.detector)
        .order_by(Anomaly.series_id, Anomaly.detector)
    )
    return [SilencedCount(*row) for row in session.execute(counted)]


def missed_since(session: Session, since: datetime, label_ids: Collection[int]) -> list[MissedSpan]:
    """Problems since then that those of these labels report that say *missed*, each span of a series once."""
    hidden = sa.exists().where(
        Anomaly.series_id == Label.series_id,
        Anomaly.outcome == "tolerated",
        Anomaly.started_at <= Label.ended_at,
        Anomaly.last_abnormal_at >= Label.started_at,
    )
    spans = sa.select(Label.series_id, Label.started_at, Label.ended_at, hidden).distinct()
    query = spans.where(Label.verdict == "missed", is_among(session, Label.id, label_ids), Label.started_at >= since)
    return [MissedSpan(series_id, bool(silenced)) for series_id, _, _, silenced in session.execute(query)]


def answers_to(session: Session, since: datetime) -> Sequence[tuple[int, datetime]]:
    """Alerts told since then that have an answer that stands, each with the time of its first one."""
    query = (
        sa.select(Label.alert_id, sa.func.min(Label.created_at))
        .join(Alert, Alert.id == Label.alert_id)
        .where(Label.revoked_at.is_(None), Alert.created_at >= since)
        .group_by(Label.alert_id)
    )
    return [(alert_id, at) for alert_id, at in session.execute(query) if alert_id is not None]
