"""Report a miss: find what happened in the span, open its alert in silence, and say whether it would be told now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from sqlalchemy.orm import Session

from app.alerts.life import OFTEN_FADES
from app.alerts.message import title_of
from app.alerts.policy import Direction, Policies
from app.alerts.rules import Delivery, severity_of
from app.errors import Conflict
from app.partitions.regime import bar_of
from app.pipeline.alert import as_time, none_if_unknown
from app.pipeline.policies import threshold_of
from app.store import alerts as stored_alerts
from app.store import happenings, points
from app.store.alerts import SENT
from app.store.points import PointBatch
from app.store.tables import Alert, Anomaly, Label, Series
from detectors.bars import least_change, least_of
from detectors.calendar import WEEK, local_seconds
from detectors.contract import Floats, Ints
from feedback import triage
from feedback.missed import Span

REMEMBERED = timedelta(days=90)
WEEKS_LOOKED_AT = 5
MISSED = "missed"
"""The outcome of an anomaly that is only known because somebody reported it."""


@dataclass(frozen=True)
class Witnessed:
    """What is known of a reported span: the anomaly in it, and what may have kept it from being told."""

    anomaly: Anomaly | None
    span: Span


def witness(session: Session, series: Series, start: datetime, end: datetime, policies: Policies) -> Witnessed:
    """Look a reported span up. Raises Conflict where people were told of it."""
    known = stored_alerts.strongest_anomaly(session, series.id, start, end)
    _refuse_if_told(session, known)
    batch = points.read_points(session, [series.id], int(start.timestamp()), int(end.timestamp()) + 1)
    there = int(np.isfinite(batch.value).sum())
    policy = policies.resolve(series.metric, series.dimensions)
    settings = policy.settings
    anomaly = known or _anomaly_of(session, batch, series, threshold_of(policy))
    event, in_gap = happenings.covering(session, series, start, end)
    if anomaly is None or anomaly.expected is None:
        return Witnessed(anomaly, Span(there, event=event, in_gap=in_gap))
    expected, bar = np.array([anomaly.expected]), bar_of(settings)
    absolute = _least_of(session, series, int(start.timestamp())) if np.isnan(bar.absolute) else bar.absolute
    return Witnessed(
        anomaly,
        Span(
            points=there,
            rarity=anomaly.rarity,
            event=event,
            in_gap=in_gap,
            watched=settings.direction in (Direction.BOTH, Direction.DOWN if anomaly.direction < 0 else Direction.UP),
            change=abs(anomaly.actual - anomaly.expected),
            least=float(least_change(expected, bar.relative, absolute)[0]),
        ),
    )


def _least_of(session: Session, series: Series, before: int) -> float:
    """The least change that is news of it, by the weeks before."""
    past = points.read_points(session, [series.id], before - WEEKS_LOOKED_AT * WEEK, before)
    return float(least_of(past.value[None, :])[0])


def _refuse_if_told(session: Session, known: Anomaly | None) -> None:
    alert = stored_alerts.get(session, known.alert_id) if known is not None and known.alert_id else None
    if alert is not None and alert.delivery in SENT and alert.status != "withdrawn":
        raise Conflict(f"People were told of this: it is alert {alert.id}. Answer that one, with `real`.")


def _anomaly_of(session: Session, batch: PointBatch, series: Series, base: float) -> Anomaly | None:
    """A span's own anomaly, at its rarest point, where no run was strange enough to be kept.

    base: log10 weeks that its alert budget asks for.
    """
    judged = np.flatnonzero(np.isfinite(batch.value) & np.isfinite(batch.rarity))
    if not judged.size:
        return None
    peak = int(judged[np.argmax(batch.rarity[judged])])
    change = float(batch.value[peak] - batch.expected[peak])
    return Anomaly(
        series_id=series.id,
        started_at=as_time(batch.timestamp[0]),
        last_abnormal_at=as_time(batch.timestamp[-1]),
        ended_at=as_time(batch.timestamp[-1]) + timedelta(seconds=series.cadence_seconds),
        direction=-1 if change < 0 else 1,
        rarity=float(batch.rarity[peak]),
        peak_at=as_time(batch.timestamp[peak]),
        actual=float(batch.value[peak]),
        expected=none_if_unknown(float(batch.expected[peak])),
        lower=none_if_unknown(float(batch.lower[peak])),
        upper=none_if_unknown(float(batch.upper[peak])),
        impact=_impact(batch, judged),
        point_count=int(judged.size),
        threshold=float(batch.rarity[peak]),
        detector="",
        evidence={"features": _features_of(session, batch, judged, peak, series, base)},
        outcome=MISSED,
    )


def _features_of(
    session: Session, batch: PointBatch, judged: Ints, peak: int, series: Series, base: float
) -> dict[str, float]:
    """What triage learns from, as far as it is stored: what each kind of evidence said alone is not."""
    start, at = batch.timestamp[0], batch.timestamp[[peak]].astype(np.int64)
    earlier = stored_alerts.anomalies_since(session, [series.id], as_time(start) - REMEMBERED)
    ago = np.array([start - each.last_abnormal_at.timestamp() for each in earlier])
    ago = ago[ago > 0]
    names = ("value", "expected", "lower", "upper", "rarity")
    value, expected, lower, upper, rarity = (getattr(batch, name)[[peak]].astype(np.float64) for name in names)
    of = triage.Candidates(
        rarer=rarity - base,
        direction=np.sign(value - expected),
        actual=value,
        expected=expected,
        lower=lower,
        upper=upper,
        evidence=np.full((1, len(triage.KINDS)), np.nan),
        points=np.array([float(judged.size)]),
        lasted=np.array([float(batch.timestamp[-1] - start)]),
        since=np.array([ago.min(initial=np.inf)]),
        often=np.array([np.sum(0.5 ** (ago / OFTEN_FADES))]),
        local=local_seconds(at, series.timezone),
    )
    known = triage.named(triage.features(of)[0])
    return {name: value for name, value in known.items() if name not in triage.KINDS}


def _impact(batch: PointBatch, judged: Ints) -> float:
    differences: Floats = batch.value[judged] - batch.expected[judged]
    return float(np.nansum(differences))


def open_silently(session: Session, label: Label, anomaly: Anomaly | None) -> None:
    """The alert that there should have been, for the record: nobody is told of it. It is one while a report stands."""
    if anomaly is None:
        return
    anomaly = session.merge(anomaly)  # one that was known comes from the session that looked it up
    if anomaly.alert_id is None:
        series = session.get_one(Series, anomaly.series_id)
        alert = Alert(
            kind="anomaly",
            status="resolved",
            severity=severity_of(anomaly.rarity, detector=anomaly.detector),
            title=title_of(series.metric, series.dimensions, anomaly.direction),
            started_at=anomaly.started_at,
            created_at=anomaly.started_at,  # as if it had been told then, so that what was declared since explains it
            delivery=Delivery.SILENT,
        )
        session.add(alert)
        session.flush()
        anomaly.alert_id = alert.id
    label.alert_id = anomaly.alert_id
