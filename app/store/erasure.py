"""Erase a series: every row that speaks of it, whichever table it lies in."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.store import retrains
from app.store.points import erase_series
from app.store.tables import (
    Alert,
    Anomaly,
    Base,
    Desensitisation,
    DesensitisedSeries,
    DetectorChoice,
    Event,
    Gap,
    GapSeries,
    Label,
    LabelledSeries,
    Notification,
    Picture,
    Series,
)


def erase(session: Session, series: Series) -> dict[str, int]:
    """Forget the series, its points, labels, anomalies, and the alerts that tell of it alone; returns how many."""
    gaps = _gaps_of_it_alone(session, series.id)
    alone = _alerts_of_it_alone(session, series.id)
    alone += session.scalars(sa.select(Alert.id).where(Alert.gap_id.in_(gaps), Alert.kind == "data"))
    erase_series(session, [series.id])
    further = sa.select(Label.id).where(sa.or_(Label.series_id == series.id, Label.alert_id.in_(alone)))
    _delete(
        session, LabelledSeries, sa.or_(LabelledSeries.series_id == series.id, LabelledSeries.label_id.in_(further))
    )
    erased = {
        "labels": _delete(session, Label, sa.or_(Label.series_id == series.id, Label.alert_id.in_(alone))),
        "anomalies": _delete(session, Anomaly, Anomaly.series_id == series.id),
    }
    _delete(session, Notification, Notification.alert_id.in_(alone))
    _delete(session, Picture, Picture.alert_id.in_(alone))
    erased["alerts"] = _delete(session, Alert, Alert.id.in_(alone))
    _delete(session, DesensitisedSeries, DesensitisedSeries.series_id == series.id)
    _delete(session, GapSeries, GapSeries.series_id == series.id)
    _delete(session, Gap, Gap.id.in_(gaps))
    session.execute(sa.update(Gap).where(Gap.known.is_not(None)).values(known=None))  # its values may be among them
    for concerned in (Event, Gap, Desensitisation):
        _delete(session, concerned, concerned.series_id == series.id)
    retrains.forget_series(session, series)
    _delete(session, DetectorChoice, DetectorChoice.series_id == series.id)
    session.delete(series)
    session.flush()
    return erased


def _alerts_of_it_alone(session: Session, series_id: int) -> list[int]:
    """Alerts with an anomaly of this series, or a label, and with no anomaly of another; none that tell of a gap."""
    others = sa.select(Anomaly.alert_id).where(Anomaly.series_id != series_id, Anomaly.alert_id.is_not(None))
    of_it = sa.union(
        sa.select(Anomaly.alert_id).where(Anomaly.series_id == series_id, Anomaly.alert_id.is_not(None)),
        sa.select(Label.alert_id).where(Label.series_id == series_id, Label.alert_id.is_not(None)),
    ).subquery()
    of_gaps = sa.select(Alert.id).where(Alert.kind == "data")
    alone = sa.select(of_it.c.alert_id).where(of_it.c.alert_id.not_in(others), of_it.c.alert_id.not_in(of_gaps))
    return list(session.scalars(alone))


def _gaps_of_it_alone(session: Session, series_id: int) -> list[int]:
    """Gaps that Heed found in this series and in no other."""
    others = sa.select(GapSeries.gap_id).where(GapSeries.series_id != series_id)
    of_it = sa.select(GapSeries.gap_id).where(GapSeries.series_id == series_id, GapSeries.gap_id.not_in(others))
    return list(session.scalars(of_it))


def _delete(session: Session, table: type[Base], condition: sa.ColumnElement[bool]) -> int:
    deleted = session.connection().execute(sa.delete(table).where(condition))
    return int(deleted.rowcount)
