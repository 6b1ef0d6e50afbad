"""The shapes of an alert's anomalies, from their stored points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from sqlalchemy.orm import Session

from app.alerts.life import LifeRules
from app.alerts.message import AlertFacts, AnomalyFacts
from app.alerts.rules import End
from app.alerts.shape import FEWEST_POINTS, LEAD, Course, Shape, shape_of
from app.store import points
from app.store.points import PointBatch

MOST = 20
"""Anomalies of one alert whose shape is told, the rarest."""


def shaped(session: Session, facts: AlertFacts) -> AlertFacts:
    """The facts with the shapes of the rarest anomalies, as far as these have one. One read of at most 20 series."""
    rarest = sorted(facts.anomalies, key=lambda each: -each.rarity)[:MOST]
    if not rarest:
        return facts
    spans = {each.place: _span(each) for each in rarest}
    batch = points.read_points(
        session,
        {each.series.id for each in rarest},
        min(start for start, _ in spans.values()),
        max(end for _, end in spans.values()),
    )
    found = {each.place: _shape(batch, each, *spans[each.place]) for each in rarest}
    return replace(facts, anomalies=tuple(replace(each, shape=found.get(each.place)) for each in facts.anomalies))


def _span(anomaly: AnomalyFacts) -> tuple[int, int]:
    """From when until before when points are looked at, unix seconds."""
    start, step = int(anomaly.started_at.timestamp()), anomaly.series.cadence_seconds
    last = start + max(FEWEST_POINTS * step, LifeRules().most_seconds)  # then the expected follows it
    if anomaly.last_abnormal_at is not None:
        last = min(last, int(anomaly.last_abnormal_at.timestamp()))
    return start - LEAD * step, last + 1


def _shape(batch: PointBatch, anomaly: AnomalyFacts, start: int, end: int) -> Shape | None:
    is_known = np.isfinite(batch.value) & np.isfinite(batch.expected) & (batch.upper > batch.lower)
    is_near = (batch.timestamp >= start) & (batch.timestamp < end)
    rows = np.flatnonzero((batch.series == anomaly.series.id) & is_near & is_known)
    value, expected = batch.value[rows], batch.expected[rows].astype(np.float64)
    half_band = (batch.upper[rows] - batch.lower[rows]) / 2
    opened_at = int(anomaly.started_at.timestamp())
    lasted = 0 if anomaly.last_abnormal_at is None else int(anomaly.last_abnormal_at.timestamp()) - opened_at
    course = Course(
        value=value,
        expected=expected,
        off=anomaly.direction * (value - expected) / half_band,
        begun=int(np.searchsorted(batch.timestamp[rows], opened_at)),
    )
    return shape_of(course, points=anomaly.point_count, lasted_seconds=lasted, recovered=anomaly.end == End.RECOVERED)
