"""What waited for its readers is told when they are there: all of it in one message for each channel.

It waited since it came out of its policy's active hours, since the policy tells of too much, or since whoever posted
the points wanted so. Each alert says itself when its digest is due, by the clocks of those who read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import structlog
from sqlalchemy.orm import Session

from app.alerts.message import Reason
from app.alerts.rules import Delivery
from app.clock import wall_now
from app.pipeline.ingest import Committer
from app.pipeline.notify import enqueue_all
from app.store import alerts as stored
from app.store import notifications as outbox
from app.store.tables import Alert

log = structlog.get_logger()

SENT = "sent"
WITHOUT_NEWS = ("closed", "withdrawn")


def send_digests(committer: Committer, now: datetime) -> int:
    """Tell of what waits and is due, less what has been answered or taken back; returns how many alerts."""
    with committer.database.reading() as session:
        if not stored.waiting_for_digest(session, now):
            return 0
    with committer.database.writing() as session:
        waiting = stored.waiting_for_digest(session, now, to_change=True)
        for alert in waiting:
            alert.daily_digest = SENT
        _tell(session, [alert for alert in waiting if alert.status not in WITHOUT_NEWS])
    committer.told()
    return len(waiting)


def _tell(session: Session, alerts: Sequence[Alert]) -> None:
    """Put what each has to say into the outbox: that it is, that it goes on, that it is over, or both ends of it."""
    last, over_budget, now = (
        outbox.last_reasons(session, [a.id for a in alerts]),
        stored.over_budget(session),
        wall_now(),
    )
    for alert in alerts:
        if alert.status == "firing" and alert.policy not in over_budget:
            alert.delivery = Delivery.LIVE  # from here on it is told as any other
    session.flush()
    lasting = [alert.id for alert in alerts if alert.status == "firing" and alert.id in last]
    messages = {
        Reason.FIRING: [alert.id for alert in alerts if alert.id not in last],
        Reason.UPDATED: [alert_id for alert_id in lasting if last[alert_id] == Reason.RESOLVED],
        Reason.GROWN: [alert_id for alert_id in lasting if last[alert_id] != Reason.RESOLVED],
        Reason.RESOLVED: [alert.id for alert in alerts if alert.status == "resolved"],
    }
    for reason, alert_ids in messages.items():
        enqueue_all(session, alert_ids, reason, now, for_digest=True)
    log.info("digest_sent", alerts=len(alerts))
