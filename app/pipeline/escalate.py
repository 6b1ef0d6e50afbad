"""Tell others of an alert that nobody looks after: neither acknowledged, nor answered, nor snoozed."""

from __future__ import annotations

from datetime import datetime

import structlog
from sqlalchemy.orm import Session

from app.clock import wall_now
from app.pipeline.facts import is_snoozed
from app.pipeline.ingest import Committer
from app.pipeline.notify import away_until
from app.store import alerts as stored
from app.store import flags
from app.store import notifications as outbox
from app.store.flags import FlagName
from app.store.tables import Alert

log = structlog.get_logger()


def escalate(committer: Committer, now: datetime) -> int:
    """Escalate what is due; returns how many alerts. Nothing while a flag has notifications held back."""
    with committer.database.reading() as session:
        if not _due(session, now) or FlagName.NOTIFICATIONS in flags.states(session):
            return 0
    with committer.database.writing() as session:
        due = _due(session, now)
        for alert in due:
            alert.escalated_at = now
            outbox.add_escalation(session, alert, wall_now(), away_until(session, wall_now()))
            log.info("alert_escalated", alert=alert.id)
    committer.told()
    return len(due)


def _due(session: Session, now: datetime) -> list[Alert]:
    """Of what nobody has looked after in time, what has not been snoozed, or has changed since."""
    return [each for each in stored.to_escalate(session, now) if not is_snoozed(session, each, wall_now())]
