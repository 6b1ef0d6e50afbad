"""Queries on notifications, the outbox: put in, claim by compare-and-set under a lease, record how it went.

A claim carries the epoch of its lease. Whoever lost the lease (it froze, and another took over) records nothing.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session, aliased

from app.store.channels import enabled_channels
from app.store.flags import are_held
from app.store.tables import Alert, Channel, Notification, UtcDateTime

PENDING, SENT, DEAD, SKIPPED = "pending", "sent", "dead", "skipped"
SEVERE = "critical"
FIRING = "firing"
GROWN = "grown"
"""Reason of a message that says anything only if there is enough to say, or where nobody is disturbed by it."""
SENT_TO_ALL = frozenset({FIRING, "settled"})
HELD_WHILE_SNOOZED = frozenset({GROWN, "updated", "resolved"})
OVERTAKEN = (GROWN, "updated")
COLLECTING = timedelta(seconds=10)
"""Growth waits so long for more of it."""
QUIET = timedelta(minutes=10)
"""Time between two messages of an alert that goes on, where each is heard."""
ALERTS_A_QUERY = 500


@dataclass(frozen=True)
class Claim:
    """A notification that is ours to deliver once it is taken, until the lease ends. `attempts` counts this one."""

    notification_id: str
    epoch: int
    attempts: int
    alert_id: int
    reason: str
    created_at: datetime
    channel_id: int
    channel_name: str
    kind: str
    secrets: bytes = field(repr=False)
    follows_nothing: bool  # a later message of an alert whose earlier ones never reached this channel
    earlier: str | None  # what the receiver calls the first message of this alert
    said: Mapping[str, Any] | None  # how large the alert was when this channel was last told
    carries_others: bool  # its message tells of other alerts too
    for_digest: bool  # it was held back, and is told with what else was


def add_notifications(
    session: Session,
    alert_ids: Iterable[int],
    reason: str,
    now: datetime,
    *,
    away: Mapping[int, datetime] | None = None,
    for_digest: bool = False,
) -> int:
    """One more message of each alert to each channel that is to hear of it; returns how many.

    A first message goes to every enabled channel that the alert is routed to; a later one only to those that were sent
    an earlier one. A message says how things stand when it leaves, so it overtakes what still waits to say that the
    alert goes on or has grown. That an alert goes on, or is over, is held back while somebody has snoozed or silenced
    it. away: channels whose readers are not there, and until when; they are told of what is severe alone. for_digest:
    it was held back already, and a channel is told of all such in one message.
    """
    wanted = list(alert_ids)
    enabled = enabled_channels(session)
    rows = []
    for start in range(0, len(wanted), ALERTS_A_QUERY):
        part = wanted[start : start + ALERTS_A_QUERY]
        routes = _routes(session, part) if reason in SENT_TO_ALL else {}
        last = _last_steps(session, part)
        snoozed = _snoozed_until(session, part) if reason in HELD_WHILE_SNOOZED else {}
        _overtake(session, part)
        due = _Due(session, part, now, snoozed, away or {}, for_digest=for_digest)
        for alert_id in part:
            heard = last.get(alert_id, {})
            everyone = receivers(routes.get(alert_id), enabled)
            for channel_id in everyone if reason in SENT_TO_ALL else sorted(heard):
                step = heard.get(channel_id, -1) + 1
                rows.append(_new_row(alert_id, channel_id, step, reason, due.of(alert_id, channel_id)))
    if rows:
        session.execute(sa.insert(Notification), rows)
    return len(rows)


def add_escalation(session: Session, alert: Alert, now: datetime, away: Mapping[int, datetime]) -> int:
    """A message of an alert that nobody looks after to each channel that is told then, heard it before or not.

    away: as in `add_notifications`.
    """
    heard = _last_steps(session, [alert.id]).get(alert.id, {})
    _overtake(session, [alert.id])
    due = _Due(session, [alert.id], now, {}, away)
    rows = []
    for channel_id in receivers(alert.escalate_to, enabled_channels(session)):
        step = heard.get(channel_id, -1) + 1
        reason = "updated" if step else "firing"
        rows.append(_new_row(alert.id, channel_id, step, reason, due.of(alert.id, channel_id)))
    if rows:
        session.execute(sa.insert(Notification), rows)
    return len(rows)


def receivers(names: Sequence[str] | None, enabled: Mapping[str, int]) -> list[int]:
    """Ids of the channels of these names; all of them where none of those is enabled, rather than nobody."""
    if names is None:
        return list(enabled.values())
    found = [channel_id for name, channel_id in enabled.items() if name in names]
    return found if found or not names else list(enabled.values())


def add_growth(
    session: Session,
    alert_ids: Iterable[int],
    now: datetime,
    in_place: Collection[str],
    *,
    away: Mapping[int, datetime] | None = None,
    for_digest: bool = False,
) -> int:
    """One more look at each of these alerts by each channel that was told of it; returns how many.

    A message that still waits will say how things stand anyway. in_place: kinds of channels that nobody hears when a
    message changes; the others are given some quiet between two messages. They are shown an alert that is snoozed for a
    time at once, and hear of it when the others do. away, for_digest: as in `add_notifications`.
    """
    wanted = list(alert_ids)
    rows = []
    for start in range(0, len(wanted), ALERTS_A_QUERY):
        part = wanted[start : start + ALERTS_A_QUERY]
        snoozed = {alert_id: until for alert_id, until in _snoozed_until(session, part).items() if until > now}
        waiting, held = _waiting(session, part, snoozed)
        due = _Due(session, part, now, snoozed, away or {}, for_digest=for_digest)
        at_once = _Due(session, part, now, {}, away or {}, for_digest=for_digest)
        shown_first = []
        for each in _last_told(session, part):
            key = each.alert_id, each.channel_id
            if key in waiting:
                continue
            is_shown = each.alert_id in snoozed and each.kind in in_place
            if is_shown:
                step = each.step if key in held else each.step + 1
                rows.append(_new_row(*key, step, GROWN, at_once.of(*key, not_before=now + COLLECTING)))
            if key in held:
                shown_first += [held[key]] if is_shown else []
                continue
            quiet = timedelta() if each.kind in in_place or each.sent_at is None else each.sent_at + QUIET - now
            at = due.of(*key, not_before=now + max(COLLECTING, quiet))
            rows.append(_new_row(*key, each.step + 1 + is_shown, GROWN, at))
        moved = sa.update(Notification).where(Notification.id.in_(shown_first))
        session.execute(moved.values(step=Notification.step + 1))
    if rows:
        session.execute(sa.insert(Notification), rows)
    return len(rows)


class _Due:
    """From when messages of some alerts may be sent: out of a channel's hours only what is severe may be."""

    def __init__(
        self,
        session: Session,
        alert_ids: Sequence[int],
        now: datetime,
        snoozed: Mapping[int, datetime],
        away: Mapping[int, datetime],
        *,
        for_digest: bool = False,
    ) -> None:
        self._now = now
        self._snoozed = snoozed
        self._for_digest = for_digest
        self._away = away
        self._severe: set[int] = set()
        if away:
            severe = sa.select(Alert.id).where(Alert.id.in_(alert_ids), Alert.severity == SEVERE)
            self._severe = set(session.scalars(severe))
            _let_out(session, sorted(self._severe), now)

    def of(self, alert_id: int, channel_id: int, not_before: datetime | None = None) -> tuple[datetime, bool]:
        """And whether it is told of with what else was held back."""
        at = max(not_before or self._now, self._snoozed.get(alert_id, self._now))
        opening = None if alert_id in self._severe else self._away.get(channel_id)
        if opening is None or at >= opening:
            return at, self._for_digest
        return opening, True


def _let_out(session: Session, alert_ids: Sequence[int], now: datetime) -> None:
    """What was held back of alerts that turned out to be severe is held back no longer."""
    held_back = sa.update(Notification).where(
        Notification.alert_id.in_(alert_ids),
        Notification.status == PENDING,
        Notification.for_digest,
        Notification.next_attempt_at > now,
    )
    session.execute(held_back.values(next_attempt_at=now, created_at=now, for_digest=False))


def hold_until(session: Session, channel_id: int, at: datetime, now: datetime) -> None:
    """What a channel's old hours held back may be sent from then on."""
    held_back = sa.update(Notification).where(
        Notification.channel_id == channel_id,
        Notification.status == PENDING,
        Notification.for_digest,
        Notification.next_attempt_at > now,
    )
    session.execute(held_back.values(next_attempt_at=at, created_at=at))


def last_reasons(session: Session, alert_ids: Sequence[int]) -> dict[int, str]:
    """What the last message of each alert that has any says, or is to say."""
    found: dict[int, str] = {}
    for start in range(0, len(alert_ids), ALERTS_A_QUERY):
        of_these = Notification.alert_id.in_(alert_ids[start : start + ALERTS_A_QUERY])
        steps = sa.select(Notification.alert_id, Notification.reason).where(of_these, Notification.status != SKIPPED)
        found |= dict(session.execute(steps.order_by(Notification.step)).all())
    return found


def channels_with_due_notifications(session: Session, now: datetime) -> list[int]:
    """The channels that something is to be sent to now."""
    return list(session.scalars(_channels_with_due(), {"now": now}))


def next_due(
    session: Session, channel_id: int, now: datetime, *, severe_first: bool = False, opens: bool = True
) -> Claim | None:
    """The next notification of a channel that may be sent, as the claim it would be; `take` makes it ours.

    Messages of one alert to one channel go out in their order: a later one waits for the earlier. opens: whether it may
    be an alert's first.
    """
    found = session.scalar(_first_due(severe_first, opens), {"now": now, "channel": channel_id})
    if found is None:
        return None
    return _claim_on(*session.execute(_facts_of_claim(), {"notification": found}).one())


@cache
def _channels_with_due() -> sa.Select[int]:
    return sa.select(Notification.channel_id).join(Channel).where(*may_be_sent()).distinct()


@cache
def _first_due(severe_first: bool, opens: bool) -> sa.Select[str]:
    of_channel = Notification.channel_id == sa.bindparam("channel")
    first = sa.select(Notification.id).join(Channel).where(of_channel, *may_be_sent())
    if not opens:
        first = first.where(Notification.reason != FIRING)
    if severe_first:
        first = first.join(Alert, Alert.id == Notification.alert_id).order_by(Alert.severity != SEVERE)
    return first.order_by(Notification.next_attempt_at, Notification.step).limit(1)


@cache
def _facts_of_claim() -> sa.Select[Any]:
    facts = sa.select(Notification, Channel, _has_earlier(SENT), _earlier_message(), _last_said(), carries())
    return facts.join(Channel).where(Notification.id == sa.bindparam("notification"))


def take(session: Session, claim: Claim, until: datetime) -> bool:
    """Lease it until then. False if somebody else was faster."""
    seen = sa.update(Notification).where(
        Notification.id == claim.notification_id,
        Notification.status == PENDING,
        Notification.lease_epoch == claim.epoch - 1,
    )
    return _changed_one(session, seen.values(leased_until=until, lease_epoch=claim.epoch, attempts=claim.attempts))


def record_sent(
    session: Session, claim: Claim, now: datetime, message: str | None, said: Mapping[str, Any] | None, reason: str
) -> bool:
    """It was taken. `message`: what the receiver calls it. said: how large it said the alert was, and `reason` why."""
    outcome = {"sent_at": now, "error": None, "message": message, "said": said, "reason": reason}
    return _record(session, claim, status=SENT, **outcome)


def record_retry(session: Session, claim: Claim, at: datetime, error: str) -> bool:
    """It stays in the outbox and is due again then."""
    return _record(session, claim, status=PENDING, next_attempt_at=at, error=error)


def record_dead(session: Session, claim: Claim, error: str) -> bool:
    """It is not tried again, but stays visible and can be replayed."""
    return _record(session, claim, status=DEAD, error=error)


def record_skipped(session: Session, claim: Claim, why: str) -> bool:
    return _record(session, claim, status=SKIPPED, error=why)


def bury_older_than(session: Session, created_before: datetime, why: str) -> int:
    """What waited too long for a channel that is disabled becomes a dead letter."""
    disabled = sa.select(Channel.id).where(Channel.disabled_at.is_not(None))
    waiting = (Notification.status == PENDING, Notification.created_at < created_before)
    overdue = sa.update(Notification).where(*waiting, Notification.channel_id.in_(disabled))
    buried = changed(session, overdue.values(status=DEAD, error=why))
    _let_go_of_others(session)
    return buried


def _let_go_of_others(session: Session) -> None:
    """What waited for a message that is never sent waits for its own again."""
    carrier = aliased(Notification)
    never = sa.exists().where(carrier.id == Notification.told_with, carrier.status.in_((DEAD, SKIPPED)))
    left = sa.update(Notification).where(Notification.status == PENDING, never).values(told_with=None)
    session.execute(left, execution_options={"synchronize_session": False})


def has_older_than(session: Session, created_before: datetime) -> bool:
    waiting = sa.select(Notification.id).where(Notification.status == PENDING, Notification.created_at < created_before)
    return session.scalar(waiting.limit(1)) is not None


def find_notifications(
    session: Session, *, status: str | None, channel_id: int | None, limit: int
) -> list[tuple[Notification, str]]:
    """Notifications with the name of their channel, the newest first."""
    query = sa.select(Notification, Channel.name).join(Channel)
    if status is not None:
        query = query.where(Notification.status == status)
    if channel_id is not None:
        query = query.where(Notification.channel_id == channel_id)
    newest = query.order_by(Notification.created_at.desc(), Notification.id).limit(limit)
    return [(notification, name) for notification, name in session.execute(newest)]


@dataclass(frozen=True)
class Held:
    """A notification that waits. was_heard: an earlier one of its alert went to the same channel, or is on its way."""

    notification_id: str
    alert_id: int
    channel_id: int
    reason: str
    was_heard: bool
    is_firing: bool
    title: str


def held(session: Session, now: datetime) -> list[Held]:
    """Everything that waits and is not on its way, by alert, channel and step."""
    leased = sa.and_(Notification.leased_until.is_not(None), Notification.leased_until > now)
    earlier = aliased(Notification)
    before = (earlier.alert_id == Notification.alert_id, earlier.channel_id == Notification.channel_id)
    heard = sa.exists().where(*before, sa.or_(earlier.status == SENT, earlier.leased_until > now))
    waiting = sa.select(Notification, Alert, heard).join(Alert).where(Notification.status == PENDING, ~leased)
    ordered = waiting.order_by(Notification.alert_id, Notification.channel_id, Notification.step)
    return [
        Held(row.id, row.alert_id, row.channel_id, row.reason, was_heard, alert.status == "firing", alert.title)
        for row, alert, was_heard in session.execute(ordered)
    ]


def skip(session: Session, ids: Sequence[str], why: str) -> None:
    """These are not sent."""
    _write(session, ids, status=SKIPPED, error=why)
    _let_go_of_others(session)


def start_afresh(session: Session, ids: Sequence[str], now: datetime) -> None:
    """The days of trying to deliver these count from now."""
    _write(session, ids, created_at=now)


def _write(session: Session, ids: Sequence[str], **values: object) -> None:
    for start in range(0, len(ids), ALERTS_A_QUERY):
        these = Notification.id.in_(ids[start : start + ALERTS_A_QUERY])
        session.execute(sa.update(Notification).where(these).values(**values))


def count_by_channel(session: Session, status: str) -> dict[int, int]:
    counted = sa.select(Notification.channel_id, sa.func.count()).where(Notification.status == status)
    return dict(session.execute(counted.group_by(Notification.channel_id)).all())


def replay_dead(session: Session, notification_id: str, now: datetime) -> bool:
    """Put a dead letter back into the outbox, as new."""
    dead = sa.update(Notification).where(Notification.id == notification_id, Notification.status == DEAD)
    fresh = {
        "status": PENDING,
        "attempts": 0,
        "created_at": now,
        "next_attempt_at": now,
        "error": None,
        "told_with": None,
    }
    return _changed_one(session, dead.values(leased_until=None, **fresh))


def _last_steps(session: Session, alert_ids: Sequence[int]) -> dict[int, dict[int, int]]:
    """The last step of each alert to each channel that was to hear of it."""
    newest = sa.func.max(Notification.step)
    steps = sa.select(Notification.alert_id, Notification.channel_id, newest).where(
        Notification.alert_id.in_(alert_ids)
    )
    found: defaultdict[int, dict[int, int]] = defaultdict(dict)
    for alert_id, channel_id, step in session.execute(steps.group_by(Notification.alert_id, Notification.channel_id)):
        found[alert_id][channel_id] = step
    return found


@dataclass(frozen=True)
class _Told:
    alert_id: int
    channel_id: int
    kind: str
    step: int
    sent_at: datetime | None


def _last_told(session: Session, alert_ids: Sequence[int]) -> list[_Told]:
    """The last step of each alert to each channel that was to hear of it, and when it heard last."""
    told = (
        sa.select(
            Notification.alert_id,
            Notification.channel_id,
            Channel.kind,
            sa.func.max(Notification.step),
            sa.func.max(Notification.sent_at),
        )
        .join(Channel)
        .where(Notification.alert_id.in_(alert_ids))
        .group_by(Notification.alert_id, Notification.channel_id, Channel.kind)
    )
    return [_Told(*row) for row in session.execute(told)]


def _waiting(
    session: Session, alert_ids: Sequence[int], snoozed: Mapping[int, datetime]
) -> tuple[set[tuple[int, int]], dict[tuple[int, int], str]]:
    """Alerts and channels with a message that nobody is sending yet; nor may anybody begin to before the commit.

    Beside them those, with its id, that have but one of growth, which waits for the end of a snooze.
    """
    waiting = sa.select(Notification).where(
        Notification.alert_id.in_(alert_ids), Notification.status == PENDING, Notification.leased_until.is_(None)
    )
    soon, held = set(), {}
    for row in session.scalars(waiting.with_for_update()):
        until = snoozed.get(row.alert_id)
        if row.reason == GROWN and until is not None and row.next_attempt_at >= until:
            held[row.alert_id, row.channel_id] = row.id
        else:
            soon.add((row.alert_id, row.channel_id))
    return soon, held


def _routes(session: Session, alert_ids: Sequence[int]) -> dict[int, list[str] | None]:
    """The channels that each alert is routed to."""
    return dict(session.execute(sa.select(Alert.id, Alert.channels).where(Alert.id.in_(alert_ids))).all())


def _snoozed_until(session: Session, alert_ids: Sequence[int]) -> dict[int, datetime]:
    snoozed = sa.select(Alert.id, Alert.snoozed_until).where(Alert.id.in_(alert_ids), Alert.snoozed_until.is_not(None))
    return {alert_id: until for alert_id, until in session.execute(snoozed) if until}


def are_no_longer_silenced(session: Session, alert_ids: Sequence[int], now: datetime) -> int:
    """What waited for the end of a silence: the days of trying to deliver it count from now. Returns how many."""
    count = 0
    for start in range(0, len(alert_ids), ALERTS_A_QUERY):
        of_these = Notification.alert_id.in_(alert_ids[start : start + ALERTS_A_QUERY])
        waiting = sa.update(Notification).where(
            of_these, Notification.status == PENDING, Notification.reason.in_(HELD_WHILE_SNOOZED)
        )
        count += changed(session, waiting.values(created_at=now))
    return count


def are_no_longer_snoozed(session: Session, alert_id: int, now: datetime) -> int:
    """What waited for the end of a snooze is due now. Returns how many messages."""
    waiting = sa.update(Notification).where(
        Notification.alert_id == alert_id,
        Notification.status == PENDING,
        Notification.reason.in_(HELD_WHILE_SNOOZED),
        Notification.next_attempt_at > now,
    )
    return changed(session, waiting.values(created_at=now, next_attempt_at=now))


def hold_while_snoozed(session: Session, alert_id: int, until: datetime) -> None:
    """What waits to say what is new of an alert waits for the end of its snooze as well."""
    waiting = sa.update(Notification).where(
        Notification.alert_id == alert_id,
        Notification.status == PENDING,
        Notification.leased_until.is_(None),
        Notification.reason.in_(HELD_WHILE_SNOOZED),
        Notification.next_attempt_at < until,
    )
    session.execute(waiting.values(next_attempt_at=until, created_at=until))


def _overtake(session: Session, alert_ids: Sequence[int]) -> None:
    waiting = (Notification.status == PENDING, Notification.reason.in_(OVERTAKEN), Notification.leased_until.is_(None))
    overtaken = sa.update(Notification).where(Notification.alert_id.in_(alert_ids), *waiting)
    session.execute(overtaken.values(status=SKIPPED, error="overtaken by a later message"))


def _new_row(alert_id: int, channel_id: int, step: int, reason: str, when: tuple[datetime, bool]) -> dict[str, object]:
    due, for_digest = when
    return {
        "id": str(uuid.uuid4()),
        "alert_id": alert_id,
        "channel_id": channel_id,
        "step": step,
        "reason": reason,
        "status": PENDING,
        "attempts": 0,
        "lease_epoch": 0,
        "next_attempt_at": due,
        "created_at": due,  # the days of retrying count from here
        "for_digest": for_digest,
    }


@cache
def may_be_sent() -> tuple[sa.ColumnElement[bool], ...]:
    """Whether a notification may be sent now; the statement around it takes `now` as a parameter.

    Built once, as are the statements that every delivery needs: to build one costs several times what running it does.
    """
    now = sa.bindparam("now", type_=UtcDateTime())
    return (
        Notification.status == PENDING,
        Notification.told_with.is_(None),
        Notification.next_attempt_at <= now,
        sa.or_(Notification.leased_until.is_(None), Notification.leased_until <= now),
        Channel.disabled_at.is_(None),
        sa.or_(Channel.not_before.is_(None), Channel.not_before <= now),
        ~_has_earlier(PENDING),
        ~are_held(),
        ~_is_silenced(),
    )


@cache
def _is_silenced() -> sa.ColumnElement[bool]:
    """Whether it says what is new of an alert that a silence keeps from being sent."""
    of_it = aliased(Alert)  # the query around this may look at alerts as well
    silenced = sa.exists().where(of_it.id == Notification.alert_id, of_it.silence_id.is_not(None))
    return Notification.reason.in_(HELD_WHILE_SNOOZED) & silenced


@cache
def _has_earlier(status: str) -> sa.Exists:
    """Whether a message of the same alert to the same channel, in this status, comes before."""
    earlier = aliased(Notification)
    return sa.exists().where(
        earlier.alert_id == Notification.alert_id,
        earlier.channel_id == Notification.channel_id,
        earlier.step < Notification.step,
        earlier.status == status,
    )


@cache
def _earlier_message() -> sa.ScalarSelect[str | None]:
    """What the receiver calls the first message of the same alert that it has a name for."""
    earlier = aliased(Notification)
    named = sa.select(earlier.message).where(
        earlier.alert_id == Notification.alert_id,
        earlier.channel_id == Notification.channel_id,
        earlier.step < Notification.step,
        earlier.message.is_not(None),
    )
    return named.order_by(earlier.step).limit(1).scalar_subquery()


@cache
def carries() -> sa.Exists:
    """Whether other notifications wait for this one to tell of them."""
    other = aliased(Notification)
    return sa.exists().where(other.told_with == Notification.id, other.status == PENDING)


@cache
def _last_said() -> sa.ScalarSelect[dict[str, Any] | None]:
    """How large the same alert was when the channel was last told of it so that somebody heard."""
    earlier = aliased(Notification)
    heard = sa.select(earlier.said).where(
        earlier.alert_id == Notification.alert_id,
        earlier.channel_id == Notification.channel_id,
        earlier.step < Notification.step,
        earlier.status == SENT,
        earlier.reason != GROWN,
    )
    return heard.order_by(earlier.step.desc()).limit(1).scalar_subquery()


def _claim_on(
    notification: Notification,
    channel: Channel,
    was_sent: bool,
    earlier: str | None,
    said: Mapping[str, Any] | None,
    carries_others: bool,
) -> Claim:
    return Claim(
        notification_id=notification.id,
        epoch=notification.lease_epoch + 1,
        attempts=notification.attempts + 1,
        alert_id=notification.alert_id,
        reason=notification.reason,
        created_at=notification.created_at,
        channel_id=channel.id,
        channel_name=channel.name,
        kind=channel.kind,
        secrets=channel.secrets,
        follows_nothing=notification.step > 0 and not was_sent,
        earlier=earlier,
        said=said,
        carries_others=carries_others,
        for_digest=notification.for_digest,
    )


def _record(session: Session, claim: Claim, **outcome: object) -> bool:
    ours = sa.update(Notification).where(
        Notification.id == claim.notification_id,
        Notification.status == PENDING,
        Notification.lease_epoch == claim.epoch,
    )
    return _changed_one(session, ours.values(leased_until=None, **outcome))


def _changed_one(session: Session, statement: sa.Update) -> bool:
    return changed(session, statement) == 1


def changed(session: Session, statement: sa.Update, parameters: Mapping[str, object] | None = None) -> int:
    result = session.execute(statement, parameters)
    assert isinstance(result, CursorResult)
    return result.rowcount
