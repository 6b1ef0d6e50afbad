"""Labels: added, revoked, listed, and read as the evidence that learning folds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.store.tables import Alert, Anomaly, Desensitisation, Event, Gap, Label, Series
from feedback.labels import EFFECTS, Creates, LabelEvidence, Looks, TrainingEffect, Verdict
from feedback.training_mask import Exclusions

NOT_LEARNED = [verdict for verdict, does in EFFECTS.items() if does.training is TrainingEffect.EXCLUDED]


EVIDENCE = (
    Label.id.label("label_id"),
    *(getattr(Label, name) for name in ("verdict", "series_id", "direction", "rarity", "weight", "author", "alert_id")),
    *(getattr(Label, name) for name in ("started_at", "ended_at", "created_at", "evidence")),
    Series.metric,
)
"""Columns of what learning needs; receipts are long, and are left where they are."""


@dataclass(frozen=True)
class LabelFilter:
    """Which labels to list; what is left out selects all. `start` and `end` bound the time of labelling."""

    verdict: str | None = None
    series_id: int | None = None
    alert_id: int | None = None
    author: str | None = None
    stands: bool | None = None
    start: datetime | None = None
    end: datetime | None = None


def get(session: Session, label_id: int) -> Label | None:
    return session.get(Label, label_id)


def by_once_key(session: Session, once_key: str) -> Label | None:
    """The standing label that this press, or this request, made before."""
    return session.scalars(sa.select(Label).where(Label.once_key == once_key)).first()


def find(session: Session, wanted: LabelFilter, *, limit: int, before_id: int | None = None) -> list[Label]:
    """A page of labels, newest first; the last id of a full page leads to the next."""
    query = sa.select(Label).where(*_conditions(wanted)).order_by(Label.id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(Label.id < before_id)
    return list(session.scalars(query))


def _conditions(wanted: LabelFilter) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if wanted.verdict is not None:
        conditions.append(Label.verdict == wanted.verdict)
    if wanted.series_id is not None:
        conditions.append(Label.series_id == wanted.series_id)
    if wanted.alert_id is not None:
        conditions.append(Label.alert_id == wanted.alert_id)
    if wanted.author is not None:
        conditions.append(Label.author == wanted.author)
    if wanted.stands is not None:
        conditions.append(Label.revoked_at.is_(None) if wanted.stands else Label.revoked_at.is_not(None))
    if wanted.start is not None:
        conditions.append(Label.created_at >= wanted.start)
    if wanted.end is not None:
        conditions.append(Label.created_at < wanted.end)
    return conditions


def standing_evidence(session: Session, alert_id: int | None = None) -> list[LabelEvidence]:
    """The labels that have not been revoked, all or those of one alert, as evidence, oldest first."""
    query = (
        sa.select(*EVIDENCE)
        .join(Series, Series.id == Label.series_id)
        .where(Label.revoked_at.is_(None))
        .order_by(Label.id)
    )
    if alert_id is not None:
        query = query.where(Label.alert_id == alert_id)
    return [_evidence(dict(row)) for row in session.execute(query).mappings()]


def _evidence(row: dict[str, Any]) -> LabelEvidence:
    looks = looks_of(row.pop("evidence"))
    return LabelEvidence(**row | {"verdict": Verdict(row["verdict"]), "looks": looks})


def looks_of(kept: Mapping[str, Any] | None) -> Looks | None:
    """What a label kept of its anomaly; None where it kept nothing, or nothing was expected."""
    if kept is None or kept.get("expected") is None:
        return None
    return Looks(kept["actual"], kept["expected"], kept.get("features", {}))


def kept_of(anomaly: Anomaly | None) -> dict[str, Any] | None:
    """What a label keeps of its anomaly."""
    if anomaly is None:
        return None
    features = (anomaly.evidence or {}).get("features", {})
    return {"actual": anomaly.actual, "expected": anomaly.expected, "features": features}


def as_evidence(label: Label, metric: str, label_id: int) -> LabelEvidence:
    """What learning needs of a label. `label_id` is apart, since a label that is only tried has none."""
    return LabelEvidence(
        label_id=label_id,
        verdict=Verdict(label.verdict),
        series_id=label.series_id,
        metric=metric,
        direction=label.direction,
        rarity=label.rarity,
        weight=label.weight,
        author=label.author,
        started_at=label.started_at,
        ended_at=label.ended_at,
        created_at=label.created_at,
        alert_id=label.alert_id,
        looks=looks_of(label.evidence),
    )


def standing_of_alerts(session: Session, alert_ids: Iterable[int]) -> dict[int, list[Label]]:
    """The standing labels of each of these alerts, oldest first."""
    query = sa.select(Label).where(Label.alert_id.in_(list(alert_ids)), Label.revoked_at.is_(None)).order_by(Label.id)
    found: defaultdict[int, list[Label]] = defaultdict(list)
    for label in session.scalars(query):
        found[label.alert_id or 0].append(label)
    return dict(found)


def standing_of_series(session: Session, series_ids: Iterable[int]) -> list[Label]:
    """The standing labels of these series that say how rare what they judged was, oldest first."""
    of_series = sa.select(Label).where(Label.series_id.in_(list(series_ids)), Label.rarity.is_not(None))
    return list(session.scalars(of_series.where(Label.revoked_at.is_(None)).order_by(Label.id)))


def count_given(session: Session, author: str, source: str, since: datetime) -> int:
    """How many labels an author has given since then, those taken back included."""
    given = sa.select(sa.func.count()).select_from(Label)
    return session.scalar(given.where(Label.author == author, Label.source == source, Label.created_at > since)) or 0


def without_creation(session: Session) -> list[Label]:
    """Standing labels whose verdict creates something that is not there."""
    lacking = []
    for verdict, does in EFFECTS.items():
        made_by = MADE_BY.get(does.creates)
        if made_by is not None:
            there = sa.exists().where(made_by == Label.id)
            of_gap = sa.exists().where(Alert.id == Label.alert_id, Alert.kind == "data")  # has the gap already
            lacking.append(sa.and_(Label.verdict == verdict.value, ~there, ~of_gap))
    query = sa.select(Label).where(Label.revoked_at.is_(None), sa.or_(*lacking))
    return list(session.scalars(query.order_by(Label.id)))


MADE_BY: dict[Creates, InstrumentedAttribute[int | None]] = {
    Creates.EVENT: Event.label_id,
    Creates.GAP: Gap.label_id,
    Creates.DESENSITISATION: Desensitisation.label_id,
}
"""Where what a verdict creates says which label made it."""


def revoke(label: Label, by: str, now: datetime) -> None:
    """The label no longer stands. Its press may be made again."""
    label.revoked_at, label.revoked_by, label.once_key = now, by, None


def labelled_and_open_spans(session: Session) -> Exclusions:
    """Spans that labels keep out of training, and those of told anomalies that have not ended.

    A label on an alert reaches to the end of that alert's anomaly, however long it went on after the label.
    """
    last_abnormal = (
        sa.select(sa.func.max(Anomaly.last_abnormal_at))
        .where(Anomaly.alert_id == Label.alert_id, Anomaly.series_id == Label.series_id)
        .scalar_subquery()
    )
    until = sa.func.coalesce(last_abnormal, Label.ended_at)
    labelled = sa.select(Label.series_id, Label.started_at, Label.ended_at, until).where(
        Label.revoked_at.is_(None), Label.verdict.in_(NOT_LEARNED)
    )
    still_open = (
        sa.select(Anomaly.series_id, Anomaly.started_at, Anomaly.last_abnormal_at, Anomaly.last_abnormal_at)
        .join(Alert, Alert.id == Anomaly.alert_id)
        .where(Alert.status == "firing", Anomaly.ended_at.is_(None))
    )
    rows = [
        (series_id, int(start.timestamp()), int(max(end, last).timestamp()))
        for query in (labelled, still_open)
        for series_id, start, end, last in session.execute(query)
    ]
    columns = np.array(sorted(rows), np.int64).reshape(-1, 3).T
    return Exclusions(columns[0], columns[1], columns[2])
