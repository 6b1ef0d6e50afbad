"""How many messages a channel may still take, and what one message tells of together: the rest of a storm.

The one that carries the message stays in the outbox with the others until it is sent, so that a restart forgets nothing
and a second attempt says the same under the same id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.store.notifications import DEAD, FIRING, GROWN, PENDING, SENT, Claim, carries, changed, may_be_sent
from app.store.tables import Alert, Channel, Notification, UtcDateTime

OPENINGS = (FIRING, "digest")
"""Reasons of messages that open an incident where incidents are kept."""
SPAN = timedelta(minutes=10)
"""Over which the messages of a channel are counted."""


@dataclass(frozen=True)
class Room:
    """How many more messages a channel takes now, None for any number.

    for_openings: only those count that open something.
    """

    left: int | None
    for_openings: bool = False


def room(session: Session, channel_id: int, now: datetime, keep_incidents: tuple[str, ...]) -> Room:
    """What changes unheard does not count. keep_incidents: kinds of channels to which only what opens one is heard."""
    facts = {"channel": channel_id, "now": now, "since": now - SPAN}
    kind, most, sent, leaving = session.execute(_of_channel(keep_incidents), facts).one()
    return Room(None if most is None else max(0, most - sent - leaving), kind in keep_incidents)


@cache
def _of_channel(keep_incidents: tuple[str, ...]) -> sa.Select[Any]:
    """What a channel is, what it takes, how many messages that count it was sent, and how many are leaving."""
    counts = sa.or_(Channel.kind.not_in(keep_incidents), Notification.reason.in_(OPENINGS))
    of_it = sa.select(sa.func.count()).select_from(Notification).where(Notification.channel_id == Channel.id, counts)
    sent = of_it.where(
        Notification.sent_at > sa.bindparam("since", type_=UtcDateTime()),
        Notification.reason != GROWN,
        Notification.told_with.is_(None),
    )
    now = sa.bindparam("now", type_=UtcDateTime())
    leaving = of_it.where(Notification.status == PENDING, Notification.leased_until > now)
    subqueries = (each.correlate(Channel).scalar_subquery() for each in (sent, leaving))
    return sa.select(Channel.kind, Channel.most_messages, *subqueries).where(Channel.id == sa.bindparam("channel"))


def lock_channel(session: Session, channel_id: int) -> None:
    """Whoever counts a channel's messages waits for whoever is counting them, so that two do not take the last one."""
    session.execute(sa.select(Channel.id).where(Channel.id == channel_id).with_for_update())


def gather(session: Session, carrier: Claim, now: datetime, *, only_openings: bool = False) -> int:
    """Let the message of a notification that is ours tell of all others that wait for its channel; returns how many.

    All steps of an alert that are due go with its first one. What has only grown is no news beside them. One that was
    held back tells of what else was, and of all that happened to its own alert meanwhile. only_openings: what follows
    is said of each alert by itself.
    """
    due = (
        sa.select(Notification.alert_id)
        .join(Channel)
        .where(
            Notification.channel_id == carrier.channel_id,
            Notification.reason != GROWN,
            Notification.id != carrier.notification_id,
            ~carries(),
            *may_be_sent(),
        )
    )
    if carrier.for_digest:
        due = due.where(Notification.for_digest)
    alone = sa.select(Notification.alert_id).where(Notification.id == carrier.notification_id)
    if only_openings:
        due = due.where(Notification.reason == FIRING)
    if (only_openings or not carrier.for_digest) and session.scalar(due.limit(1), {"now": now}) is None:
        return 0
    others = sa.update(Notification).where(
        Notification.channel_id == carrier.channel_id,
        Notification.id != carrier.notification_id,
        Notification.status == PENDING,
        Notification.told_with.is_(None),
        Notification.leased_until.is_(None),
        Notification.next_attempt_at <= now,
        ~carries(),
        Notification.alert_id.in_(due.union(alone)),
    )
    if only_openings:
        others = others.where(Notification.reason == FIRING)
    return changed(session, others.values(told_with=carrier.notification_id), {"now": now})


@dataclass(frozen=True)
class Told:
    """The alerts that one message tells of together. listed: the first of them, the most severe first."""

    alerts: int
    still_on: int
    since: datetime
    listed: Sequence[Alert]


def told_together(session: Session, carrier_id: str, *, limit: int) -> Told:
    """What the message of this notification told, or is to tell, of."""
    concerned = sa.select(Notification.alert_id).where(
        sa.or_(Notification.id == carrier_id, Notification.told_with == carrier_id)
    )
    of_these = Alert.id.in_(concerned)
    on = sa.func.sum(sa.case((Alert.status == "firing", 1), else_=0))
    counted = sa.select(sa.func.count(), on, sa.func.min(Alert.created_at)).where(of_these)
    count, still_on, since = session.execute(counted).one()
    order = (Alert.status != "firing", Alert.severity != "critical", Alert.series_count.desc(), Alert.id)
    listed = list(session.scalars(sa.select(Alert).where(of_these).order_by(*order).limit(limit)))
    return Told(count, int(still_on or 0), since, listed)


def opened_with(session: Session, alert_id: int, channel_id: int) -> str | None:
    """The notification whose message told a channel of the alert together with others; None where it was told alone."""
    carried = Notification.told_with.is_not(None)
    opening = sa.select(Notification.id, Notification.told_with, Notification.reason).where(
        Notification.alert_id == alert_id,
        Notification.channel_id == channel_id,
        Notification.status == SENT,
        sa.or_(carried, Notification.reason.in_((*OPENINGS, "updated"))),
    )
    last = session.execute(opening.order_by(Notification.step.desc()).limit(1)).first()
    if last is None:
        return None
    return last.told_with or (last.id if last.reason == "digest" else None)


def was_resolved(session: Session, carrier_id: str, channel_id: int) -> bool:
    """Whether the channel was told that all of what this notification opened is over."""
    said = sa.exists().where(
        Notification.channel_id == channel_id, Notification.status == SENT, Notification.message == carrier_id
    )
    return bool(session.scalar(sa.select(said)))


def exists(session: Session, carrier_id: str) -> bool:
    """Whether this notification is still there, with the alert that it is about."""
    return session.get(Notification, carrier_id) is not None


def record_sent(session: Session, carrier: Claim, now: datetime) -> None:
    """The others were told of with it."""
    session.execute(_carried(carrier).values(status=SENT, sent_at=now, error=None))


def record_dead(session: Session, carrier: Claim, error: str) -> None:
    """The others are not told of either; each can be replayed by itself."""
    session.execute(_carried(carrier).values(status=DEAD, error=error))


def _carried(carrier: Claim) -> sa.Update:
    return sa.update(Notification).where(
        Notification.told_with == carrier.notification_id, Notification.status == PENDING
    )
