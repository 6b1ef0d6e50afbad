"""What explains an alert, or each of its anomalies: its shape, and its series' siblings, read once over its span."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from sqlalchemy.orm import Session

from app.alerts.contribution import (
    Explanation,
    Sibling,
    adds_up,
    contributions,
    dimensions_that_vary,
    most_telling_first,
)
from app.alerts.message import AlertFacts, AnomalyFacts
from app.pipeline.facts import MOST_REMEMBERED
from app.pipeline.resemble import resembled
from app.pipeline.shapes import shaped
from app.store import alerts as stored_alerts
from app.store import labels as stored_labels
from app.store import points
from app.store import series as stored_series
from app.store.points import PointBatch

MOST_OF_A_METRIC = 2_000
"""Series of one metric that are looked through; of a metric with more nothing is explained, as the total is unknown."""
MOST_SIBLINGS = 256
MOST_STEPS = 200
"""Of a long anomaly only so many points from its start are compared."""
UNKNOWN_CADENCE = 3_600
MOST_EXPLAINED = 5
"""Anomalies of an alert that are explained one by one."""


def explained(session: Session, facts: AlertFacts) -> AlertFacts:
    """The facts with the shapes of their anomalies and what explains them, where something does.

    Two reads: of the alert's own series, and of at most 256 siblings, 200 steps each.
    """
    facts = shaped(session, facts)
    found = _explanations(session, facts.foremost) if facts.foremost else ()
    return replace(facts, explanations=found, explained_by=found[0].sentence) if found else facts


def each_explained(session: Session, facts: AlertFacts) -> AlertFacts:
    """The facts whose first anomalies each say what explains them, and what of their own series' past they are like.

    facts: with the alert's own explanation. At most `MOST_EXPLAINED` of its anomalies, the rarest.
    """
    rows = {each.id: each for each in stored_alerts.anomalies_of(session, [facts.id]).get(facts.id, [])}
    first = facts.anomalies[:MOST_EXPLAINED]
    series_ids = {each.series.id for each in first}
    judged = stored_labels.standing_of_series(session, series_ids)
    past = stored_alerts.told_anomalies(session, series_ids, limit=MOST_REMEMBERED)
    told = [
        replace(
            each,
            explanations=facts.explanations if each == facts.foremost else _explanations(session, each),
            resemblances=resembled(rows[each.place], past, judged, each.series.timezone),
        )
        for each in first
    ]
    return replace(facts, anomalies=(*told, *facts.anomalies[MOST_EXPLAINED:]))


def _explanations(session: Session, anomaly: AnomalyFacts) -> tuple[Explanation, ...]:
    """By each dimension that says anything, the most telling first."""
    if not adds_up(anomaly.series.metric):
        return ()
    candidates = stored_series.dimensions_of_metric(session, anomaly.series.metric, limit=MOST_OF_A_METRIC)
    groups = dimensions_that_vary(anomaly.series.dimensions, candidates)
    groups = {key: members for key, members in groups.items() if len(members) <= MOST_SIBLINGS}
    ids = list(dict.fromkeys(series_id for members in groups.values() for series_id in members))[:MOST_SIBLINGS]
    if not ids:
        return ()
    batch = _read(session, anomaly, ids)
    if np.isfinite(batch.weight).any():  # ratios, which do not add up whatever they are called
        return ()
    sums = _sums(batch, ids)
    found = [
        contributions(dimension, _siblings(members, sums), anomaly.direction)
        for (dimension, _), members in groups.items()
    ]
    return most_telling_first(each for each in found if each is not None)


def _read(session: Session, anomaly: AnomalyFacts, ids: Sequence[int]) -> PointBatch:
    series = stored_series.get(session, anomaly.series.id)
    cadence = (series.cadence_seconds if series else 0) or UNKNOWN_CADENCE
    start = int(anomaly.started_at.timestamp())
    end = start + MOST_STEPS * cadence
    if anomaly.ended_at is not None:
        end = min(end, max(int(anomaly.ended_at.timestamp()), start + 1))
    return points.read_points(session, ids, start, end)


def _sums(batch: PointBatch, ids: Sequence[int]) -> dict[int, tuple[float, float]]:
    """Actual and expected of each series summed over the points at which both are known."""
    known = np.isfinite(batch.value) & np.isfinite(batch.expected)
    place = {series_id: number for number, series_id in enumerate(ids)}
    which = np.array([place[series_id] for series_id in batch.series[known].tolist()], np.int64)
    count, actual, expected = (
        np.bincount(which, weights, minlength=len(ids)) for weights in (None, batch.value[known], batch.expected[known])
    )
    return {each: (float(actual[at]), float(expected[at])) for each, at in place.items() if count[at]}


def _siblings(members: Mapping[int, str], sums: Mapping[int, tuple[float, float]]) -> list[Sibling]:
    return [Sibling(series_id, value, *sums.get(series_id, (None, None))) for series_id, value in members.items()]
