"""What people do with an alert besides answering it: they take it on, hand it on, or want to hear less of it.

Each in the caller's transaction; messages that can change show it.
"""

from __future__ import annotations

from datetime import datetime

import structlog
from sqlalchemy.orm import Session

from app.alerts.message import Action, Reason
from app.alerts.rules import SnoozedFor
from app.clock import wall_now
from app.errors import NotFound, Unprocessable
from app.pipeline.facts import is_snoozed, measured
from app.pipeline.notify import enqueue
from app.security import ActionLink
from app.store import alerts as stored
from app.store import notifications as outbox
from app.store.tables import Alert

log = structlog.get_logger()

SPENT = (
    "Since this message was sent, the alert was snoozed, and has changed or was taken up again. "
    "To snooze it once more, use the button of its newest message, or that of its page."
)


def act(session: Session, link: ActionLink, by: str, now: datetime) -> Alert:
    """Do what a link is for; a link that is pressed again changes nothing. Raises NotFound, Unprocessable."""
    alert = stored.get(session, link.alert_id)
    if alert is None:
        raise NotFound("This alert does not exist any more.")
    if alert.status != "firing":
        raise Unprocessable("This alert is over, so there is nothing left to look after.")
    if link.action == Action.ACKNOWLEDGE:
        if alert.acknowledged_at is None:
            acknowledge(session, alert, by, now)
    elif not is_snoozed(session, alert, wall_now()):
        if is_spent(alert, link):
            raise Unprocessable(SPENT)
        snooze(session, alert, SnoozedFor.CHANGE)
    return alert


def is_spent(alert: Alert, link: ActionLink) -> bool:
    """Whether it would snooze once more what somebody has snoozed, or woken, since the link was made."""
    changed = alert.snooze_changed_at
    return link.action == Action.SNOOZE and changed is not None and link.made_at < changed.replace(microsecond=0)


def acknowledge(session: Session, alert: Alert, by: str, now: datetime) -> None:
    """Somebody has seen it, and looks after it. The first one counts."""
    stored.acknowledge(alert, by, now)
    log.info("alert_acknowledged", alert=alert.id)
    _show(session, alert)


def assign(session: Session, alert: Alert, to: str, by: str, now: datetime) -> None:
    """This one looks after it from now on, which acknowledges it."""
    stored.assign(alert, to, by, now)
    log.info("alert_assigned", alert=alert.id)
    _show(session, alert)


def unassign(session: Session, alert: Alert) -> None:
    stored.unassign(alert)
    _show(session, alert)


def snooze(session: Session, alert: Alert, until: datetime | SnoozedFor) -> None:
    """Tell nothing more of it until then. Raises Unprocessable where that is past already."""
    if isinstance(until, datetime):
        stored.snooze(alert, wall_now(), until=until)
        outbox.hold_while_snoozed(session, alert.id, until)
    else:
        if alert.status != "firing":
            raise Unprocessable("This alert is over, so there is no recovery or change to wait for.")
        extent = measured(session, alert).json() | {"severity": alert.severity}
        stored.snooze(alert, wall_now(), what=until, extent=extent)
    log.info("alert_snoozed", alert=alert.id, until=str(until))
    _show(session, alert)


def wake(session: Session, alert: Alert) -> None:
    """Tell of it as if nobody had snoozed it, what waited included."""
    stored.snooze(alert, wall_now())
    session.flush()
    outbox.are_no_longer_snoozed(session, alert.id, wall_now())
    _show(session, alert)


def _show(session: Session, alert: Alert) -> None:
    """Bring its messages up to date where that disturbs nobody; nothing else is new of it."""
    session.flush()
    if alert.status == "firing" and alert.delivery == "live":
        enqueue(session, alert.id, Reason.GROWN, wall_now())
