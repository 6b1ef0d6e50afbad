"""Erase a series: every row that speaks of it, whichever table it lies in."""

from __future__ import annotations

import math
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.store import retrains, states
from app.store.labels import OF_SERIES, further_series
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
from feedback.receipt import SeriesName

ERASED = "What stood here named a series that is erased."


def erase(session: Session, series: Series) -> dict[str, int]:
    """Forget the series, its points and anomalies, and the labels and alerts that tell of it alone; returns how many.

    What such a label made goes with it. A label that tells of other series too stands for them, and what it made.
    """
    labels = [label.id for label in labels_of_it_alone(session, series.id)]
    _pass_on(session, series.id, without=labels)
    alone = _alerts_of_it_alone(session, series.id)
    gaps = [*_gaps_of_it_alone(session, series.id), *session.scalars(sa.select(Gap.id).where(_of(Gap, series, labels)))]
    alone += session.scalars(sa.select(Alert.id).where(Alert.gap_id.in_(gaps), Alert.kind == "data"))
    erase_series(session, [series.id])
    of_it = (LabelledSeries.series_id == series.id) | LabelledSeries.label_id.in_(labels)
    _delete(session, LabelledSeries, of_it)
    _forget_receipts(session, series)
    erased = {
        "labels": _delete(session, Label, Label.id.in_(labels)),
        "anomalies": _delete(session, Anomaly, Anomaly.series_id == series.id),
    }
    _delete(session, Notification, Notification.alert_id.in_(alone))
    _delete(session, Picture, Picture.alert_id.in_(alone))
    erased["alerts"] = _delete(session, Alert, Alert.id.in_(alone))
    new_normals = sa.select(Desensitisation.id).where(_of(Desensitisation, series, labels))
    settling = (DesensitisedSeries.series_id == series.id) | DesensitisedSeries.desensitisation_id.in_(new_normals)
    _delete(session, DesensitisedSeries, settling)
    _delete(session, GapSeries, GapSeries.series_id == series.id)
    _delete(session, Gap, Gap.id.in_(gaps))
    session.execute(sa.update(Gap).where(Gap.known.is_not(None)).values(known=None))  # its values may be among them
    for concerned in (Event, Desensitisation):
        _delete(session, concerned, _of(concerned, series, labels))
    retrains.forget_series(session, series)
    for kind in states.before_kinds(session):  # it may be among them
        states.forget_kind(session, kind)
    _delete(session, DetectorChoice, DetectorChoice.series_id == series.id)
    session.delete(series)
    session.flush()
    return erased


def labels_of_it_alone(session: Session, series_id: int) -> list[Label]:
    """Labels about no other series, and those on alerts about no other, oldest first."""
    alone = set(_alerts_of_it_alone(session, series_id))
    of_it = (Label.series_id == series_id) | Label.alert_id.in_(alone)
    labels = session.scalars(sa.select(Label).where(of_it).order_by(Label.id))
    return [label for label in labels if label.alert_id in alone or not _others(session, label)]


def _others(session: Session, label: Label) -> list[int]:
    """Ids of the other series that a label is about: of its alert, the rarest first, or of its gap."""
    further = sorted(further_series(session, label.id), key=lambda each: each.rarity or -math.inf, reverse=True)
    of_gap = (
        sa.select(GapSeries.series_id)
        .join(Alert, (Alert.gap_id == GapSeries.gap_id) & (Alert.kind == "data"))
        .where(Alert.id == label.alert_id, GapSeries.series_id != label.series_id)
    )
    return [each.series_id for each in further] or list(session.scalars(of_gap.order_by(GapSeries.series_id)))


def _pass_on(session: Session, series_id: int, *, without: list[int]) -> None:
    """Labels that are kept with this series, and what they made, are kept with another one that they are about."""
    for label in session.scalars(sa.select(Label).where(Label.series_id == series_id, Label.id.not_in(without))):
        heir = session.get_one(Series, _others(session, label)[0])
        if further := session.get(LabelledSeries, (label.id, heir.id)):
            for name in OF_SERIES:
                setattr(label, name, getattr(further, name))
            session.delete(further)
        label.series_id = heir.id
        for kind in (Event, Gap, Desensitisation):
            made = (kind.label_id == label.id) & (kind.series_id == series_id)
            session.execute(sa.update(kind).where(made).values(series_id=heir.id, metric=heir.metric))
    session.flush()


def _forget_receipts(session: Session, erased: Series) -> None:
    """Receipts of labels that stand for other series no longer name this one."""
    of, name = _named(erased), str(SeriesName(erased.id, erased.metric, erased.dimensions))
    for label, series in session.execute(sa.select(Label, Series).join(Series, Series.id == Label.series_id)).all():
        if _names(label.receipt, of):
            label.receipt = _without(label.receipt, of, name, instead=_named(series))
    session.flush()


def _named(series: Series) -> dict[str, Any]:
    return {"id": series.id, "metric": series.metric, "dimensions": dict(series.dimensions)}


def _names(said: Any, of: dict[str, Any]) -> bool:
    """Whether a receipt, or what is in it, names a series."""
    within = said.values() if isinstance(said, dict) else said if isinstance(said, list) else ()
    return bool(said == of) or any(_names(each, of) for each in within)


def _without(said: Any, of: dict[str, Any], name: str, *, instead: dict[str, Any]) -> Any:
    """The same without the series among others, and without the sentences that say its name."""
    if said == of:
        return instead
    if isinstance(said, dict):
        return {key: _without(each, of, name, instead=instead) for key, each in said.items()}
    if not isinstance(said, list):
        return said
    left = [each for each in said if each not in (of, instead) and not (isinstance(each, dict) and _names(each, of))]
    return [ERASED if isinstance(each, str) and name in each else each for each in left]


def _of(
    kind: type[Event] | type[Gap] | type[Desensitisation], series: Series, labels: list[int]
) -> sa.ColumnElement[bool]:
    """What is about the series, or was made by these labels."""
    return (kind.series_id == series.id) | kind.label_id.in_(labels)


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
