"""Series that have a new normal: entered, listed, followed until they have settled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.store.database import is_among
from app.store.tables import Alert, Anomaly, Desensitisation, DesensitisedSeries, Label
from feedback.desensitise import LevelChange, widened


def get(session: Session, desensitisation_id: int) -> Desensitisation | None:
    return session.get(Desensitisation, desensitisation_id)


def find(session: Session, *, limit: int, before_id: int) -> list[Desensitisation]:
    """A page, the newest first."""
    query = sa.select(Desensitisation).where(Desensitisation.id < before_id)
    return list(session.scalars(query.order_by(Desensitisation.id.desc()).limit(limit)))


def stands(desensitisation: type[Desensitisation]) -> sa.ColumnElement[bool]:
    """Nobody has taken it back, nor the label that made it."""
    undone = sa.exists().where(Label.id == desensitisation.label_id, Label.revoked_at.is_not(None))
    return desensitisation.revoked_at.is_(None) & ~undone


def is_standing(session: Session, row: Desensitisation) -> bool:
    found = sa.select(Desensitisation.id).where(Desensitisation.id == row.id, stands(Desensitisation))
    return session.scalar(found) is not None


def members_of(session: Session, ids: Iterable[int]) -> list[DesensitisedSeries]:
    """The series of these desensitisations, in order."""
    query = sa.select(DesensitisedSeries).where(DesensitisedSeries.desensitisation_id.in_(list(ids)))
    return list(session.scalars(query.order_by(DesensitisedSeries.desensitisation_id, DesensitisedSeries.series_id)))


def alerts_closed_by(session: Session, desensitisation_id: int) -> list[int]:
    """Ids of the alerts that it closed, or the label that made it."""
    of_series = sa.select(DesensitisedSeries.alert_id).where(
        DesensitisedSeries.desensitisation_id == desensitisation_id
    )
    of_label = (
        sa.select(Label.alert_id)
        .join(Desensitisation, Desensitisation.label_id == Label.id)
        .where(Desensitisation.id == desensitisation_id)
    )
    return sorted({each for query in (of_series, of_label) for each in session.scalars(query) if each is not None})


def declared_on(session: Session, alert_ids: Collection[int]) -> dict[int | None, list[set[int]]]:
    """By alert, the ids of the series of each standing one that somebody declared while the alert was going on."""
    query = sa.select(DesensitisedSeries.alert_id, Desensitisation.id).join(
        Desensitisation, Desensitisation.id == DesensitisedSeries.desensitisation_id
    )
    declared = stands(Desensitisation) & Desensitisation.label_id.is_(None)
    rows = session.execute(query.where(declared, is_among(session, DesensitisedSeries.alert_id, alert_ids)).distinct())
    found: defaultdict[int | None, list[set[int]]] = defaultdict(list)
    for alert_id, its_id in rows:
        found[alert_id].append({each.series_id for each in members_of(session, [its_id])})
    return dict(found)


def settling_of(session: Session, series_ids: Iterable[int]) -> dict[int, DesensitisedSeries]:
    """Of these series those that still settle, by id; the newest change of each."""
    query = _standing_members().where(
        DesensitisedSeries.series_id.in_(list(series_ids)), DesensitisedSeries.ended_at.is_(None)
    )
    return {each.series_id: each for each in session.scalars(query)}


def still_settling(session: Session) -> list[DesensitisedSeries]:
    return list(session.scalars(_standing_members().where(DesensitisedSeries.ended_at.is_(None))))


def level_changes(session: Session, without: Collection[int] = ()) -> list[LevelChange]:
    """All changes of level that stand, settled or not: what came before them was at another level.

    without: ids of desensitisations that are left out.
    """
    members = session.scalars(_standing_members().where(DesensitisedSeries.desensitisation_id.not_in(list(without))))
    return [LevelChange(each.series_id, int(each.started_at.timestamp())) for each in members]


def widening(session: Session, without_labels: Collection[int] = ()) -> dict[int, float]:
    """Decades of tolerance more, by series, while they settle; as if these labels had made none."""
    settling = still_settling(session)
    if without_labels:
        query = sa.select(Desensitisation.id).where(Desensitisation.label_id.in_(list(without_labels)))
        made = set(session.scalars(query))
        settling = [each for each in settling if each.desensitisation_id not in made]
    return {each.series_id: widened(each.progress) for each in settling}


def to_undo(session: Session) -> list[Desensitisation]:
    """Those that no longer stand, and whose series were not trained without them yet."""
    query = sa.select(Desensitisation).where(~stands(Desensitisation), Desensitisation.undone_at.is_(None))
    return list(session.scalars(query.order_by(Desensitisation.id)))


def finished(session: Session) -> list[Desensitisation]:
    """Those that stand and are not over, though all their series are."""
    going_on = sa.exists().where(
        DesensitisedSeries.desensitisation_id == Desensitisation.id, DesensitisedSeries.ended_at.is_(None)
    )
    query = sa.select(Desensitisation).where(stands(Desensitisation), Desensitisation.ended_at.is_(None), ~going_on)
    return list(session.scalars(query.order_by(Desensitisation.id)))


def open_anomalies(session: Session, series_ids: Iterable[int]) -> dict[int, Anomaly]:
    """The newest told anomaly of each of these series whose alert is still firing."""
    query = (
        sa.select(Anomaly)
        .join(Alert, Alert.id == Anomaly.alert_id)
        .where(Anomaly.series_id.in_(list(series_ids)), Alert.status == "firing", Anomaly.ended_at.is_(None))
    )
    return {each.series_id: each for each in session.scalars(query.order_by(Anomaly.started_at))}


def without_offer(session: Session, since: datetime) -> list[tuple[Alert, Anomaly]]:
    """Alerts of anomalies that nobody has answered and for which nothing was proposed, with their rarest anomaly."""
    answered = sa.exists().where(Label.alert_id == Alert.id, Label.revoked_at.is_(None))
    query = (
        sa.select(Alert, Anomaly)
        .join(Anomaly, Anomaly.alert_id == Alert.id)
        .where(
            Alert.kind == "anomaly",
            Alert.status.in_(("firing", "resolved")),
            Alert.offer.is_(None),
            Anomaly.started_at >= since,
            ~answered,
        )
    )
    found = {alert.id: (alert, anomaly) for alert, anomaly in session.execute(query.order_by(Anomaly.rarity))}
    return list(found.values())


def _standing_members() -> sa.Select[DesensitisedSeries]:
    joined = sa.select(DesensitisedSeries).join(
        Desensitisation, Desensitisation.id == DesensitisedSeries.desensitisation_id
    )
    return joined.where(stands(Desensitisation)).order_by(DesensitisedSeries.started_at)
