"""What people never said a word of: weak evidence that they did not want to hear of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy.orm import Session

from app.store import alerts as stored_alerts
from app.store import labels as stored_labels
from feedback.labels import LabelEvidence
from feedback.triage import Unanswered

REMEMBERED = timedelta(days=90)
MOST = 1_000
"""So many anomalies are read at most: enough to see what is usual, few enough for every label."""


def unanswered(session: Session, labels: Sequence[LabelEvidence]) -> list[Unanswered]:
    """Anomalies of the weeks before the newest of these labels that nobody has spoken of; none without labels."""
    newest = max((label.created_at for label in labels), default=None)
    if newest is None:
        return []
    found = stored_alerts.unanswered(session, since=newest - REMEMBERED, until=newest, limit=MOST)
    silent = []
    for anomaly, metric in found:
        looks = stored_labels.looks_of(stored_labels.kept_of(anomaly))
        if looks is None or anomaly.ended_at is None or not looks.features:
            continue
        silent.append(
            Unanswered(
                series_id=anomaly.series_id,
                metric=metric,
                direction=anomaly.direction,
                rarity=anomaly.rarity,
                was_told=anomaly.outcome == "told",
                started_at=anomaly.started_at,
                ended_at=anomaly.ended_at,
                looks=looks,
            )
        )
    return silent
