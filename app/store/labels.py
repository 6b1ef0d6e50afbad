"""Labels: added, revoked, listed, and read as the evidence that learning folds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from app.store.database import is_among
from app.store.tables import Alert, Anomaly, Gap, Label, LabelledSeries, Series
from feedback.labels import EFFECTS, EffectOn, Effects, LabelEvidence, Looks, TrainingEffect, Verdict
from feedback.training_mask import Exclusions

NOT_LEARNED = [verdict for verdict, does in EFFECTS.items() if does.training is TrainingEffect.EXCLUDED]


OF_LABEL = (
    Label.id.label("label_id"),
    *(
        getattr(Label, name)
        for name in ("verdict", "weight", "author", "alert_id", "created_at", "of_whole_alert", "only")
    ),
)
OF_SERIES = ("series_id", "direction", "rarity", "started_at", "ended_at", "evidence")
"""What learning needs of a label and of each of its series; receipts are long, and are left where they are."""


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


def get_many(session: Session, label_ids: Collection[int]) -> list[Label]:
    """The labels with these ids, oldest first."""
    return list(session.scalars(sa.select(Label).where(Label.id.in_(list(label_ids))).order_by(Label.id)))


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


def standing_evidence(
    session: Session, alert_ids: Collection[int] | None = None, series_ids: Collection[int] | None = None
) -> list[LabelEvidence]:
    """The labels that have not been revoked, all or those of some alerts or series, as evidence, oldest first.

    A label on an alert of several series is evidence of each of them.
    """
    of_label = sa.select(*OF_LABEL, *(getattr(Label, name) for name in OF_SERIES), Series.metric)
    of_further = sa.select(*OF_LABEL, *(getattr(LabelledSeries, name) for name in OF_SERIES), Series.metric).join(
        LabelledSeries, LabelledSeries.label_id == Label.id
    )
    queries = [
        (of_label.join(Series, Series.id == Label.series_id), Label.series_id),
        (of_further.join(Series, Series.id == LabelledSeries.series_id), LabelledSeries.series_id),
    ]
    rows: list[dict[str, Any]] = []
    for query, series_id in queries:
        query = query.where(Label.revoked_at.is_(None))
        if alert_ids is not None:
            query = query.where(is_among(session, Label.alert_id, alert_ids))
        if series_ids is not None:
            query = query.where(is_among(session, series_id, series_ids))
        rows += [dict(row) for row in session.execute(query.order_by(Label.id, series_id)).mappings()]
    further = _counts_of_further_series(session, {row["label_id"] for row in rows if row["of_whole_alert"]})
    found = [_evidence(row, 1 + further.get(row["label_id"], 0)) for row in rows]
    return sorted(found, key=lambda each: each.label_id)


def _counts_of_further_series(session: Session, label_ids: Collection[int]) -> dict[int, int]:
    of_these = is_among(session, LabelledSeries.label_id, label_ids)
    counted = sa.select(LabelledSeries.label_id, sa.func.count()).where(of_these).group_by(LabelledSeries.label_id)
    return dict(session.execute(counted).all())


def _evidence(row: dict[str, Any], series_count: int) -> LabelEvidence:
    looks, verdict, only = looks_of(row.pop("evidence")), Verdict(row.pop("verdict")), only_of(row.pop("only"))
    return LabelEvidence(**row, verdict=verdict, looks=looks, only=only, share=1 / series_count)


def only_of(kept: str | None) -> frozenset[EffectOn] | None:
    """On what a label acts, as it is kept."""
    return None if kept is None else frozenset(EffectOn(each) for each in kept.split(","))


def effects_of(label: Label) -> Effects:
    """What a label does."""
    return EFFECTS[Verdict(label.verdict)].only(only_of(label.only))


def _acts_on(effect: EffectOn, label: type[Label] = Label) -> sa.ColumnElement[bool]:
    return label.only.is_(None) | label.only.contains(effect.value)


def _overruled(effect: EffectOn, series_id: InstrumentedAttribute[int]) -> sa.ColumnElement[bool]:
    """Whether another label decides on this effect for a series that the label is about, as `decisive` has it."""
    other = aliased(Label)
    stronger = (
        other.revoked_at.is_(None)
        & _acts_on(effect, other)
        & (sa.tuple_(other.weight, other.created_at, other.id) > sa.tuple_(Label.weight, Label.created_at, Label.id))
    )
    on_alert = (other.alert_id == Label.alert_id) & (other.of_whole_alert | (other.series_id == series_id))
    on_span = sa.and_(
        Label.alert_id.is_(None),
        other.alert_id.is_(None),
        *(getattr(other, name) == getattr(Label, name) for name in ("series_id", "started_at", "ended_at")),
    )
    return sa.exists().where(stronger, on_alert) | sa.exists().where(stronger, on_span)


def _is_put_right() -> sa.ColumnElement[bool]:
    """Whether a label calls bad what is right now: the gap that it made, or that its alert tells of, is filled."""
    filled = Gap.filled_at.is_not(None)
    made = sa.exists().where(filled, Gap.label_id == Label.id)
    told_of = sa.exists().where(filled, Gap.id == Alert.gap_id, Alert.kind == "data", Alert.id == Label.alert_id)
    return (Label.verdict == Verdict.BAD_DATA.value) & (made | told_of)


def further_series(session: Session, label_id: int) -> list[LabelledSeries]:
    """What a label on an alert says of its other series."""
    query = sa.select(LabelledSeries).where(LabelledSeries.label_id == label_id)
    return list(session.scalars(query.order_by(LabelledSeries.series_id)))


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
    """What learning needs of a label on one series. `label_id` is apart, since a label that is only tried has none."""
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
        of_whole_alert=bool(label.of_whole_alert),
        only=only_of(label.only),
    )


def as_evidence_of_all(
    label: Label, further: Sequence[LabelledSeries], metrics: Mapping[int, str], label_id: int
) -> list[LabelEvidence]:
    """As `as_evidence`, of every series that the label is about. metrics: by series."""
    first = as_evidence(label, metrics[label.series_id], label_id)
    share = 1 / (1 + len(further))
    return [
        replace(first, share=share),
        *(
            replace(
                first,
                series_id=each.series_id,
                metric=metrics[each.series_id],
                direction=each.direction,
                rarity=each.rarity,
                started_at=each.started_at,
                ended_at=each.ended_at,
                looks=looks_of(each.evidence),
                share=share,
            )
            for each in further
        ),
    ]


def standing_of_alerts(session: Session, alert_ids: Iterable[int]) -> dict[int, list[Label]]:
    """The standing labels of each of these alerts, oldest first."""
    query = sa.select(Label).where(Label.alert_id.in_(list(alert_ids)), Label.revoked_at.is_(None)).order_by(Label.id)
    found: defaultdict[int, list[Label]] = defaultdict(list)
    for label in session.scalars(query):
        found[label.alert_id or 0].append(label)
    return dict(found)


def standing_of_series(session: Session, series_ids: Collection[int]) -> list[LabelEvidence]:
    """The standing labels of these series that say how rare what they judged was, oldest first."""
    return [each for each in standing_evidence(session, series_ids=series_ids) if each.rarity is not None]


def count_given(session: Session, author: str, source: str, since: datetime) -> int:
    """How many labels an author has given since then, those taken back included."""
    given = sa.select(sa.func.count()).select_from(Label)
    return session.scalar(given.where(Label.author == author, Label.source == source, Label.created_at > since)) or 0


def unfinished(session: Session) -> list[Label]:
    """Labels that were given or taken back, when the process ended before all that follows from it was done."""
    return list(session.scalars(sa.select(Label).where(Label.unfinished).order_by(Label.id)))


def finish(session: Session, label_id: int, receipt: dict[str, Any]) -> None:
    """All that follows from a label, or from its undo, is done."""
    label = session.get_one(Label, label_id)
    label.receipt, label.unfinished = receipt, False


def revoke(label: Label, by: str, now: datetime) -> None:
    """The label no longer stands. Its press may be made again. What it made is still to be taken back."""
    label.revoked_at, label.revoked_by, label.once_key, label.unfinished = now, by, None, True


def labelled_and_open_spans(session: Session) -> Exclusions:
    """Spans that labels keep out of training, and those of told anomalies that have not ended.

    Of labels on the same that act on training, the one that decides counts. Bad data are learned once they are right.
    A label on an alert reaches to the end of that alert's anomalies, however long they went on after the label, and to
    those that came after it.
    """
    last_abnormal = (
        sa.select(sa.func.max(Anomaly.last_abnormal_at))
        .where(Anomaly.alert_id == Label.alert_id, Anomaly.series_id == Label.series_id)
        .scalar_subquery()
    )
    until = sa.func.coalesce(last_abnormal, Label.ended_at)
    excludes = (
        Label.revoked_at.is_(None) & Label.verdict.in_(NOT_LEARNED) & _acts_on(EffectOn.TRAINING) & ~_is_put_right()
    )
    labelled = sa.select(Label.series_id, Label.started_at, Label.ended_at, until).where(
        excludes, ~_overruled(EffectOn.TRAINING, Label.series_id)
    )
    with_it = (
        sa.select(Anomaly.series_id, Anomaly.started_at, Anomaly.last_abnormal_at, Anomaly.last_abnormal_at)
        .join(Label, Label.alert_id == Anomaly.alert_id)
        .where(excludes, Label.of_whole_alert, Anomaly.series_id != Label.series_id)
        .where(~_overruled(EffectOn.TRAINING, Anomaly.series_id))
    )
    still_open = (
        sa.select(Anomaly.series_id, Anomaly.started_at, Anomaly.last_abnormal_at, Anomaly.last_abnormal_at)
        .join(Alert, Alert.id == Anomaly.alert_id)
        .where(Alert.status == "firing", Anomaly.ended_at.is_(None))
    )
    rows = [
        (series_id, int(start.timestamp()), int(max(end, last).timestamp()))
        for query in (labelled, with_it, still_open)
        for series_id, start, end, last in session.execute(query)
    ]
    columns = np.array(sorted(rows), np.int64).reshape(-1, 3).T
    return Exclusions(columns[0], columns[1], columns[2])
