"""What one message says of many alerts: the rest of a storm, for a channel that has heard enough for now."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from app.alerts.message import AlertFacts, Digest, Digested, digest_title
from app.security import Links
from app.store import alerts as stored_alerts
from app.store import digests
from app.store import series as stored_series

MOST_LISTED = 100
"""Alerts that a message lists; its page lists ten times as many, and the inbox has all."""


def digest_of(
    session: Session, carrier_id: str, links: Links, *, origin: str, now: datetime, most: int = MOST_LISTED
) -> AlertFacts:
    """The facts of the message that this notification carries. `origin`: who its links are given to."""
    told = digests.told_together(session, carrier_id, limit=most)
    zone = _zone(session, told)
    aged = stored_alerts.aged(session, [each.id for each in told.listed if each.status == "resolved"])
    return AlertFacts(
        id=0,
        kind="digest",
        severity=told.listed[0].severity,
        title=digest_title(told.alerts, told.still_on, told.since, zone, now),
        started_at=told.since,
        ended_at=None,
        told_at=now,
        url=links.digest_url(carrier_id, origin, now),
        anomalies=(),
        digest=Digest(
            carrier_id,
            told.alerts,
            told.still_on,
            tuple(
                Digested(
                    each.id,
                    each.status,
                    each.severity,
                    each.title,
                    each.started_at,
                    links.alert_url(each.id, origin, now),
                    is_aged=each.id in aged,
                )
                for each in told.listed
            ),
        ),
    )


def _zone(session: Session, told: digests.Told) -> str:
    """The time zone of the first one's leading series, as its readers live there."""
    lead = next((each.lead_series_id for each in told.listed if each.lead_series_id is not None), None)
    series = stored_series.get(session, lead) if lead is not None else None
    return series.timezone if series else "UTC"
